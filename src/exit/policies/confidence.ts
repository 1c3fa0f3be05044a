import type * as tf from '@tensorflow/tfjs';
import {type ExitSide, thresholdPolicy, type ThresholdPolicy} from './threshold.js';

// Policies by how sure the next-token distribution is.   R rows, V words

/** How sure the next-token distribution of one row is. */
export interface Confidence {
  /** Difference of the two largest probabilities. */
  readonly margin: number;
  /** The largest probability. */
  readonly max: number;
  /** Entropy in nats. */
  readonly entropy: number;
  /** Index of the largest score, the first of equals. */
  readonly argmax: number;
}

/** Confidence of every row, in double precision. @param logits [R, V] or [R, allowed answers], borrowed */
export async function confidences(logits: tf.Tensor2D): Promise<readonly Confidence[]> {
  const [rows, words] = logits.shape;
  const values = await logits.data();
  return Array.from({length: rows}, (_, r) => confidence(values.subarray(r * words, (r + 1) * words)));
}

/** Confidence of one row of logits. Entropy is ln Σeᶻ − Σz·eᶻ/Σeᶻ. */
export function confidence(logits: ArrayLike<number>): Confidence {
  let argmax = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[argmax]!) argmax = i;
  const top = logits[argmax]!;
  let second = -Infinity;
  let sum = 0;
  let weighted = 0;
  for (let i = 0; i < logits.length; i++) {
    const z = logits[i]! - top;
    if (i !== argmax && z > second) second = z;
    const e = Math.exp(z);
    sum += e;
    if (e > 0) weighted += z * e;
  }
  return {argmax, max: 1 / sum, margin: (1 - Math.exp(second)) / sum, entropy: Math.log(sum) - weighted / sum};
}

/** A policy whose score is made from the confidence of each row. It can be replayed from recordings. */
export function byConfidence(
  name: string,
  exits: ExitSide,
  score: (confidence: Omit<Confidence, 'argmax'>) => number,
): ThresholdPolicy {
  const create: ThresholdPolicy = (options) =>
    thresholdPolicy(
      {
        name,
        exits,
        scores: async (_before, _after, _at, logits) => (await confidences(logits())).map(score),
      },
      options,
    );
  return Object.assign(create, {replay: {exits, score}});
}

/**
 * CALM's softmax response: leaves when the two likeliest tokens are far enough apart, p₁ − p₂ ≥ λ
 * (docs/reference/early-exit.md B1).
 */
export const softmaxMargin = byConfidence('softmax-margin', 'at-least', ({margin}) => margin);

/** Leaves when the likeliest token is likely enough, p₁ ≥ λ (docs/reference/early-exit.md B3). */
export const softmaxMax = byConfidence('softmax-max', 'at-least', ({max}) => max);

/**
 * DeeBERT: leaves when the entropy of the next-token distribution, in nats, is below S (docs/reference/early-exit.md
 * B2).
 */
export const entropy = byConfidence('entropy', 'below', (confidence) => confidence.entropy);
