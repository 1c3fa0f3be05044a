import type * as tf from '@tensorflow/tfjs';

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
