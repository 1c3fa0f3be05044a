import type * as tf from '@tensorflow/tfjs';
import type {ExitPolicy} from '../policy.js';
import {thresholded, type ThresholdOptions} from './threshold.js';

/** DeeBERT's: leave when the entropy of the next word, in nats, is below S (early_exit B2). In closed tasks that of the allowed answers. */
export function entropy(options: ThresholdOptions): ExitPolicy {
  return thresholded(
    {
      name: 'entropy',
      exits: 'below',
      scores: async (_before, _after, _at, logits) => (await confidences(logits())).map((row) => row.entropy),
    },
    options,
  );
}

/** CALM's softmax response: leave when the two likeliest words are far enough apart, p₁ − p₂ ≥ λ (early_exit B1). */
export function softmaxMargin(options: ThresholdOptions): ExitPolicy {
  return thresholded(
    {
      name: 'softmax-margin',
      exits: 'at-least',
      scores: async (_before, _after, _at, logits) => (await confidences(logits())).map(({margin}) => margin),
    },
    options,
  );
}

/** Leave when the likeliest word is likely enough, p₁ ≥ λ (early_exit B3). */
export function softmaxMax(options: ThresholdOptions): ExitPolicy {
  return thresholded(
    {
      name: 'softmax-max',
      exits: 'at-least',
      scores: async (_before, _after, _at, logits) => (await confidences(logits())).map(({max}) => max),
    },
    options,
  );
}

/** What the word scores of one row say about how sure it is. */
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

/** Of every row, in double precision. @param logits [R, V or the allowed answers], borrowed */
export async function confidences(logits: tf.Tensor2D): Promise<readonly Confidence[]> {
  const [rows, words] = logits.shape;
  const values = await logits.data();
  return Array.from({length: rows}, (_, r) => confidence(values.subarray(r * words, (r + 1) * words)));
}

/** Of one row of logits. Entropy is ln Σeᶻ − Σz·eᶻ/Σeᶻ. */
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
