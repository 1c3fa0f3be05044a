import * as tf from '@tensorflow/tfjs';
import type {PolicyPerImage} from '../exit/policy.js';
import type {ExitUnit} from '../exit/run-stack.js';
import {toPolicyList} from '../exit/deciders.js';
import type {ScoreInput} from './model.js';

// B pictures, K targets each, R = B·K rows, T positions

/** What each picture is alone: as long as its longest row. */
export function targetLengths(targets: ScoreInput['targets'], pictures: number): readonly number[] {
  const rows = targets.length / pictures;
  return Array.from({length: pictures}, (_, b) =>
    Math.max(...targets.slice(b * rows, (b + 1) * rows).map((t) => t.length)),
  );
}

/** Who decides in a pass over whole targets, and on which positions. @param lengths of the pictures. @param rows K */
export function scoringUnits(
  policy: PolicyPerImage,
  lengths: readonly number[],
  rows: number,
  decideOn: ScoreInput['decideOn'],
): readonly ExitUnit[] {
  const longest = Math.max(...lengths);
  const first = (count: number) => (x: tf.Tensor3D) => tf.slice(x, [0, 0, 0], [1, count, -1]);
  const shorter = (count: number) => (x: tf.Tensor3D) => tf.slice(x, [0, 0, 0], [-1, count, -1]);
  return toPolicyList(policy).map((own, b): ExitUnit => {
    const count = decideOn?.[b];
    if (count !== undefined && (count < longest || rows > 1)) return {policy: own, view: first(count)};
    return {policy: own, ...(Array.isArray(policy) && lengths[b]! < longest ? {view: shorter(lengths[b]!)} : {})};
  });
}

/** Numbers that a decision about picture b looks at, for states of width `width`. */
export function decidedOn(
  lengths: readonly number[],
  rows: number,
  decideOn: ScoreInput['decideOn'],
  b: number,
  width: number,
): number {
  return (decideOn?.[b] ?? rows * lengths[b]!) * width;
}

/** Where next-word scores are wanted of some samples' states alone, which hold no other rows. @param rows K */
export function scoredRows(
  policy: PolicyPerImage,
  at: ScoreInput['at'],
  rows: number,
  samples: readonly number[],
): ScoreInput['at'] {
  if (!Array.isArray(policy)) return at;
  return samples.flatMap((b, i) =>
    ofPicture(at, rows, b).map(({row, position}) => ({row: row + (i - b) * rows, position})),
  );
}

/** Those of one picture. */
export function ofPicture(at: ScoreInput['at'], rows: number, b: number): ScoreInput['at'] {
  return at.filter(({row}) => Math.floor(row / rows) === b);
}

/** @param x states [R, T, D], borrowed. @returns those of the positions, [at.length, D], the caller's */
export function statesAt(x: tf.Tensor3D, at: ScoreInput['at']): tf.Tensor2D {
  return tf.tidy(() => {
    const [, t, d] = x.shape;
    const index = at.map(({row, position}) => row * t + position);
    return tf.gather(x.reshape([-1, d]), tf.tensor1d(index, 'int32')) as tf.Tensor2D;
  });
}
