import {z} from 'zod';

const count = z.number().int().positive();
const perChannel = z.tuple([z.number(), z.number(), z.number()]).readonly();
/** Depth and sizes of one tower. */
const tower = {layers: count, heads: count, mlp_width: count};

/**
 * How captions are generated where a call does not say; the names are open_clip's `generate` (docs/reference/coca.md
 * 7).
 */
const generationSchema = z.strictObject({
  rules: z.enum(['classic', 'current']),
  /** Most tokens, and fewest, start and end counted. */
  seq_len: count,
  min_seq_len: z.number().int().min(0),
  num_beams: count,
  num_beam_groups: count,
  repetition_penalty: z.number().positive(),
  temperature: z.number().positive(),
  top_k: count,
  top_p: z.number().positive(),
});
export type CocaGeneration = Readonly<z.infer<typeof generationSchema>>;

/** The `config.json` of a converted CoCa model: everything that the weights alone do not say. */
export const cocaConfigSchema = z.strictObject({
  format: z.literal('mue-tfjs'),
  version: z.literal(1),
  family: z.literal('coca'),
  /** Width of image and text embeddings. */
  embed_dim: count,
  vision: z.strictObject({
    ...tower,
    /** Side of the square images, and of the patches they are cut into, in pixels. */
    image_size: count,
    patch_size: count,
    width: count,
    /** The attentional pooler; null: the decoder reads the patches themselves (`coca_base`). */
    pooler: z.strictObject({queries: z.number().int().min(2), heads: count}).nullable(),
  }),
  /** The unimodal half of the text decoder. Its width is the multimodal half's, too. */
  text: z.strictObject({
    ...tower,
    /** Most tokens of a text, start and end counted; there is one position more, for CLS. */
    context_length: count,
    vocab_size: z.number().int().min(3),
    width: count,
  }),
  /** The multimodal half; a layer is a self block and a cross block. */
  multimodal: z.strictObject(tower),
  activation: z.enum(['gelu', 'quick_gelu']),
  /**
   * `legacy`: the validity bits of the text tower are shifted by one, as in all published weights
   * (docs/reference/coca.md 2.3).
   */
  cls_mask: z.enum(['legacy', 'correct']),
  pad_id: z.number().int().min(0),
  start_id: z.number().int().min(0),
  end_id: z.number().int().min(0),
  /** Normalisation of images, per channel. */
  image_mean: perChannel,
  image_std: perChannel,
  generation: generationSchema,
});
export type CocaConfig = Readonly<z.infer<typeof cocaConfigSchema>>;

/** open_clip's `generate`; its six beams in three groups find what two beams find (docs/reference/coca.md 7). */
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

/** CLIP's normalisation of images (docs/reference/coca.md 5). */
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

/** Patches on a side of the image. */
export function patchGrid({vision}: CocaConfig): number {
  return Math.floor(vision.image_size / vision.patch_size);
}

/** Image tokens that the decoder reads: the pooler's outputs but the first, which is the embedding; or the patches. */
export function memoryLength(config: CocaConfig): number {
  return config.vision.pooler ? config.vision.pooler.queries - 1 : patchGrid(config) ** 2;
}
