import * as tf from '@tensorflow/tfjs';
import type {ExitPolicy} from '../policy.js';
import {thresholded, type ThresholdOptions} from './threshold.js';

/** Leave when the change is small against the state, ‖after − before‖ / ‖before‖ < η. */
export function relativeL2(options: ThresholdOptions): ExitPolicy {
  return thresholded({name: 'relative-l2', exits: 'below', scores: relativeDistances}, options);
}

/** Leave when tokens hardly change, each counted alike, whatever its norm. */
export function cosineMean(options: ThresholdOptions): ExitPolicy {
  return thresholded({name: 'cosine-mean', exits: 'above', scores: meanCosines}, options);
}

/** Leave when the newest position hardly changes; a stack without steps looks at its last token. */
export function cosineLast(options: ThresholdOptions): ExitPolicy {
  return thresholded({name: 'cosine-last', exits: 'above', scores: lastCosines}, options);
}

// Measures of change other than the cosine of whole tensors (early_exit B3).   R rows, T positions

/** Per row, of its newest position: cos(before, after). @param before [R, T, D], borrowed */
export function lastCosines(before: tf.Tensor3D, after: tf.Tensor3D): Promise<readonly number[]> {
  const last = (x: tf.Tensor3D): tf.Tensor3D => tf.slice(x, [0, x.shape[1] - 1, 0], [-1, 1, -1]);
  return read(() => cosines(last(before), last(after)).squeeze([1]));
}

/** Per row, the mean over positions of each token's own cosine. */
export function meanCosines(before: tf.Tensor3D, after: tf.Tensor3D): Promise<readonly number[]> {
  return read(() => cosines(before, after).mean(1));
}

/** Per row, ‖after − before‖ / ‖before‖: unlike a cosine it sees growth. */
export function relativeDistances(before: tf.Tensor3D, after: tf.Tensor3D): Promise<readonly number[]> {
  const squares = (x: tf.Tensor): tf.Tensor => x.square().sum(-1).sum(-1);
  return read(() => squares(after.sub(before)).div(squares(before)).sqrt());
}

/** Of every token. @returns [R, T] */
function cosines(a: tf.Tensor3D, b: tf.Tensor3D): tf.Tensor {
  const dot = (x: tf.Tensor, y: tf.Tensor): tf.Tensor => x.mul(y).sum(-1);
  return dot(a, b).div(dot(a, a).mul(dot(b, b)).sqrt());
}

async function read(compute: () => tf.Tensor): Promise<readonly number[]> {
  const tensor = tf.tidy(compute);
  const values = await tensor.data();
  tensor.dispose();
  return Array.from(values);
}
