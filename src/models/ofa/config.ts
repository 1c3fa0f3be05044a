import {z} from 'zod';

export type OfaSize = 'tiny' | 'medium' | 'base' | 'large' | 'huge';

/** Bottleneck blocks by the name that checkpoints store (ofa_mue section 1.1). */
export const RESNET_LAYERS: Readonly<Record<string, readonly [number, number, number]>> = {
  resnet50: [3, 4, 6],
  resnet101: [3, 4, 23],
  resnet152: [3, 8, 36],
};

interface Size {
  readonly d_model: number;
  readonly heads: number;
  readonly encoder_layers: number;
  readonly decoder_layers: number;
  readonly resnet: string;
}

/** Section 1.1. */
const SIZES: Readonly<Record<OfaSize, Size>> = {
  tiny: {d_model: 256, heads: 4, encoder_layers: 4, decoder_layers: 4, resnet: 'resnet50'},
  medium: {d_model: 512, heads: 8, encoder_layers: 4, decoder_layers: 4, resnet: 'resnet101'},
  base: {d_model: 768, heads: 12, encoder_layers: 6, decoder_layers: 6, resnet: 'resnet101'},
  large: {d_model: 1024, heads: 16, encoder_layers: 12, decoder_layers: 12, resnet: 'resnet152'},
  huge: {d_model: 1280, heads: 16, encoder_layers: 24, decoder_layers: 12, resnet: 'resnet152'},
};

export const OFA_SIZES: readonly OfaSize[] = ['tiny', 'medium', 'base', 'large', 'huge'];

/** How the tasks search where a checkpoint does not say (section 8). */
export const GENERATION_DEFAULTS: OfaConfig['generation'] = (() => {
  const caption: GenerationDefaults = {
    num_beams: 5,
    max_new_tokens: 16,
    min_length: 1,
    no_repeat_ngram_size: 3,
    length_penalty: 1,
    normalize_scores: true,
  };
  return {
    caption,
    vqa: {...caption, max_new_tokens: 200, no_repeat_ngram_size: 0, normalize_scores: false},
    prompt: caption,
  };
})();

/** What every released model has (section 1.2), where a checkpoint does not say. */
export const OFA_DEFAULTS: Pick<
  OfaConfig,
  | 'batch_norm_epsilon'
  | 'code_dict_size'
  | 'num_bins'
  | 'max_source_positions'
  | 'max_target_positions'
  | 'token_bucket_size'
  | 'image_bucket_size'
  | 'attn_scale_factor'
  | 'code_image_size'
  | 'patch_image_size'
  | 'prompt_type'
  | 'add_caption'
  | 'max_src_length'
> = {
  batch_norm_epsilon: 1e-5,
  code_dict_size: 8192,
  num_bins: 1000,
  max_source_positions: 1024,
  max_target_positions: 1024,
  token_bucket_size: 256,
  image_bucket_size: 42,
  attn_scale_factor: 2,
  code_image_size: 128,
  patch_image_size: 480,
  prompt_type: 'prev_output',
  add_caption: false,
  max_src_length: 80,
};

/** The configuration of a released size. */
export function ofaConfigOfSize(name: OfaSize, options: {readonly train_mue?: boolean} = {}): OfaConfig {
  const size = SIZES[name];
  return {
    format: 'mue-tfjs',
    version: 1,
    family: 'ofa',
    d_model: size.d_model,
    encoder_layers: size.encoder_layers,
    decoder_layers: size.decoder_layers,
    encoder_ffn_dim: 4 * size.d_model,
    decoder_ffn_dim: 4 * size.d_model,
    encoder_attention_heads: size.heads,
    decoder_attention_heads: size.heads,
    resnet_layers: RESNET_LAYERS[size.resnet]!,
    vocab_size: 59457,
    ...OFA_DEFAULTS,
    scale_attn: true,
    scale_fc: true,
    scale_heads: true,
    scale_resids: false,
    train_mue: options.train_mue ?? false,
    mue_image_rel_bias: !(options.train_mue ?? false),
    image_mean: [0.5, 0.5, 0.5],
    image_std: [0.5, 0.5, 0.5],
    generation: GENERATION_DEFAULTS,
  };
}

const count = z.number().int().positive();

/** How answers of one task are searched for; the names are Hugging Face's, the values fairseq's (ofa_mue section 8). */
export interface GenerationDefaults {
  readonly num_beams: number;
  /** fairseq's max_len_b: most tokens before the end symbol. */
  readonly max_new_tokens: number;
  readonly min_length: number;
  readonly no_repeat_ngram_size: number;
  readonly length_penalty: number;
  /** Divide scores by length ** length_penalty (fairseq's default), or rank by the sum (`--unnormalized`). */
  readonly normalize_scores: boolean;
}
export const generationSchema: z.ZodType<GenerationDefaults> = z.strictObject({
  num_beams: count,
  max_new_tokens: count,
  min_length: z.number().int().min(0),
  no_repeat_ngram_size: z.number().int().min(0),
  length_penalty: z.number(),
  normalize_scores: z.boolean(),
});

/** The `config.json` of a converted OFA model: everything that the weights alone do not say. */
export interface OfaConfig {
  readonly format: 'mue-tfjs';
  readonly version: 1;
  readonly family: 'ofa';
  readonly d_model: number;
  readonly encoder_layers: number;
  readonly decoder_layers: number;
  readonly encoder_ffn_dim: number;
  readonly decoder_ffn_dim: number;
  readonly encoder_attention_heads: number;
  readonly decoder_attention_heads: number;
  /** Bottleneck blocks of the three ResNet stages. */
  readonly resnet_layers: readonly [number, number, number];
  readonly batch_norm_epsilon: number;
  readonly vocab_size: number;
  readonly code_dict_size: number;
  readonly num_bins: number;
  readonly max_source_positions: number;
  readonly max_target_positions: number;
  readonly token_bucket_size: number;
  readonly image_bucket_size: number;
  readonly attn_scale_factor: number;
  readonly code_image_size: number;
  readonly scale_attn: boolean;
  readonly scale_fc: boolean;
  readonly scale_heads: boolean;
  readonly scale_resids: boolean;
  /** Trained for multiple early exiting: image and text are two streams. False: one joint encoder (plain OFA). */
  readonly train_mue: boolean;
  /** Whether the image stream of a MuE model uses its relative position bias (quirk Q1); in plain OFA it always does. */
  readonly mue_image_rel_bias: boolean;
  /** Side of the square that pictures are resized to, in pixels; and their normalisation, per channel. */
  readonly patch_image_size: number;
  readonly image_mean: readonly [number, number, number];
  readonly image_std: readonly [number, number, number];
  /** What the decoder of closed tasks is fed before the answer. */
  readonly prompt_type: 'none' | 'src' | 'prev_output';
  /** Whether entailment prompts were trained with a text premise ("can image and text1 …"). */
  readonly add_caption: boolean;
  readonly max_src_length: number;
  readonly generation: {
    readonly caption: GenerationDefaults;
    readonly vqa: GenerationDefaults;
    readonly prompt: GenerationDefaults;
  };
}
export const ofaConfigSchema: z.ZodType<OfaConfig> = z.strictObject({
  format: z.literal('mue-tfjs'),
  version: z.literal(1),
  family: z.literal('ofa'),
  d_model: count,
  encoder_layers: count,
  decoder_layers: count,
  encoder_ffn_dim: count,
  decoder_ffn_dim: count,
  encoder_attention_heads: count,
  decoder_attention_heads: count,
  resnet_layers: z.tuple([count, count, count]),
  batch_norm_epsilon: z.number().positive(),
  vocab_size: count,
  code_dict_size: z.number().int().min(0),
  num_bins: z.number().int().min(0),
  max_source_positions: count,
  max_target_positions: count,
  token_bucket_size: count,
  image_bucket_size: count,
  attn_scale_factor: z.number().positive(),
  code_image_size: count,
  scale_attn: z.boolean(),
  scale_fc: z.boolean(),
  scale_heads: z.boolean(),
  scale_resids: z.boolean(),
  train_mue: z.boolean(),
  mue_image_rel_bias: z.boolean(),
  patch_image_size: count,
  image_mean: z.tuple([z.number(), z.number(), z.number()]),
  image_std: z.tuple([z.number(), z.number(), z.number()]),
  prompt_type: z.enum(['none', 'src', 'prev_output']),
  add_caption: z.boolean(),
  max_src_length: count,
  generation: z.strictObject({caption: generationSchema, vqa: generationSchema, prompt: generationSchema}),
});
