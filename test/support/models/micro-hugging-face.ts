/** The Hugging Face `config.json` of the micro model. */
export const MICRO_HUGGING_FACE: Readonly<Record<string, number | boolean | string>> = {
  d_model: 32,
  encoder_layers: 3,
  decoder_layers: 4,
  encoder_ffn_dim: 64,
  decoder_ffn_dim: 64,
  encoder_attention_heads: 4,
  decoder_attention_heads: 4,
  normformer: true,
  resnet_type: 'resnet50',
  token_bucket_size: 256,
  image_bucket_size: 42,
  attn_scale_factor: 2,
  code_image_size: 128,
  vocab_size: 389,
  code_dict_size: 16,
  num_bins: 32,
  train_mue: true,
  patch_image_size: 64,
};

/** Parts of names that differ in Hugging Face-style files. */
const RENAMED: readonly (readonly [stack: string, fairseq: string, huggingFace: string])[] = [
  ['encoder', 'attn_ln', 'self_attn_mid_layer_norm'],
  ['encoder', 'ffn_layernorm', 'ffn_layer_norm'],
  ['decoder', 'self_attn_ln', 'self_attn_mid_layer_norm'],
  ['decoder', 'encoder_attn', 'cross_attn'],
  ['decoder', 'encoder_attn_layer_norm', 'cross_attn_layer_norm'],
  ['decoder', 'cross_attn_ln', 'cross_attn_mid_layer_norm'],
  ['decoder', 'ffn_layernorm', 'ffn_layer_norm'],
];

/** The name that a Hugging Face-style file has for fairseq's. */
export function toHuggingFaceName(name: string): string {
  const [stack, layers, layer, part, ...rest] = name.split('.');
  const renamed = layers === 'layers' && RENAMED.find(([of, fairseq]) => of === stack && fairseq === part);
  return renamed ? [stack, layers, layer, renamed[2], ...rest].join('.') : name;
}
