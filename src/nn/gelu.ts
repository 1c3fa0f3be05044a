import * as tf from '@tensorflow/tfjs';

/** Exact GELU, ½·x·(1 + erf(x/√2)); not the tanh approximation, which no OFA checkpoint was trained with. */
export function gelu<T extends tf.Tensor>(x: T): T {
  return tf.tidy(() => x.mul(Math.SQRT1_2).erf().add(1).mul(x).mul(0.5) as T);
}
