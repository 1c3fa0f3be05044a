import {z} from 'zod';

const count = z.number().int().positive();
const perChannel = z.tuple([z.number(), z.number(), z.number()]).readonly();

/** Token id of padding, fairseq's in every OFA vocabulary. */
export const PAD = 1;

/**
 * How answers of one task are searched for; the names are Hugging Face's, the values fairseq's
 * (docs/reference/ofa-mue.md 8).
 */
export const generationSchema = z.strictObject({
  num_beams: count,
  /** fairseq's max_len_b: most tokens before the end symbol. */
  max_new_tokens: count,
  min_length: z.number().int().min(0),
  no_repeat_ngram_size: z.number().int().min(0),
  length_penalty: z.number(),
  /** Divide scores by length ** length_penalty (fairseq's default), or rank by the sum (`--unnormalized`). */
  normalize_scores: z.boolean(),
});
export type GenerationDefaults = Readonly<z.infer<typeof generationSchema>>;

/** The `config.json` of a converted OFA model: everything that the weights alone do not say. */
export const ofaConfigSchema = z.strictObject({
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
  /** Bottleneck blocks of the three ResNet stages. */
  resnet_layers: z.tuple([count, count, count]).readonly(),
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
  /** Trained for multiple early exiting: image and text are two streams. False: one joint encoder (plain OFA). */
  train_mue: z.boolean(),
  /** Whether the image stream of a MuE model uses its relative position bias; in plain OFA it always does. */
  mue_image_rel_bias: z.boolean(),
  /** Side of the square that images are resized to, in pixels. */
  patch_image_size: count,
  /** Normalisation, per channel. */
  image_mean: perChannel,
  image_std: perChannel,
  /**
   * Tokens that the decoder of closed tasks is fed before the answer: none, the prompt, or the prompt without its end
   * symbol.
   */
  prompt_type: z.enum(['none', 'src', 'prev_output']),
  /** Whether entailment prompts were trained with a text premise ("can image and text1 …"). */
  add_caption: z.boolean(),
  max_src_length: count,
  generation: z.strictObject({caption: generationSchema, vqa: generationSchema, prompt: generationSchema}),
});
export type OfaConfig = Readonly<z.infer<typeof ofaConfigSchema>>;

export type OfaSize = 'tiny' | 'medium' | 'base' | 'large' | 'huge';

/** Bottleneck blocks by the name that checkpoints store (docs/reference/ofa-mue.md 1.1). */
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

/** Released sizes (docs/reference/ofa-mue.md 1.1). */
const SIZES: Readonly<Record<OfaSize, Size>> = {
  tiny: {d_model: 256, heads: 4, encoder_layers: 4, decoder_layers: 4, resnet: 'resnet50'},
  medium: {d_model: 512, heads: 8, encoder_layers: 4, decoder_layers: 4, resnet: 'resnet101'},
  base: {d_model: 768, heads: 12, encoder_layers: 6, decoder_layers: 6, resnet: 'resnet101'},
  large: {d_model: 1024, heads: 16, encoder_layers: 12, decoder_layers: 12, resnet: 'resnet152'},
  huge: {d_model: 1280, heads: 16, encoder_layers: 24, decoder_layers: 12, resnet: 'resnet152'},
};

export const OFA_SIZES: readonly OfaSize[] = ['tiny', 'medium', 'base', 'large', 'huge'];

/** How the tasks search where a checkpoint does not say (docs/reference/ofa-mue.md 8). */
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

/** Settings of every released model, where a checkpoint does not say (docs/reference/ofa-mue.md 1.2). */
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

/** The ε of synchronised batch norm (docs/reference/ofa-mue.md 2.2). */
export const SYNC_BATCH_NORM_EPSILON = 1e-3;

/** Normalisation of images by ImageNet's statistics, which some checkpoints ask for. */
export const IMAGENET_MEAN: OfaConfig['image_mean'] = [0.485, 0.456, 0.406];
export const IMAGENET_STD: OfaConfig['image_std'] = [0.229, 0.224, 0.225];

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

/** Sizes and flags of one transformer layer, encoder and decoder alike. */
export interface LayerConfig {
  readonly size: number;
  readonly heads: number;
  readonly hidden: number;
  readonly scaleFactor: number;
  readonly scaleAttention: boolean;
  readonly scaleFeedForward: boolean;
  readonly scaleHeads: boolean;
  readonly scaleResiduals: boolean;
}

export function layerConfig(config: OfaConfig, side: 'encoder' | 'decoder'): LayerConfig {
  return {
    size: config.d_model,
    heads: config[`${side}_attention_heads`],
    hidden: config[`${side}_ffn_dim`],
    scaleFactor: config.attn_scale_factor,
    scaleAttention: config.scale_attn,
    scaleFeedForward: config.scale_fc,
    scaleHeads: config.scale_heads,
    scaleResiduals: config.scale_resids,
  };
}
