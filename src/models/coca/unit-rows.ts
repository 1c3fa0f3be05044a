import * as tf from '@tensorflow/tfjs';

const SMALLEST = 1e-12;

/** Rows scaled to length one; a row of zeros stays. @param x [B, e]. @returns the caller's. */
export function unitRows(x: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => x.div(tf.maximum(x.square().sum(1, true).sqrt(), SMALLEST)) as tf.Tensor2D);
}
