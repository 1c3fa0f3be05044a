import * as tf from '@tensorflow/tfjs';
import {hostMemory} from '../runtime/backend-traits.js';

/**
 * Cosine of two tensors of one shape, each flattened whole (ofa_mue section 10.3). Sums in double precision where tensors
 * lie in this process's memory; on a device by two-level sums in float32 and one read of three numbers.
 */
export async function cosine(a: tf.Tensor, b: tf.Tensor): Promise<number> {
  if (!hostMemory()) {
    const sums = tf.tidy(() => {
      const dot = (x: tf.Tensor, y: tf.Tensor) => x.mul(y).sum(-1).sum();
      return tf.stack([dot(a, b), dot(a, a), dot(b, b)]);
    });
    const [ab, aa, bb] = (await sums.data()) as unknown as [number, number, number];
    sums.dispose();
    return ab / Math.sqrt(aa * bb);
  }
  const x = await a.data();
  const y = await b.data();
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < x.length; i++) {
    const p = x[i]!;
    const q = y[i]!;
    ab += p * q;
    aa += p * p;
    bb += q * q;
  }
  return ab / Math.sqrt(aa * bb);
}
