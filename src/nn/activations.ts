import * as tf from '@tensorflow/tfjs';
import {recordsGradients, runFused} from '../runtime/kernels.js';

/**
 * Exact GELU, ½·x·(1 + erf(x/√2)); not the tanh approximation, which no published checkpoint of either model was
 * trained with.
 */
export function gelu<T extends tf.Tensor>(x: T): T {
  return recordsGradients() ? (withGradient(x) as T) : value(x);
}

function value<T extends tf.Tensor>(x: T): T {
  return runFused<T>('MueGelu', {x}) ?? tf.tidy(() => x.mul(Math.SQRT1_2).erf().add(1).mul(x).mul(0.5) as T);
}

/** GELU as one operation of the backward pass, which keeps x alone: Φ(x) + x·φ(x) is made of it again. */
const withGradient = tf.customGrad((x, save) => {
  (save as tf.GradSaveFunc)([x as tf.Tensor]);
  return {
    value: value(x as tf.Tensor),
    gradFunc: (dy, [saved]) => {
      const probability = saved!.mul(Math.SQRT1_2).erf().add(1).mul(0.5);
      const density = saved!
        .square()
        .mul(-0.5)
        .exp()
        .mul(1 / Math.sqrt(2 * Math.PI));
      return dy.mul(probability.add(saved!.mul(density)));
    },
  };
});

/** max(0, x). Its gradient is made of its value: that of tfjs uploads arrays of ones and zeros on TensorFlow. */
export function relu<T extends tf.Tensor>(x: T): T {
  return recordsGradients() ? (reluWithGradient(x) as T) : tf.relu(x);
}

const reluWithGradient = tf.customGrad((x, save) => {
  const value = tf.relu(x as tf.Tensor);
  (save as tf.GradSaveFunc)([value]);
  return {value, gradFunc: (dy, [saved]) => dy.mul(saved!.sign())};
});

/** x·σ(1.702·x), an approximation that some CLIP models were trained with. */
export function quickGelu<T extends tf.Tensor>(x: T): T {
  return tf.tidy(() => x.mul(tf.sigmoid(x.mul(1.702))) as T);
}
