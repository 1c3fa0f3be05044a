import type {StoredWeight, WeightLayout} from '../../weights.js';
import type {OfaConfig} from '../config.js';

/** The one name under which the tied matrix is kept, and its copies (section 5.2). */
export const TIED_EMBEDDING = 'encoder.embed_tokens.weight';
export const TIED_COPIES: readonly string[] = ['decoder.embed_tokens.weight', 'decoder.output_projection.weight'];

/** Planes of the three stages of bottlenecks; a block gives four times as many channels. */
const PLANES = [64, 128, 256] as const;

const weight = (name: string, shape: readonly number[], layout: WeightLayout = 'plain'): StoredWeight => ({
  name,
  shape,
  layout,
});

function linear(name: string, inputs: number, outputs: number): StoredWeight[] {
  return [weight(`${name}.weight`, [inputs, outputs], 'linear'), weight(`${name}.bias`, [outputs])];
}

function norm(name: string, size: number): StoredWeight[] {
  return [
    {...weight(`${name}.weight`, [size]), neutral: 1},
    {...weight(`${name}.bias`, [size]), neutral: 0},
  ];
}

function convNorm(conv: string, norm: string, kernel: number, inputs: number, outputs: number): StoredWeight[] {
  return [
    weight(`${conv}.weight`, [kernel, kernel, inputs, outputs], 'conv'),
    weight(`${norm}.weight`, [outputs]),
    weight(`${norm}.bias`, [outputs]),
    {...weight(`${norm}.running_mean`, [outputs]), statistic: true},
    {...weight(`${norm}.running_var`, [outputs]), statistic: true},
  ];
}

function resnet(name: string, blocks: readonly number[]): StoredWeight[] {
  const stages = PLANES.flatMap((planes, s) =>
    Array.from({length: blocks[s]!}, (_, b) => {
      const block = `${name}.layer${s + 1}.${b}`;
      const inputs = b > 0 ? 4 * planes : s > 0 ? 4 * PLANES[s - 1]! : 64;
      return [
        ...convNorm(`${block}.conv1`, `${block}.bn1`, 1, inputs, planes),
        ...convNorm(`${block}.conv2`, `${block}.bn2`, 3, planes, planes),
        ...convNorm(`${block}.conv3`, `${block}.bn3`, 1, planes, 4 * planes),
        ...(b === 0 ? convNorm(`${block}.downsample.0`, `${block}.downsample.1`, 1, inputs, 4 * planes) : []),
      ];
    }).flat(),
  );
  return [...convNorm(`${name}.conv1`, `${name}.bn1`, 7, 3, 64), ...stages];
}

function attention(name: string, size: number, heads: number, config: OfaConfig): StoredWeight[] {
  return [
    ...(config.scale_heads ? [{...weight(`${name}.c_attn`, [heads]), neutral: 1 as const}] : []),
    ...['k_proj', 'v_proj', 'q_proj', 'out_proj'].flatMap((part) => linear(`${name}.${part}`, size, size)),
  ];
}

function feedForward(name: string, size: number, hidden: number, config: OfaConfig): StoredWeight[] {
  return [
    ...linear(`${name}.fc1`, size, hidden),
    ...linear(`${name}.fc2`, hidden, size),
    ...(config.scale_fc ? norm(`${name}.ffn_layernorm`, hidden) : []),
    ...norm(`${name}.final_layer_norm`, size),
    ...(config.scale_resids ? [weight(`${name}.w_resid`, [size])] : []),
  ];
}

function positions(stack: string, rows: number, heads: number, layers: number, config: OfaConfig): StoredWeight[] {
  const {d_model: size, image_bucket_size: side} = config;
  const tables = (kind: string, buckets: number): StoredWeight[] =>
    Array.from({length: layers}, (_, i) => weight(`${stack}.${kind}_rel_pos_table_list.${i}.weight`, [buckets, heads]));
  return [
    // Two rows more than positions: fairseq's offset for padding, which this model does not use.
    weight(`${stack}.embed_positions.weight`, [rows + 2, size]),
    weight(`${stack}.embed_image_positions.weight`, [side ** 2 + 1, size]),
    ...norm(`${stack}.pos_ln`, size),
    ...norm(`${stack}.image_pos_ln`, size),
    ...tables('token', 2 * config.token_bucket_size - 1),
    ...tables('image', (2 * side - 1) ** 2 + 3),
  ];
}

function encoder(config: OfaConfig): StoredWeight[] {
  const {d_model: size, encoder_attention_heads: heads, encoder_layers: depth} = config;
  const layers = Array.from({length: depth}, (_, i) => {
    const layer = `encoder.layers.${i}`;
    return [
      ...attention(`${layer}.self_attn`, size, heads, config),
      ...norm(`${layer}.self_attn_layer_norm`, size),
      ...(config.scale_attn ? norm(`${layer}.attn_ln`, size) : []),
      ...feedForward(layer, size, config.encoder_ffn_dim, config),
    ];
  });
  return [
    weight(TIED_EMBEDDING, [size, config.vocab_size], 'embedding-transposed'),
    ...norm('encoder.layernorm_embedding', size),
    weight('encoder.type_embedding.weight', [2, size]),
    ...resnet('encoder.embed_images', config.resnet_layers),
    ...linear('encoder.image_proj', 4 * PLANES[2], size),
    ...norm('encoder.patch_layernorm_embedding', size),
    ...positions('encoder', config.max_source_positions, heads, depth, config),
    ...linear('encoder.pos_q_linear', size, size),
    ...linear('encoder.pos_k_linear', size, size),
    ...layers.flat(),
    ...norm('encoder.layer_norm', size),
  ];
}

function decoder(config: OfaConfig): StoredWeight[] {
  const {d_model: size, decoder_attention_heads: heads, decoder_layers: depth} = config;
  const layers = Array.from({length: depth}, (_, i) => {
    const layer = `decoder.layers.${i}`;
    return [
      ...attention(`${layer}.self_attn`, size, heads, config),
      ...norm(`${layer}.self_attn_layer_norm`, size),
      ...(config.scale_attn ? norm(`${layer}.self_attn_ln`, size) : []),
      ...attention(`${layer}.encoder_attn`, size, heads, config),
      ...norm(`${layer}.encoder_attn_layer_norm`, size),
      ...(config.scale_attn ? norm(`${layer}.cross_attn_ln`, size) : []),
      ...feedForward(layer, size, config.decoder_ffn_dim, config),
    ];
  });
  return [
    ...norm('decoder.layernorm_embedding', size),
    ...norm('decoder.code_layernorm_embedding', size),
    ...positions('decoder', config.max_target_positions, heads, depth, config),
    ...['self_pos_q', 'self_pos_k', 'cross_pos_q', 'cross_pos_k'].flatMap((part) =>
      linear(`decoder.${part}_linear`, size, size),
    ),
    ...layers.flat(),
    ...norm('decoder.layer_norm', size),
  ];
}

/** Every weight of the model that a configuration describes, in the order in which it is stored; the tied matrix once. */
export function ofaWeights(config: OfaConfig): readonly StoredWeight[] {
  return [...encoder(config), ...decoder(config)];
}

/** Names that differ in Hugging Face-style files (section 5.4), innermost part of the name; per stack, since attn_ln has two names. */
const HF_PARTS: Readonly<Record<'encoder' | 'decoder', readonly (readonly [fairseq: string, huggingFace: string])[]>> =
  {
    encoder: [
      ['attn_ln', 'self_attn_mid_layer_norm'],
      ['ffn_layernorm', 'ffn_layer_norm'],
    ],
    decoder: [
      ['self_attn_ln', 'self_attn_mid_layer_norm'],
      ['encoder_attn', 'cross_attn'],
      ['encoder_attn_layer_norm', 'cross_attn_layer_norm'],
      ['cross_attn_ln', 'cross_attn_mid_layer_norm'],
      ['ffn_layernorm', 'ffn_layer_norm'],
    ],
  };

function rename(name: string, from: 0 | 1): string {
  const match = /^(encoder|decoder)(\.layers\.\d+\.)(\w+)(.*)$/.exec(name);
  if (!match) return name;
  const [, stack, layer, part, rest] = match as unknown as [string, 'encoder' | 'decoder', string, string, string];
  const pair = HF_PARTS[stack].find((names) => names[from] === part);
  return `${stack}${layer}${pair ? pair[1 - from] : part}${rest}`;
}

export function toHuggingFaceName(fairseq: string): string {
  return rename(fairseq, 0);
}

export function fromHuggingFaceName(huggingFace: string): string {
  return rename(huggingFace, 1);
}

/** Why an entry of a checkpoint is not a weight of the model; null if it should be one. */
export function ignoredReason(name: string): string | null {
  if (TIED_COPIES.includes(name)) return `tied to ${TIED_EMBEDDING}`;
  if (/^(encoder|decoder)\.version$/.test(name)) return "fairseq's version mark";
  if (/\.(token|image)_rp_bucket$/.test(name)) return 'index table, computed from the configuration';
  if (name === 'decoder.image_position_idx') return 'index table, computed from the configuration';
  if (/\.num_batches_tracked$/.test(name)) return 'training statistic';
  if (/(^|\.)classification_heads\./.test(name)) return 'classification head, unused by every task';
  return null;
}

export type ModelPart =
  | 'token embedding'
  | 'resnet'
  | 'image projection'
  | 'positions'
  | 'relative position tables'
  | 'encoder layers'
  | 'decoder layers'
  | 'norms and types';

/** The part of the model that a weight (under fairseq's name) belongs to. */
export function partOf(name: string): ModelPart {
  if (name === TIED_EMBEDDING || TIED_COPIES.includes(name)) return 'token embedding';
  if (name.startsWith('encoder.embed_images.')) return 'resnet';
  if (name.startsWith('encoder.image_proj.')) return 'image projection';
  if (/_rel_pos_table_list\./.test(name)) return 'relative position tables';
  if (/\.(embed_positions|embed_image_positions|pos_ln|image_pos_ln|\w*pos_[qk]_linear)\./.test(name))
    return 'positions';
  if (name.startsWith('encoder.layers.')) return 'encoder layers';
  return name.startsWith('decoder.layers.') ? 'decoder layers' : 'norms and types';
}
