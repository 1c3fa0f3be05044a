import {UsageError} from '../../runtime/errors.js';
import {confidences} from './confidence.js';
import {rowCosines} from './cosine.js';
import type {ExitPolicy} from '../policy.js';
import {thresholdPolicy, type ThresholdOptions} from './threshold.js';

/** Features of the head, in this order: the measures that recordings hold. */
export const HEAD_FEATURES = ['similarity', 'margin', 'max', 'entropy'] as const;

/**
 * A logistic head on the measures of a layer: σ(w·f + b_layer) estimates the chance that this layer's token is the last
 * layer's.
 */
export interface LinearHead {
  readonly weights: readonly number[];
  /** One a layer but the last. */
  readonly biases: readonly number[];
}

/** Estimate of the head. @param layer from 1 */
export function headScore({weights, biases}: LinearHead, layer: number, features: readonly number[]): number {
  return 1 / (1 + Math.exp(-weights.reduce((sum, w, i) => sum + w * features[i]!, biases[layer - 1] ?? 0)));
}

/**
 * Leaves when a head, trained offline from recordings, is sure enough (CALM's and BERxiT's learned exits,
 * docs/reference/early-exit.md B2).
 */
export function linearHead({head, ...options}: ThresholdOptions & {readonly head: LinearHead}): ExitPolicy {
  if (head.weights.length !== HEAD_FEATURES.length || ![...head.weights, ...head.biases].every(Number.isFinite)) {
    throw new UsageError(
      'head-invalid',
      `a linear head needs ${HEAD_FEATURES.length} weights (${HEAD_FEATURES.join(', ')}) and a bias a layer, all numbers`,
    );
  }
  return thresholdPolicy(
    {
      name: 'linear-head',
      exits: 'at-least',
      scores: async (before, after, at, logits) => {
        const similarity = await rowCosines(before, after, at.length);
        const sure = await confidences(logits());
        const unit = (row: number): number => Math.floor((row * at.length) / sure.length);
        return sure.map(({margin, max, entropy}, row) =>
          headScore(head, at[0]!.layer, [similarity[unit(row)]!, margin, max, entropy]),
        );
      },
    },
    options,
  );
}

/** One layer of one item, for training. */
export interface HeadExample {
  readonly layer: number;
  readonly features: readonly number[];
  /** Whether this layer's token is the last layer's. */
  readonly agrees: boolean;
}

/**
 * Logistic regression by gradient descent with a small L2 penalty; the loss is convex, the result that of any solver.
 */
export function trainHead(
  examples: readonly HeadExample[],
  layers: number,
  {steps = 2000, rate = 0.5, penalty = 1e-4}: {steps?: number; rate?: number; penalty?: number} = {},
): LinearHead {
  if (examples.length === 0) throw new UsageError('head-untrained', 'a linear head needs examples');
  const n = HEAD_FEATURES.length;
  // Features are standardised, else the flat ones would hardly move.
  const mean = Array.from({length: n}, (_, i) => examples.reduce((s, e) => s + e.features[i]!, 0) / examples.length);
  const deviation = mean.map(
    (m, i) => Math.sqrt(examples.reduce((s, e) => s + (e.features[i]! - m) ** 2, 0) / examples.length) || 1,
  );
  const inputs = examples.map((e) => e.features.map((f, i) => (f - mean[i]!) / deviation[i]!));
  const w = new Float64Array(n);
  const b = new Float64Array(layers);
  for (let step = 0; step < steps; step++) {
    const dw = new Float64Array(n);
    const db = new Float64Array(layers);
    for (const [k, {layer, agrees}] of examples.entries()) {
      const x = inputs[k]!;
      let z = b[layer - 1]!;
      for (let i = 0; i < n; i++) z += w[i]! * x[i]!;
      const error = 1 / (1 + Math.exp(-z)) - Number(agrees);
      for (let i = 0; i < n; i++) dw[i]! += error * x[i]!;
      db[layer - 1]! += error;
    }
    for (let i = 0; i < n; i++) w[i]! -= rate * (dw[i]! / examples.length + penalty * w[i]!);
    for (let l = 0; l < layers; l++) b[l]! -= rate * (db[l]! / examples.length + penalty * b[l]!);
  }
  const weights = Array.from(w, (v, i) => v / deviation[i]!);
  const shift = weights.reduce((s, v, i) => s + v * mean[i]!, 0);
  return {weights, biases: Array.from(b, (v) => v - shift)};
}
