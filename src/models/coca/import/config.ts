import {z} from 'zod';
import type {PlainValue} from '../../../checkpoint/checkpoint.js';
import {WeightsError} from '../../../runtime/errors.js';
import {
  CLIP_MEAN,
  CLIP_STD,
  CLIP_VOCABULARY,
  COCA_GENERATION,
  type CocaConfig,
  cocaConfigSchema,
  patchGrid,
} from '../config.js';

const MAX_LAYERS = 256;
/** Patches on a side; OpenCLIP's largest models have 37. */
const MAX_GRID = 128;
const count = z.number().int().positive().max(1_000_000);
const layers = count.max(MAX_LAYERS);
const numbers = z.tuple([z.number(), z.number(), z.number()]);
const side = z.union([
  count,
  z
    .tuple([count, count])
    .refine(([a, b]) => a === b, 'only square pictures are supported')
    .transform(([a]) => a),
]);

// Defaults are open_clip's. Unknown fields are accepted: many have no effect (docs/reference/coca.md 1).
const visionSchema = z.looseObject({
  image_size: side.default(224),
  patch_size: side.default(16),
  width: count.default(768),
  layers: layers.default(12),
  head_width: count.default(64),
  mlp_ratio: z.number().positive().max(64).default(4),
  attentional_pool: z.union([z.boolean(), z.string()]).default(false),
  attn_pooler_queries: count.default(256),
  attn_pooler_heads: count.default(8),
});
const textSchema = z.looseObject({
  context_length: count.default(77),
  vocab_size: count.default(CLIP_VOCABULARY),
  width: count.default(512),
  heads: count.default(8),
  layers: layers.default(12),
  mlp_ratio: z.number().positive().max(64).default(4),
});
const modelSchema = z.looseObject({
  embed_dim: count,
  vision_cfg: visionSchema,
  text_cfg: textSchema,
  multimodal_cfg: textSchema,
  quick_gelu: z.boolean().default(false),
});
const preprocessSchema = z.looseObject({mean: numbers.optional(), std: numbers.optional(), size: side.optional()});

/** Fields that change the computation, and the values under which they do not. */
const NEUTRAL: Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>> = {
  vision_cfg: {
    attentional_pool: [true, false],
    ls_init_value: [null],
    no_ln_pre: [false],
    pos_embed_type: ['learnable'],
    final_ln_after_pool: [false],
    pool_type: ['tok'],
    timm_model_name: [null],
    qk_norm: [false],
    patch_dropout: [0],
    act_kwargs: [null],
    norm_kwargs: [null],
    block_type: [null],
    scale_fc: [false],
    scale_attn: [false],
    scale_heads: [false],
  },
  text_cfg: {
    hf_model_name: [null],
    ls_init_value: [null],
    embed_cls: [true],
    no_causal_mask: [false],
    final_ln_after_pool: [false],
    proj_type: ['linear'],
    proj_bias: [false],
    qk_norm: [false],
    act_kwargs: [null],
    norm_kwargs: [null],
    pad_id: [0],
    scale_fc: [false],
    scale_attn: [false],
    scale_heads: [false],
  },
  multimodal_cfg: {ls_init_value: [null], act_kwargs: [null], norm_kwargs: [null]},
};

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whether these are settings of open_clip's, whole or its `model_cfg` alone. */
export function isOpenClipConfig(cfg: PlainValue): boolean {
  return isObject(cfg) && ('model_cfg' in cfg || 'vision_cfg' in cfg);
}

/**
 * The configuration that `open_clip_config.json`, or one of open_clip's model files, describes.
 * @throws WeightsError for a model that is not computed here, or settings that make no sense
 */
export function importConfig(cfg: unknown): CocaConfig {
  const whole = isObject(cfg) ? cfg : {};
  const model = 'model_cfg' in whole ? whole.model_cfg : whole;
  if (!isObject(model) || !isObject(model.multimodal_cfg))
    throw new WeightsError(
      'other-model',
      'The configuration has no multimodal_cfg: it describes a CLIP model without a caption decoder, or no model.',
      {
        hint: 'Only CoCa models of open_clip can be converted.',
      },
    );
  checkSupported(model);
  const {
    vision_cfg: vision,
    text_cfg: text,
    multimodal_cfg: multimodal,
    embed_dim,
    quick_gelu,
  } = parsed(modelSchema, model);
  const {mean, std, size} = parsed(preprocessSchema, whole.preprocess_cfg ?? {});
  const special = Math.min(text.vocab_size, CLIP_VOCABULARY);
  const hidden = (of: {width: number; mlp_ratio: number}): number => Math.floor(of.width * of.mlp_ratio);
  const config: CocaConfig = {
    format: 'mue-tfjs',
    version: 1,
    family: 'coca',
    embed_dim,
    vision: {
      // Images are preprocessed as for the size that the model runs with (docs/reference/coca.md 3.4).
      image_size: size ?? vision.image_size,
      patch_size: vision.patch_size,
      width: vision.width,
      layers: vision.layers,
      heads: Math.floor(vision.width / vision.head_width),
      mlp_width: hidden(vision),
      pooler: vision.attentional_pool ? {queries: vision.attn_pooler_queries, heads: vision.attn_pooler_heads} : null,
    },
    text: {
      context_length: text.context_length,
      vocab_size: text.vocab_size,
      width: text.width,
      layers: text.layers,
      heads: text.heads,
      mlp_width: hidden(text),
    },
    multimodal: {
      layers: multimodal.layers,
      heads: multimodal.heads,
      mlp_width: hidden({...multimodal, width: text.width}),
    },
    activation: quick_gelu ? 'quick_gelu' : 'gelu',
    cls_mask: 'legacy',
    pad_id: 0,
    start_id: special - 2,
    end_id: special - 1,
    image_mean: mean ?? CLIP_MEAN,
    image_std: std ?? CLIP_STD,
    generation: {...COCA_GENERATION, seq_len: Math.min(COCA_GENERATION.seq_len, text.context_length)},
  };
  return checked(config, multimodal.width);
}

function checkSupported(model: Readonly<Record<string, unknown>>): void {
  const problems = Object.entries(NEUTRAL).flatMap(([part, fields]) => {
    const settings = model[part];
    if (!isObject(settings)) return [];
    return Object.entries(fields).flatMap(([name, neutral]) =>
      !(name in settings) || settings[name] === null || neutral.includes(settings[name])
        ? []
        : [`${part}.${name} is ${JSON.stringify(settings[name]).slice(0, 60)}`],
    );
  });
  if (problems.length)
    throw new WeightsError(
      'unsupported-architecture',
      `The configuration has settings that are not supported: ${problems.join('; ')}.`,
    );
}

function parsed<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new WeightsError('bad-config', `The configuration makes no sense: ${issues(result.error)}.`);
}

function issues(error: z.ZodError): string {
  return error.issues.map(({path, message}) => `${path.join('.') || 'top level'}: ${message}`).join('; ');
}

function checked(config: CocaConfig, multimodalWidth: number): CocaConfig {
  const {vision, text, multimodal, embed_dim} = config;
  const problems = [
    ...(vision.heads < 1 || vision.width % vision.heads
      ? [`a vision width of ${vision.width} in ${vision.heads} heads`]
      : []),
    ...(text.width % text.heads ? [`a text width of ${text.width} in ${text.heads} heads`] : []),
    ...(text.width % multimodal.heads ? [`a multimodal width of ${text.width} in ${multimodal.heads} heads`] : []),
    ...(vision.pooler && text.width % vision.pooler.heads
      ? [`a pooler width of ${text.width} in ${vision.pooler.heads} heads`]
      : []),
    ...(multimodalWidth === text.width
      ? []
      : [`a multimodal width of ${multimodalWidth} after a text width of ${text.width}`]),
    ...(vision.pooler && embed_dim !== text.width
      ? [`an embedding width of ${embed_dim} with a pooler of ${text.width}`]
      : []),
    ...(vision.pooler || vision.width === text.width
      ? []
      : [`image tokens of ${vision.width} for a text width of ${text.width}, without pooler`]),
    ...(vision.image_size < vision.patch_size
      ? [`pictures of ${vision.image_size} px in patches of ${vision.patch_size}`]
      : []),
    ...(patchGrid(config) > MAX_GRID ? [`pictures of ${vision.image_size} px in patches of ${vision.patch_size}`] : []),
  ];
  if (problems.length)
    throw new WeightsError('bad-config', `The configuration makes no sense: ${problems.join('; ')}.`);
  return parsed(cocaConfigSchema, config);
}
