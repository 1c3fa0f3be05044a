import * as tf from '@tensorflow/tfjs';
import {thresholdPolicy, type ThresholdPolicy} from './threshold.js';

// Policies by how much a layer changed the state, measured otherwise than by the cosine of whole tensors
// (docs/reference/early-exit.md B3).   R rows, T positions, D width

/** Leaves when the change is small against the state, ‖after − before‖ / ‖before‖ < η. */
export const relativeL2: ThresholdPolicy = (options) =>
  thresholdPolicy({name: 'relative-l2', exits: 'below', scores: relativeDistances}, options);

/** Leaves when tokens hardly change, each counted alike, whatever its norm. */
export const cosineMean: ThresholdPolicy = (options) =>
  thresholdPolicy({name: 'cosine-mean', exits: 'above', scores: meanCosines}, options);

/** Leaves when the newest position hardly changes; in a stack without steps that is the last token. */
export const cosineLast: ThresholdPolicy = (options) =>
  thresholdPolicy({name: 'cosine-last', exits: 'above', scores: lastCosines}, options);

/** cos(before, after) of the newest position of each row. @param before [R, T, D], borrowed */
function lastCosines(before: tf.Tensor3D, after: tf.Tensor3D): Promise<readonly number[]> {
  const last = (x: tf.Tensor3D): tf.Tensor3D => tf.slice(x, [0, x.shape[1] - 1, 0], [-1, 1, -1]);
  return read(() => cosines(last(before), last(after)).squeeze([1]));
}

/** Mean over positions of each token's own cosine, for each row. */
function meanCosines(before: tf.Tensor3D, after: tf.Tensor3D): Promise<readonly number[]> {
  return read(() => cosines(before, after).mean(1));
}

/** ‖after − before‖ / ‖before‖ of each row: unlike a cosine it sees growth. */
function relativeDistances(before: tf.Tensor3D, after: tf.Tensor3D): Promise<readonly number[]> {
  const squares = (x: tf.Tensor): tf.Tensor => x.square().sum(-1).sum(-1);
  return read(() => squares(after.sub(before)).div(squares(before)).sqrt());
}

/** Cosine of every token. @returns [R, T] */
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
