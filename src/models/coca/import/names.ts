import type {StoredWeight, WeightLayout} from '../../weights.js';
import {type CocaConfig, patchGrid} from '../config.js';

/** A weight of the model, and the tensor of open_clip's file that it is, or is one of the row-thirds of. */
export interface CocaWeight extends StoredWeight {
  /** Names that a file may have it under, most usual first. */
  readonly sources: readonly CocaSource[];
}

export interface CocaSource {
  readonly name: string;
  readonly rows?: {readonly first: number; readonly count: number; readonly of: number};
}

const weight = (
  name: string,
  shape: readonly number[],
  layout: WeightLayout = 'plain',
  sources?: readonly CocaSource[],
): CocaWeight => ({
  name,
  shape,
  layout,
  sources: sources ?? [{name}],
});

function norm(name: string, size: number): CocaWeight[] {
  return [weight(`${name}.weight`, [size]), weight(`${name}.bias`, [size])];
}

function linear(name: string, inputs: number, outputs: number): CocaWeight[] {
  return [weight(`${name}.weight`, [inputs, outputs], 'linear'), weight(`${name}.bias`, [outputs])];
}

/** Queries, keys and values are fused in one tensor, in this order (coca section 2.1); or stored apart where their inputs differ. */
function attention(name: string, size: number, memorySize = size): CocaWeight[] {
  const third = (part: string, i: number): CocaSource => ({
    name: `${name}.${part}`,
    rows: {first: i * size, count: size, of: 3 * size},
  });
  const inputs = ['q', 'k', 'v'].flatMap((letter, i) => {
    const width = letter === 'q' ? size : memorySize;
    const apart = {name: `${name}.${letter}_proj_weight`};
    const sources = memorySize === size ? [third('in_proj_weight', i), apart] : [apart];
    return [
      weight(`${name}.${letter}_proj.weight`, [width, size], 'linear', sources),
      weight(`${name}.${letter}_proj.bias`, [size], 'plain', [third('in_proj_bias', i)]),
    ];
  });
  return [...inputs, ...linear(`${name}.out_proj`, size, size)];
}

function block(name: string, size: number, hidden: number, cross = false): CocaWeight[] {
  return [
    ...norm(`${name}.ln_1`, size),
    ...(cross ? norm(`${name}.ln_1_kv`, size) : []),
    ...attention(`${name}.attn`, size),
    ...norm(`${name}.ln_2`, size),
    ...linear(`${name}.mlp.c_fc`, size, hidden),
    ...linear(`${name}.mlp.c_proj`, hidden, size),
  ];
}

const each = (count: number, of: (i: number) => CocaWeight[]): CocaWeight[] =>
  Array.from({length: count}, (_, i) => of(i)).flat();

function vision(config: CocaConfig): CocaWeight[] {
  const {width: size, layers, mlp_width, patch_size: side, pooler} = config.vision;
  const d = config.text.width;
  const outputs = pooler ? d : size;
  return [
    weight('visual.class_embedding', [size]),
    weight('visual.positional_embedding', [patchGrid(config) ** 2 + 1, size]),
    weight('visual.conv1.weight', [side, side, 3, size], 'conv'),
    ...norm('visual.ln_pre', size),
    ...each(layers, (i) => block(`visual.transformer.resblocks.${i}`, size, mlp_width)),
    ...(pooler
      ? [
          weight('visual.attn_pool.query', [pooler.queries, d]),
          ...attention('visual.attn_pool.attn', d, size),
          ...norm('visual.attn_pool.ln_q', d),
          ...norm('visual.attn_pool.ln_k', size),
        ]
      : []),
    ...norm('visual.ln_post', outputs),
    weight('visual.proj', [outputs, config.embed_dim]),
  ];
}

function text(config: CocaConfig): CocaWeight[] {
  const {width: size, layers, mlp_width, vocab_size, context_length} = config.text;
  return [
    weight('text.token_embedding.weight', [vocab_size, size]),
    weight('text.positional_embedding', [context_length + 1, size]),
    weight('text.cls_emb', [size]),
    ...each(layers, (i) => block(`text.transformer.resblocks.${i}`, size, mlp_width)),
    ...norm('text.ln_final', size),
    weight('text.text_projection', [size, config.embed_dim]),
  ];
}

function multimodal(config: CocaConfig): CocaWeight[] {
  const {width: size, vocab_size} = config.text;
  const {layers, mlp_width} = config.multimodal;
  return [
    ...each(layers, (i) => block(`text_decoder.resblocks.${i}`, size, mlp_width)),
    ...each(layers, (i) => block(`text_decoder.cross_attn.${i}`, size, mlp_width, true)),
    ...norm('text_decoder.ln_final', size),
    weight('text_decoder.text_projection', [size, vocab_size]),
  ];
}

/** Every weight of the model that a configuration describes, in the order in which it is stored (coca section 3.2). */
export function cocaWeights(config: CocaConfig): readonly CocaWeight[] {
  return [weight('logit_scale', []), ...vision(config), ...text(config), ...multimodal(config)];
}

/** Why an entry of a checkpoint is not a weight of the model; null if it should be one. */
export function ignoredReason(name: string): string | null {
  if (name === 'logit_bias') return 'added to every similarity: changes no ranking';
  if (/(^|\.)attn_mask$/.test(name)) return 'attention mask, computed';
  return null;
}

/** The part of the model that a weight belongs to. */
export function partOf(name: string): string {
  if (name.startsWith('visual.attn_pool.')) return 'attentional pooler';
  if (name.startsWith('visual.')) return 'image tower';
  if (name === 'text.token_embedding.weight') return 'token embedding';
  if (name.startsWith('text.')) return 'unimodal text';
  if (name === 'text_decoder.text_projection') return 'word head';
  return name.startsWith('text_decoder.') ? 'multimodal text' : 'logit scale';
}
