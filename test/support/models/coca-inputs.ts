import * as tf from '@tensorflow/tfjs';
import type {GoldenArray} from '../golden/golden.js';

/** Golden pictures [B, 3, h, w] as the model takes them, [B, h, w, 3]; the caller's. */
export function pixelsOf({data, shape}: GoldenArray, count: number = shape[0]!): tf.Tensor4D {
  return tf.tidy(() => {
    const all = tf.tensor4d(data as Float32Array, shape as [number, number, number, number]).transpose([0, 2, 3, 1]);
    return tf.slice(all, [0, 0, 0, 0], [count, -1, -1, -1]) as tf.Tensor4D;
  });
}

/** Golden ids [R, T]. */
export function idsOf({data, shape}: GoldenArray): number[][] {
  const ids = Array.from(data as BigInt64Array, Number);
  return Array.from({length: shape[0]!}, (_, r) => ids.slice(r * shape[1]!, (r + 1) * shape[1]!));
}

/**
 * Padded ids without their padding.
 * @param end the id of the end symbol
 */
export function unpadded(rows: readonly (readonly number[])[], end: number): number[][] {
  return rows.map((ids) => ids.slice(0, ids.indexOf(end) + 1));
}
