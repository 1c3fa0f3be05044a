import type {GenerationDefaults, OfaConfig} from './config.js';

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
  return {caption, vqa: {...caption, max_new_tokens: 200, no_repeat_ngram_size: 0, normalize_scores: false}, prompt: caption};
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
