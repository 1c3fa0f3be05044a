import {z} from 'zod';

const count = z.number().int().positive();

/** How answers of one task are searched for; the names are Hugging Face's, the values fairseq's (ofa_mue section 8). */
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
export type GenerationDefaults = z.infer<typeof generationSchema>;

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
  /** Trained for multiple early exiting: image and text are two streams. False: one joint encoder (plain OFA). */
  train_mue: z.boolean(),
  /** Whether the image stream of a MuE model uses its relative position bias (quirk Q1); in plain OFA it always does. */
  mue_image_rel_bias: z.boolean(),
  /** Side of the square that pictures are resized to, in pixels; and their normalisation, per channel. */
  patch_image_size: count,
  image_mean: z.tuple([z.number(), z.number(), z.number()]),
  image_std: z.tuple([z.number(), z.number(), z.number()]),
  /** What the decoder of closed tasks is fed before the answer. */
  prompt_type: z.enum(['none', 'src', 'prev_output']),
  /** Whether entailment prompts were trained with a text premise ("can image and text1 …"). */
  add_caption: z.boolean(),
  max_src_length: count,
  generation: z.strictObject({caption: generationSchema, vqa: generationSchema, prompt: generationSchema}),
});
export type OfaConfig = z.infer<typeof ofaConfigSchema>;
