import * as tf from '@tensorflow/tfjs';
import {joined, type JoinedOwner, shapeKey} from '../runtime/joined.js';
import {recordsGradients} from '../runtime/kernels.js';

/** A block whose weights a computation may use: the trainable ones get gradients. */
export interface CheckpointedOwner extends JoinedOwner {
  readonly trainableWeights: readonly {read(): tf.Tensor}[];
}

export interface CheckpointOptions {
  /**
   * Gets what a computation gives besides its output, once, when it runs forward; the tensors are the caller's. A
   * backward pass does not compute it.
   */
  readonly aside?: (tensors: readonly tf.Tensor[]) => void;
}

/**
 * Runs a computation without keeping what lies between its inputs and its output; a backward pass runs it again
 * (gradient checkpointing, Chen et al. 2016). Both are one call where the device can join operations. Outside of
 * gradients it just runs.
 * @param owner     its weights are the only tensors that `compute` uses besides its arguments
 * @param name      decides with the shapes of the inputs which operations `compute` runs
 * @param inputs    borrowed; all get gradients, so that masks belong here as well
 * @param compute   a pure function of weights and arguments; first gives the output, then what goes aside
 * @returns         the output, the caller's or the tidy's around
 */
export function checkpointed<T extends tf.Tensor>(
  owner: CheckpointedOwner,
  name: string,
  inputs: readonly tf.Tensor[],
  compute: (inputs: readonly tf.Tensor[]) => [T, ...tf.Tensor[]],
  {aside}: CheckpointOptions = {},
): T {
  const key = `${name} ${shapeKey(inputs)}`;
  const forward = (of: readonly tf.Tensor[]): T => {
    const [output, ...others] = joined(owner, key, of, () => (aside ? compute(of) : [compute(of)[0]]));
    aside?.(others.map((tensor) => tf.keep(tensor)));
    return output as T;
  };
  if (!recordsGradients()) return forward(inputs);
  const weights = owner.trainableWeights.map((weight) => weight.read());
  const operation = tf.customGrad((...given) => {
    const save = given.pop() as tf.GradSaveFunc;
    const own = (given as tf.Tensor[]).slice(0, inputs.length);
    save(own);
    return {
      value: forward(own),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) =>
        joined(owner, `${key} backward`, [...saved, dy], () => gradients(compute, saved, weights, dy)),
    };
  });
  return operation(...inputs, ...weights) as T;
}

/** Gradients by inputs and weights; zeros where the output does not depend on one. */
function gradients(
  compute: (inputs: readonly tf.Tensor[]) => readonly tf.Tensor[],
  inputs: readonly tf.Tensor[],
  weights: readonly tf.Tensor[],
  dy: tf.Tensor,
): tf.Tensor[] {
  const engine = tf.engine();
  const by = [...inputs, ...weights];
  // A gradient within a gradient's backward pass would end the tape of the outer one.
  const {activeTape} = engine.state;
  try {
    const {grads} = engine.gradients(() => compute(inputs)[0]!, by, dy.clone(), true);
    // Not zerosLike, which uploads an array.
    return by.map((x, i) => (grads[i] as tf.Tensor | null | undefined) ?? x.mul(0));
  } finally {
    engine.state.activeTape = activeTape;
  }
}
