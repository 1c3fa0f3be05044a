import type * as tf from '@tensorflow/tfjs';
import {hasFused, runFused} from '../runtime/kernels.js';
import type {Attention, KeysValues} from './attention.js';
import type {CrossAttentionKv} from './cross-attention-cache.js';
import type {FeedForward} from './feed-forward.js';
import type {KvCache} from './kv-cache.js';
import {EPSILON, type LayerNorm} from './layer-norm.js';
import type {Linear} from './linear.js';

// The parts of a decoder layer for one new token of few rows, each as one call where the backend has it: there, calls
// cost more than numbers. Each gives undefined elsewhere.
//
// R rows, D width, n keys with the new one

/** x + attention, and the keys and values with the new token. */
type SelfAttentionOutputs = [tf.Tensor3D, tf.Tensor4D, tf.Tensor4D];

/** Rows up to which a part is quicker as one call than by kernels for many rows. */
const MOST_ROWS = 16;

/** An attention with the norms before and (where there is one) after it, and a residual around all. */
export interface AttentionPart {
  readonly inner: LayerNorm;
  readonly attention: Attention;
  readonly outer: LayerNorm | undefined;
}

/**
 * Self-attention of the new token.
 * @param x       [R, 1, D], borrowed
 * @param cache   of the tokens before, which stays as it is
 * @param bias    broadcast to [R, H, 1, n]
 * @returns       x + attention [R, 1, D], and what the cache is to hold with the new token; the caller's
 */
export function selfAttentionStep(
  part: AttentionPart,
  x: tf.Tensor3D,
  cache: KvCache,
  bias: readonly tf.Tensor[],
): {y: tf.Tensor3D; grown: KeysValues} | undefined {
  const keys = cache.length + 1;
  // Reading the cache moves its rows, which is left to the computation around where there is no such kernel.
  if (!hasFused('MueSelfAttentionStep') || !isFew(x) || cache.hasPadding) return undefined;
  if (!bias.every(({shape}) => shape.at(-1) === keys)) return undefined;
  const {attention} = part;
  const inputs = {
    ...attentionInputs(part, x, bias),
    ...linearInputs('k', attention.k),
    ...linearInputs('v', attention.v),
    ...cache.held,
  };
  const made = runFused<SelfAttentionOutputs>('MueSelfAttentionStep', inputs, attributes(attention, bias));
  if (!made) return undefined;
  const [y, grownKeys, grownValues] = made;
  return {y, grown: {keys: grownKeys, values: grownValues}};
}

/**
 * Cross-attention of the new token.
 * @param x      [R, 1, D], borrowed
 * @param bias   broadcast to [B, H, R / B, M]
 * @returns      x + attention [R, 1, D], the caller's
 */
export function crossAttentionStep(
  part: AttentionPart,
  x: tf.Tensor3D,
  memory: CrossAttentionKv,
  bias: readonly tf.Tensor[],
): tf.Tensor3D | undefined {
  const [keys, values] = [memory.keys.all, memory.values.all];
  if (!isFew(x) || !bias.every(({shape}) => shape.at(-1) === keys.shape[3])) return undefined;
  const inputs = {...attentionInputs(part, x, bias), keys, values};
  return runFused<[tf.Tensor3D]>('MueCrossAttentionStep', inputs, attributes(part.attention, bias))?.[0];
}

/**
 * @param x          [R, 1, D], borrowed
 * @param residual   [D], what x is multiplied by, borrowed
 * @returns          x · residual + feed-forward of the normed x, [R, 1, D], the caller's
 */
export function feedForwardStep(
  inner: LayerNorm,
  feedForward: FeedForward,
  x: tf.Tensor3D,
  residual: tf.Tensor | undefined,
): tf.Tensor3D | undefined {
  const {fc1, fc2, norm, config} = feedForward;
  if (!isFew(x) || config.activation === 'quick_gelu') return undefined;
  const inputs = {
    x,
    ...normInputs('inner', inner),
    ...linearInputs('fc1', fc1),
    ...normInputs('hidden', norm),
    ...linearInputs('fc2', fc2),
    ...(residual && {residual}),
  };
  return runFused<[tf.Tensor3D]>('MueFeedForwardStep', inputs, {epsilon: EPSILON})?.[0];
}

function isFew({shape: [rows, tokens]}: tf.Tensor3D): boolean {
  return tokens === 1 && rows <= MOST_ROWS;
}

function attributes({config, queryFactor}: Attention, bias: readonly tf.Tensor[]): tf.NamedAttrMap {
  return {heads: config.heads, factor: queryFactor, epsilon: EPSILON, biases: bias.length};
}

function attentionInputs(
  {inner, attention, outer}: AttentionPart,
  x: tf.Tensor3D,
  bias: readonly tf.Tensor[],
): {readonly x: tf.Tensor} & tf.NamedTensorMap {
  const scale = attention.headScale;
  return {
    x,
    ...normInputs('inner', inner),
    ...linearInputs('q', attention.q),
    ...linearInputs('out', attention.out),
    ...normInputs('outer', outer),
    ...(scale && {scale}),
    ...Object.fromEntries(bias.map((b, i) => [`bias${i}`, b])),
  };
}

function linearInputs(name: string, linear: Linear): tf.NamedTensorMap {
  const {weight, bias} = linear.parameters;
  return {[`${name}Weight`]: weight, [`${name}Bias`]: bias};
}

function normInputs(name: string, norm: LayerNorm | undefined): tf.NamedTensorMap {
  if (!norm) return {};
  const {gain, bias} = norm.parameters;
  return {[`${name}Gain`]: gain, [`${name}Bias`]: bias};
}
