import * as tf from '@tensorflow/tfjs';
import {hostMemory} from '../runtime/backend-traits.js';

/** Cosine of two tensors of one shape, each flattened whole (ofa_mue section 10.3). */
export async function cosine(a: tf.Tensor, b: tf.Tensor): Promise<number> {
  return (await rowCosines(a, b, 1))[0]!;
}

/**
 * Cosine of every row, all its positions as one vector. Sums in double precision where tensors lie in this process's
 * memory; on a device by two-level sums in float32 and one read of three numbers a row.
 * @param rows the tensors' leading axis, or 1 for all as one
 */
export async function rowCosines(a: tf.Tensor, b: tf.Tensor, rows: number = a.shape[0]!): Promise<number[]> {
  return hostMemory() ? byHost(await a.data(), await b.data(), rows) : await byDevice(a, b, rows);
}

function byHost(x: ArrayLike<number>, y: ArrayLike<number>, rows: number): number[] {
  const size = x.length / rows;
  return Array.from({length: rows}, (_, row) => {
    let ab = 0;
    let aa = 0;
    let bb = 0;
    for (let i = row * size; i < (row + 1) * size; i++) {
      const p = x[i]!;
      const q = y[i]!;
      ab += p * q;
      aa += p * p;
      bb += q * q;
    }
    return ab / Math.sqrt(aa * bb);
  });
}

async function byDevice(a: tf.Tensor, b: tf.Tensor, rows: number): Promise<number[]> {
  const sums = tf.tidy(() => {
    const width = a.shape[a.shape.length - 1]!;
    const dot = (x: tf.Tensor, y: tf.Tensor): tf.Tensor => x.mul(y).reshape([rows, -1, width]).sum(-1).sum(-1);
    return tf.stack([dot(a, b), dot(a, a), dot(b, b)]);
  });
  const values = await sums.data();
  sums.dispose();
  return Array.from({length: rows}, (_, r) => values[r]! / Math.sqrt(values[rows + r]! * values[2 * rows + r]!));
}
