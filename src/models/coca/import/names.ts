import type {StoredWeight} from '../../../nn/block.js';

/** A tensor of open_clip's file that a weight of the model is, or is one of the row-thirds of. */
export interface CocaSource {
  readonly name: string;
  readonly rows?: {readonly first: number; readonly count: number; readonly of: number};
}

/**
 * Names that a file may have a weight under, most usual first. Queries, keys and values are fused in one tensor, in
 * this order (docs/reference/coca.md 2.1), or stored apart where their inputs differ.
 * @param shapes   of all weights of the model
 */
export function sourcesOf(
  {name, shape}: StoredWeight,
  shapes: ReadonlyMap<string, readonly number[]>,
): readonly CocaSource[] {
  const match = /^(.*\.attn)\.([qkv])_proj\.(weight|bias)$/.exec(name);
  if (!match) return [{name}];
  const [, attention, letter, part] = match as unknown as [string, string, 'q' | 'k' | 'v', 'weight' | 'bias'];
  const size = shape.at(-1)!;
  const first = ['q', 'k', 'v'].indexOf(letter) * size;
  const fused = {name: `${attention}.in_proj_${part}`, rows: {first, count: size, of: 3 * size}};
  if (part === 'bias') return [fused];
  const apart = {name: `${attention}.${letter}_proj_weight`};
  const oneInput = shapes.get(`${attention}.k_proj.weight`)![0] === size;
  return oneInput ? [fused, apart] : [apart];
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
