import * as tf from '@tensorflow/tfjs';
import type {StoredWeight} from '../../../src/nn/block.js';
import {checkpointShape} from '../../../src/models/weights.js';

/** A parameter: the tensor that gradients are taken of, and how files keep it. */
export interface Parameter {
  readonly weight: StoredWeight;
  readonly variable: tf.Variable;
}

/**
 * Gradients of a sum by parameters, as the authors' checkpoints lay them out.
 * @param loss   builds the sum, inside a tidy
 * @returns      by name; parameters that the sum does not depend on are absent
 */
export function gradientsOf(
  parameters: readonly Parameter[],
  loss: () => tf.Scalar,
): {readonly loss: number; readonly gradients: ReadonlyMap<string, Float32Array>} {
  const {value, grads} = tf.variableGrads(
    loss,
    parameters.map(({variable}) => variable),
  );
  const gradients = new Map<string, Float32Array>();
  for (const {weight, variable} of parameters) {
    const gradient = grads[variable.name] as tf.Tensor | undefined;
    if (gradient) gradients.set(weight.name, inCheckpoint(gradient, weight));
  }
  const sum = value.dataSync()[0]!;
  tf.dispose([value, grads]);
  return {loss: sum, gradients};
}

/** Values in the checkpoint's layout. */
function inCheckpoint(gradient: tf.Tensor, weight: StoredWeight): Float32Array {
  const same = checkpointShape(weight).join() === weight.shape.join() && weight.layout === 'plain';
  return tf.tidy(() =>
    Float32Array.from(
      (same ? gradient : gradient.transpose(weight.layout === 'conv' ? [3, 2, 0, 1] : undefined)).dataSync(),
    ),
  );
}

/** √Σ x² */
export function norm(x: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! ** 2;
  return Math.sqrt(sum);
}

/** The largest difference, as a share of the largest element of what is wanted. */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let [error, most] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    most = Math.max(most, Math.abs(want[i]!));
    const difference = Math.abs(got[i]! - want[i]!);
    if (!(difference <= error)) error = difference;
  }
  return error / most;
}
