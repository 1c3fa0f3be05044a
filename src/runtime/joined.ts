import * as tf from '@tensorflow/tfjs';
import {recordsGradients} from './kernels.js';

// Where a device can take many operations as one call, a block's computation is joined: recorded once, registered, and
// from then on called by its name (src/node/backends/native/functions).

/** A block whose computations may be joined. Blocks of one class and one configuration share what is recorded. */
export interface JoinedOwner {
  readonly config: object;
  readonly weights: readonly {read(): tf.Tensor}[];
  getClassName(): string;
}

/** Joins the operations of a computation. A backend that can do it carries one as `joiner`. */
export interface Joiner {
  /** As `joined`. */
  run(owner: JoinedOwner, key: string, inputs: readonly tf.Tensor[], compute: () => tf.Tensor[]): tf.Tensor[];
}

/**
 * Runs a computation, as one call where the device can.
 * @param owner     its weights are the only tensors that `compute` uses besides `inputs`
 * @param key       everything but the owner's configuration that decides which operations `compute` runs and with which
 *                  sizes: its name, shapes that are not free, flags; the leading axes of `inputs` need not be in it
 * @param inputs    every other tensor that `compute` uses, in an order that the key fixes; borrowed
 * @param compute   a pure function of weights and inputs; it reads no value of a tensor
 * @returns         what `compute` returns, the caller's or the tidy's around
 */
export function joined<T extends tf.Tensor[]>(
  owner: JoinedOwner,
  key: string,
  inputs: readonly tf.Tensor[],
  compute: () => [...T],
): T {
  const {joiner} = tf.backend() as {joiner?: Joiner};
  const pure = (): T => tf.tidy(compute) as T;
  return joiner && !recordsGradients() ? (joiner.run(owner, key, inputs, pure) as T) : pure();
}

/** Shapes as part of a key. @param free axes whose length may change from call to call */
export function shapeKey(tensors: readonly tf.Tensor[], free: readonly number[] = []): string {
  return tensors.map(({shape}) => shape.map((n, axis) => (free.includes(axis) ? '?' : n)).join('x')).join(' ');
}
