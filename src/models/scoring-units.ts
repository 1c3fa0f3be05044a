import * as tf from '@tensorflow/tfjs';
import {toPolicyList} from '../exit/deciders.js';
import type {PolicyPerImage} from '../exit/policy.js';
import type {ExitUnit} from '../exit/run-stack.js';
import type {ExitAdapters} from '../nn/exit-adapters.js';
import type {ScoreInput} from './model.js';
import {largest} from '../runtime/extremes.js';

// The deciding units of a teacher-forced pass, and the positions they look at.   B images, K targets each, R = B·K
// rows, T positions, D width

/** Length of each image's longest target, as if it were scored alone. */
export function targetLengths(targets: ScoreInput['targets'], images: number): readonly number[] {
  const rows = targets.length / images;
  return Array.from({length: images}, (_, b) =>
    largest(targets.slice(b * rows, (b + 1) * rows).map((target) => target.length)),
  );
}

/**
 * The exit units of a pass over whole targets.
 * @param lengths   of each image's longest target
 * @param rows      K
 */
export function scoringUnits(
  policy: PolicyPerImage,
  lengths: readonly number[],
  rows: number,
  decideOn: ScoreInput['decideOn'],
): readonly ExitUnit[] {
  const longest = largest(lengths);
  const ofFirstRow = (count: number) => (x: tf.Tensor3D) => tf.slice(x, [0, 0, 0], [1, count, -1]);
  const ofAllRows = (count: number) => (x: tf.Tensor3D) => tf.slice(x, [0, 0, 0], [-1, count, -1]);
  const eachDecides = Array.isArray(policy);
  return toPolicyList(policy).map((own, b): ExitUnit => {
    const count = decideOn?.[b];
    if (count !== undefined && (count < longest || rows > 1)) return {policy: own, view: ofFirstRow(count)};
    return {policy: own, view: eachDecides && lengths[b]! < longest ? ofAllRows(lengths[b]!) : undefined};
  });
}

/** How many numbers an exit decision about image b looks at, for states of width `width`. */
export function decidedOn(
  lengths: readonly number[],
  rows: number,
  decideOn: ScoreInput['decideOn'],
  b: number,
  width: number,
): number {
  return (decideOn?.[b] ?? rows * lengths[b]!) * width;
}

/**
 * Positions to compute logits at, for a state that holds the rows of some units only.
 * @param rows    K
 * @param units   whose rows the state holds
 */
export function positionsOfUnits(
  policy: PolicyPerImage,
  at: ScoreInput['at'],
  rows: number,
  units: readonly number[],
): ScoreInput['at'] {
  if (!Array.isArray(policy)) return at;
  return units.flatMap((b, i) =>
    positionsOfImage(at, rows, b).map(({row, position}) => ({row: row + (i - b) * rows, position})),
  );
}

/** @param rows K */
export function positionsOfImage(at: ScoreInput['at'], rows: number, b: number): ScoreInput['at'] {
  return at.filter(({row}) => Math.floor(row / rows) === b);
}

/** Exit adapters, and the layers that states left after. */
export interface AdaptedExits {
  /** Borrowed. */
  readonly adapters: ExitAdapters;
  /** How many layers gave each of equal shares of the rows. */
  readonly layers: readonly number[];
}

/**
 * States at some positions, on their way to the head.
 * @param x   [R, T, D], borrowed
 * @returns   [at.length, D], the caller's
 */
export function adaptedStatesAt(x: tf.Tensor3D, at: ScoreInput['at'], adapted?: AdaptedExits): tf.Tensor2D {
  return tf.tidy(() => {
    const [rows, t, d] = x.shape;
    const index = at.map(({row, position}) => row * t + position);
    const states = tf.gather(x.reshape([-1, d]), tf.tensor1d(index, 'int32')) as tf.Tensor2D;
    if (!adapted) return states;
    const {adapters, layers} = adapted;
    return adapters.adapt(
      states,
      at.map(({row}) => layers[Math.floor((row * layers.length) / rows)]!),
    );
  });
}
