import type * as tf from '@tensorflow/tfjs';
import {UsageError} from '../runtime/errors.js';
import {type ExitPolicy, memoryless, type Position} from './policy.js';
import {type Schedule, thresholdAt} from './schedules.js';

/**
 * How several rows (the beams of a picture) come to one decision. `joint`: one score for all, the mean of the rows' (for
 * a similarity of whole tensors, one cosine); `every`: the stack is left when each row by itself would leave.
 */
export type RowRule = 'joint' | 'every';

export interface ThresholdOptions {
  /** null never exits. */
  readonly threshold: number | null;
  readonly schedule?: Schedule;
  readonly rows?: RowRule;
}

export interface Scoring {
  readonly name: string;
  /** Which side of the threshold means sure; similarities exit strictly above, confidences at or above, distances below. */
  readonly exits: 'above' | 'at-least' | 'below';
  /** One score a row, or row of logits; as many for each of the samples. */
  readonly scores: (
    before: tf.Tensor3D,
    after: tf.Tensor3D,
    at: readonly Position[],
    logits: () => tf.Tensor2D,
  ) => Promise<readonly number[]>;
}

/**
 * A policy that compares a score with a threshold. It measures nothing at the last layer, nor when the threshold is null.
 * @throws UsageError for a threshold that is not a number
 */
export function thresholded(
  {name, exits, scores}: Scoring,
  {threshold, schedule = {name: 'constant'}, rows = 'joint'}: ThresholdOptions,
): ExitPolicy {
  if (threshold !== null) checkThreshold(threshold);
  return memoryless(name, async (before, after, at, logits) => {
    const {layer, depth} = at[0]!;
    if (threshold === null || layer === depth) return at.map(() => ({exit: false}));
    const each = shares(await scores(before, after, at, logits), at.length);
    return at.map(({step, maxSteps}, s) => {
      const limit = thresholdAt(schedule, threshold, step, maxSteps);
      const score = combine(each[s]!, exits, rows);
      return {exit: passes(score, limit, exits), score, threshold: limit};
    });
  });
}

/** @throws UsageError 'threshold-invalid' */
export function checkThreshold(threshold: number): void {
  if (Number.isFinite(threshold)) return;
  throw new UsageError('threshold-invalid', `an exit threshold must be a number, not ${threshold}`, {
    hint: 'Leave the threshold out, or write null, for never.',
  });
}

/** Whether a score is on the sure side; NaN never is. */
export function passes(score: number, limit: number, exits: Scoring['exits']): boolean {
  if (exits === 'above') return score > limit;
  return exits === 'at-least' ? score >= limit : score < limit;
}

/** A list cut in equal parts. */
export function shares<T>(list: readonly T[], count: number): readonly (readonly T[])[] {
  const size = list.length / count;
  return Array.from({length: count}, (_, i) => list.slice(i * size, (i + 1) * size));
}

/** The rows' scores as one. */
export function combine(scores: readonly number[], exits: Scoring['exits'], rows: RowRule): number {
  if (rows === 'every') return exits === 'below' ? Math.max(...scores) : Math.min(...scores);
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}
