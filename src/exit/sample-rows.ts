import * as tf from '@tensorflow/tfjs';
import {takeRows} from '../nn/take-rows.js';

// Rows of samples in a tensor's leading axis, of which every sample has as many, in order.

/** The rows of the i-th of `samples` samples; the caller's. */
export function sampleRows<T extends tf.Tensor>(x: T, i: number, samples: number): T {
  const rows = x.shape[0]! / samples;
  const rest = x.shape.slice(1);
  return tf.slice(x, [i * rows, ...rest.map(() => 0)], [rows, ...rest]) as T;
}

/** Indices of the rows of some samples. @param rows of each */
export function rowsOf(samples: readonly number[], rows: number): number[] {
  return samples.flatMap((s) => Array.from({length: rows}, (_, r) => s * rows + r));
}

/** Of the samples that are in x, those in `stay`; the caller's. */
export function keepRows(x: tf.Tensor3D, samples: readonly number[], stay: readonly number[]): tf.Tensor3D {
  const places = stay.map((s) => samples.indexOf(s));
  return takeRows(x, rowsOf(places, x.shape[0] / samples.length));
}

/** x with the rows of some samples replaced. @param count of samples in x. @returns [B, T, D], the caller's */
export function putRows(x: tf.Tensor3D, rows: tf.Tensor3D, samples: readonly number[], count: number): tf.Tensor3D {
  return tf.tidy(() => {
    const size = x.shape[0] / count;
    const from = x.shape[0];
    const places = Array.from({length: count}, (_, s) => {
      const at = samples.indexOf(s);
      return Array.from({length: size}, (_row, r) => (at < 0 ? s * size + r : from + at * size + r));
    });
    return takeRows(tf.concat([x, rows]), places.flat());
  });
}
