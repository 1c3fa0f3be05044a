import * as tf from '@tensorflow/tfjs';

/** Slices of an axis (by default the rows), in any order, also repeatedly; the caller's. */
export function gatherRows<T extends tf.Tensor>(x: T, rows: readonly number[], axis = 0): T {
  const index = tf.tensor1d([...rows], 'int32');
  const taken = tf.gather(x, index, axis);
  index.dispose();
  return taken;
}
