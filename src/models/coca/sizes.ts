import type {CocaConfig, CocaGeneration} from './config.js';

/** open_clip's `generate`; its six beams in three groups find what two beams find (coca section 7). */
export const COCA_GENERATION: CocaGeneration = {
  rules: 'classic',
  seq_len: 30,
  min_seq_len: 5,
  num_beams: 6,
  num_beam_groups: 3,
  repetition_penalty: 1,
  temperature: 1,
  top_k: 1,
  top_p: 0.1,
};

/** CLIP's normalisation of pictures (coca section 5). */
export const CLIP_MEAN: CocaConfig['image_mean'] = [0.48145466, 0.4578275, 0.40821073];
export const CLIP_STD: CocaConfig['image_std'] = [0.26862954, 0.26130258, 0.27577711];

/** The vocabulary of CLIP; larger embeddings have rows that nothing uses, smaller ones a cut vocabulary. */
export const CLIP_VOCABULARY = 49408;

const text = (width: number, heads: number, vocab_size = CLIP_VOCABULARY): object => ({
  context_length: 76,
  vocab_size,
  width,
  heads,
  layers: 12,
  embed_cls: true,
  output_tokens: true,
});

/** The `model_cfg` of the named architectures, as open_clip has them. */
export const COCA_ARCHITECTURES: Readonly<Record<string, object>> = {
  'coca_ViT-B-32': {
    embed_dim: 512,
    vision_cfg: {
      image_size: 224,
      layers: 12,
      width: 768,
      patch_size: 32,
      attentional_pool: true,
      attn_pooler_heads: 8,
      output_tokens: true,
    },
    text_cfg: text(512, 8),
    multimodal_cfg: {width: 512, heads: 8, layers: 12},
  },
  'coca_ViT-L-14': {
    embed_dim: 768,
    vision_cfg: {
      image_size: 224,
      layers: 24,
      width: 1024,
      patch_size: 14,
      attentional_pool: true,
      attn_pooler_heads: 8,
      output_tokens: true,
    },
    text_cfg: text(768, 12),
    multimodal_cfg: {width: 768, heads: 12, layers: 12},
  },
  coca_base: {
    embed_dim: 512,
    vision_cfg: {image_size: 288, layers: 12, width: 768, patch_size: 18, output_tokens: true},
    text_cfg: text(768, 12, 64000),
    multimodal_cfg: {width: 768, heads: 12, layers: 12},
  },
};
