import {WeightsError} from '../../../runtime/errors.js';
import {
  GENERATION_DEFAULTS,
  generationSchema,
  IMAGENET_MEAN,
  IMAGENET_STD,
  OFA_DEFAULTS,
  type OfaConfig,
  ofaConfigSchema,
  RESNET_LAYERS,
  SYNC_BATCH_NORM_EPSILON,
} from '../config.js';
import type {OfaSettings} from './settings.js';

/** The part of a checkpoint that the import asks for: names (fairseq's) and shapes. */
export interface NamedShapes {
  readonly names: readonly string[];
  shape(name: string): readonly number[] | undefined;
}

const MAX_LAYERS = 256;

/** Settings of docs/reference/ofa-mue.md 1.2 that change the computation and have one supported value. */
export const REQUIRED_SETTINGS: readonly (readonly [setting: string, wanted: boolean])[] = [
  ['encoder_normalize_before', true],
  ['decoder_normalize_before', true],
  ['layernorm_embedding', true],
  ['patch_layernorm_embedding', true],
  ['code_layernorm_embedding', true],
  ['add_type_embedding', true],
  ['disable_entangle', true],
  ['entangle_position_embedding', false],
  ['share_all_embeddings', true],
  ['share_decoder_input_output_embed', true],
  ['no_scale_embedding', true],
  ['interpolate_position', false],
  ['cross_self_attention', false],
  ['no_cross_attention', false],
  ['use_prompt', false],
  ['encoder_prompt', false],
  ['decoder_prompt', false],
  ['adapter', false],
];

/** @throws WeightsError naming every setting of the checkpoint that this implementation does not compute. */
export function checkSupported(settings: OfaSettings): void {
  const problems = REQUIRED_SETTINGS.flatMap(([name, wanted]) => {
    const got = settings.flag(name);
    return got === undefined || got === wanted ? [] : [`${name} is ${got}, supported is ${wanted}`];
  });
  const activation = settings.text('activation_fn');
  if (activation !== undefined && activation !== 'gelu')
    problems.push(`activation_fn is '${activation}', supported is 'gelu'`);
  const cutoff = settings.raw('adaptive_softmax_cutoff');
  if (cutoff !== undefined && cutoff !== '')
    problems.push('adaptive_softmax_cutoff is set, supported is an ordinary softmax');
  if (problems.length)
    throw new WeightsError(
      'unsupported-architecture',
      `The checkpoint has settings that are not supported: ${problems.join('; ')}.`,
    );
}

/** Layers in a stack by its tensor names; 0 if there are none. */
function depthOf(names: readonly string[], prefix: string): number {
  let depth = 0;
  for (const name of names)
    if (name.startsWith(prefix)) depth = Math.max(depth, 1 + Number(/^\d+/.exec(name.slice(prefix.length))?.[0] ?? -1));
  if (depth > MAX_LAYERS)
    throw new WeightsError(
      'bad-config',
      `The checkpoint has a tensor '${prefix}${depth - 1}…'; at most ${MAX_LAYERS} layers are read.`,
    );
  return depth;
}

/**
 * The configuration of a checkpoint: flags from its settings, sizes from its tensors, the value of
 * docs/reference/ofa-mue.md 1.2 where neither says. What deserves a word is pushed to `notes`.
 * @throws WeightsError for settings that are unsupported or make no sense.
 */
export function importConfig(settings: OfaSettings, tensors: NamedShapes, notes: string[]): OfaConfig {
  checkSupported(settings);
  if (!settings.known)
    notes.push('no configuration was saved with these weights: flags are those of the released models');
  const {names, shape} = tensors;
  const size = (name: string, axis: number): number | undefined => shape(name)?.[axis];
  /** The tensors' word counts; a setting that disagrees is noted. */
  const measured = (setting: string, fromTensors: number | undefined, fallback: number): number => {
    const said = settings.count(setting);
    if (fromTensors !== undefined && said !== undefined && said !== fromTensors)
      notes.push(`${setting} is ${said} in the settings and ${fromTensors} by the tensors: the tensors count`);
    return fromTensors ?? said ?? fallback;
  };
  /**
   * A depth that the settings promise is not lowered: a file without its last layer must fail, not become a shallower
   * model.
   */
  const depth = (setting: string, prefix: string): number => {
    const [found, said] = [depthOf(names, prefix), settings.count(setting, MAX_LAYERS)];
    if (said !== undefined && said < found)
      notes.push(`${setting} is ${said} in the settings and ${found} by the tensors: the tensors count`);
    return Math.max(found, said ?? 1, 1);
  };
  const rows = (stack: string): number | undefined => {
    const count = size(`${stack}.embed_positions.weight`, 0);
    return count === undefined ? undefined : count - 2;
  };
  const half = (count: number | undefined): number | undefined =>
    count === undefined ? undefined : Math.floor((count + 1) / 2);
  const root = (count: number | undefined): number | undefined =>
    count === undefined ? undefined : Math.round(Math.sqrt(count - 1));
  const mue = settings.flag('train_mue') ?? false;
  const imagenet = settings.flag('imagenet_default_mean_and_std') ?? false;
  const encoderDepth = depth('encoder_layers', 'encoder.layers.');
  const vocabulary = measured('vocab_size', size('encoder.embed_tokens.weight', 0), 59457);
  const present = (pattern: RegExp): boolean => names.some((name) => pattern.test(name));
  const config: OfaConfig = {
    format: 'mue-tfjs',
    version: 1,
    family: 'ofa',
    d_model: measured('encoder_embed_dim', size('encoder.embed_tokens.weight', 1), 768),
    encoder_layers: encoderDepth,
    decoder_layers: depth('decoder_layers', 'decoder.layers.'),
    encoder_ffn_dim: measured('encoder_ffn_embed_dim', size('encoder.layers.0.fc1.weight', 0), 3072),
    decoder_ffn_dim: measured('decoder_ffn_embed_dim', size('decoder.layers.0.fc1.weight', 0), 3072),
    encoder_attention_heads: measured(
      'encoder_attention_heads',
      size('encoder.token_rel_pos_table_list.0.weight', 1),
      12,
    ),
    decoder_attention_heads: measured(
      'decoder_attention_heads',
      size('decoder.token_rel_pos_table_list.0.weight', 1),
      12,
    ),
    resnet_layers: resnetLayers(settings, names, notes),
    batch_norm_epsilon:
      settings.number('batch_norm_epsilon') ??
      (settings.flag('sync_bn') ? SYNC_BATCH_NORM_EPSILON : OFA_DEFAULTS.batch_norm_epsilon),
    vocab_size: vocabulary,
    code_dict_size: settings.count('code_dict_size') ?? OFA_DEFAULTS.code_dict_size,
    num_bins: settings.count('num_bins') ?? OFA_DEFAULTS.num_bins,
    max_source_positions: measured('max_source_positions', rows('encoder'), OFA_DEFAULTS.max_source_positions),
    max_target_positions: measured('max_target_positions', rows('decoder'), OFA_DEFAULTS.max_target_positions),
    token_bucket_size: measured(
      'token_bucket_size',
      half(size('encoder.token_rel_pos_table_list.0.weight', 0)),
      OFA_DEFAULTS.token_bucket_size,
    ),
    image_bucket_size: measured(
      'image_bucket_size',
      root(size('encoder.embed_image_positions.weight', 0)),
      OFA_DEFAULTS.image_bucket_size,
    ),
    attn_scale_factor: settings.number('attn_scale_factor') ?? OFA_DEFAULTS.attn_scale_factor,
    code_image_size: settings.count('code_image_size') ?? OFA_DEFAULTS.code_image_size,
    scale_attn: settings.flag('scale_attn') ?? present(/\.layers\.\d+\.(attn_ln|self_attn_ln)\./),
    scale_fc: settings.flag('scale_fc') ?? present(/\.ffn_layernorm\./),
    scale_heads: settings.flag('scale_heads') ?? present(/\.c_attn$/),
    scale_resids: settings.flag('scale_resids') ?? present(/\.w_resid$/),
    train_mue: mue,
    mue_image_rel_bias: settings.flag('mue_image_rel_bias') ?? !mue,
    patch_image_size: settings.count('patch_image_size', 8192) ?? OFA_DEFAULTS.patch_image_size,
    image_mean: triple(settings.numbers('image_mean', 3)) ?? (imagenet ? IMAGENET_MEAN : [0.5, 0.5, 0.5]),
    image_std: triple(settings.numbers('image_std', 3)) ?? (imagenet ? IMAGENET_STD : [0.5, 0.5, 0.5]),
    prompt_type: promptType(settings),
    add_caption: settings.flag('add_caption') ?? OFA_DEFAULTS.add_caption,
    max_src_length: settings.count('max_src_length') ?? OFA_DEFAULTS.max_src_length,
    generation: generation(settings),
  };
  return validated(config);
}

function validated(config: OfaConfig): OfaConfig {
  const result = ofaConfigSchema.safeParse(config);
  if (!result.success) {
    const problems = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new WeightsError('bad-config', `The checkpoint's configuration makes no sense: ${problems.join('; ')}.`);
  }
  for (const stack of ['encoder', 'decoder'] as const)
    if (config.d_model % config[`${stack}_attention_heads`])
      throw new WeightsError(
        'bad-config',
        `The checkpoint's width ${config.d_model} cannot be split into ${config[`${stack}_attention_heads`]} ${stack} heads.`,
      );
  return config;
}

/**
 * Blocks by the names of the tensors; the stored type (some checkpoints store a wrong one) only where there are none.
 */
function resnetLayers(
  settings: OfaSettings,
  names: readonly string[],
  notes: string[],
): readonly [number, number, number] {
  const type = settings.text('resnet_type');
  const listed = triple(settings.counts('resnet_layers', 3, MAX_LAYERS));
  const said = listed ?? (type !== undefined && Object.hasOwn(RESNET_LAYERS, type) ? RESNET_LAYERS[type] : undefined);
  const found = [1, 2, 3].map((stage) => depthOf(names, `encoder.embed_images.layer${stage}.`)) as [
    number,
    number,
    number,
  ];
  if (found.every((n) => n === 0)) return said ?? RESNET_LAYERS.resnet101!;
  // An explicit list is a promise, as the depths of the stacks are; a type's name is not.
  if (listed) return [0, 1, 2].map((s) => Math.max(found[s]!, listed[s]!)) as [number, number, number];
  if (said && said.join() !== found.join())
    notes.push(`resnet_type is '${type}', but the tensors have ${found.join(', ')} blocks: the tensors count`);
  return found.map((n) => Math.max(n, 1)) as [number, number, number];
}

function triple(values: readonly number[] | undefined): [number, number, number] | undefined {
  return values?.length === 3 ? [values[0]!, values[1]!, values[2]!] : undefined;
}

function promptType(settings: OfaSettings): OfaConfig['prompt_type'] {
  const type = settings.text('prompt_type') ?? OFA_DEFAULTS.prompt_type;
  if (type === 'none' || type === 'src' || type === 'prev_output') return type;
  throw new WeightsError(
    'bad-config',
    `The checkpoint's prompt_type is '${type}'; known are none, src and prev_output.`,
  );
}

/**
 * Captions and free prompts search as the task's settings say, if they do; questions have their own way
 * (docs/reference/ofa-mue.md 8.3).
 */
function generation(settings: OfaSettings): OfaConfig['generation'] {
  const stored = settings.raw('generation');
  if (typeof stored === 'object' && stored !== null && !Array.isArray(stored)) {
    const {caption, vqa, prompt} = stored as {readonly [key: string]: unknown};
    return {
      caption: generationSchema.parse(caption),
      vqa: generationSchema.parse(vqa),
      prompt: generationSchema.parse(prompt),
    };
  }
  const caption = {
    ...GENERATION_DEFAULTS.caption,
    num_beams: settings.count('beam', 1000) ?? GENERATION_DEFAULTS.caption.num_beams,
    max_new_tokens: settings.count('max_len_b') ?? GENERATION_DEFAULTS.caption.max_new_tokens,
    no_repeat_ngram_size:
      settings.count('no_repeat_ngram_size', 1000) ?? GENERATION_DEFAULTS.caption.no_repeat_ngram_size,
  };
  return {caption, vqa: {...GENERATION_DEFAULTS.vqa, num_beams: caption.num_beams}, prompt: caption};
}
