import * as tf from '@tensorflow/tfjs';
import {runFused} from '../runtime/kernels.js';

/**
 * Exact GELU, ½·x·(1 + erf(x/√2)); not the tanh approximation, which no published checkpoint of either model was
 * trained with.
 */
export function gelu<T extends tf.Tensor>(x: T): T {
  return runFused<T>('MueGelu', {x}) ?? tf.tidy(() => x.mul(Math.SQRT1_2).erf().add(1).mul(x).mul(0.5) as T);
}

/** x·σ(1.702·x), an approximation that some CLIP models were trained with. */
export function quickGelu<T extends tf.Tensor>(x: T): T {
  return tf.tidy(() => x.mul(tf.sigmoid(x.mul(1.702))) as T);
}
