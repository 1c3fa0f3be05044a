import type * as tf from '@tensorflow/tfjs';
import {checkArguments, fields, oneOf} from '../../runtime/check-arguments.js';
import {UsageError} from '../../runtime/errors.js';
import {type ExitPolicy, memoryless, type Position} from '../policy.js';
import {largest, smallest} from '../../runtime/extremes.js';

export const SCHEDULE_NAMES = ['constant', 'release', 'paper', 'calm', 't5x'] as const;
/** How a decoder threshold λ moves with the decoding step t (from 0) of at most N (docs/reference/ofa-mue.md 10.13). */
export type ScheduleName = (typeof SCHEDULE_NAMES)[number];

export interface Schedule {
  readonly name: ScheduleName;
  /** Temperature τ of the decay. */
  readonly tau?: number;
  /** Weight β of λ in `paper`. */
  readonly beta?: number;
}

const FORMULAS: Record<
  ScheduleName,
  (threshold: number, t: number, n: number, parameters: {tau: number; beta: number}) => number
> = {
  constant: (threshold) => threshold,
  // The authors' script: never in the first third, then a decay with the step.
  release: (threshold, t, n) => (t < (n + 1) / 3 ? 1 : 0.9 * threshold + 0.1 * Math.exp(-(t + 1) / (n + 1))),
  paper: (threshold, t, n, {tau, beta}) => beta * threshold + (1 - beta) * Math.exp((-tau * t) / n),
  calm: (threshold, t, n, {tau}) => Math.min(1, Math.max(0, 0.9 * threshold + 0.1 * Math.exp((-tau * t) / n))),
  t5x: (threshold, t, n, {tau}) => threshold * (0.9 + 0.1 * Math.exp((-tau * t) / n)),
};

/** The threshold at step `t` of at most `n`. Encoders and scoring have no steps: there it is the threshold itself. */
export function thresholdAt(
  schedule: Schedule,
  threshold: number,
  t: number | undefined,
  n: number | undefined,
): number {
  if (t === undefined) return threshold;
  // Sweeps ask millions of times: the check is made of the schedule's name alone where it is a right one.
  if (typeof schedule !== 'object' || schedule === null || !Object.hasOwn(FORMULAS, schedule.name))
    checkArguments('thresholdAt', {schedule: [schedule, fields({name: oneOf(Object.keys(FORMULAS))})]});
  const tau = schedule.tau ?? (schedule.name === 'paper' ? 1 : 4);
  if (n === undefined)
    throw new UsageError(
      'schedule-without-length',
      `the schedule '${schedule.name}' needs the most steps there may be`,
    );
  return FORMULAS[schedule.name](threshold, t, n, {tau, beta: schedule.beta ?? 0.95});
}

/**
 * How several rows (the beams of an image) come to one decision. `joint`: one score for all, the mean of the rows'
 * scores (for a similarity of whole tensors, one cosine); `every`: the stack is left when each row by itself would
 * leave.
 */
export type RowRule = 'joint' | 'every';

export interface ThresholdOptions {
  /** null never exits. */
  readonly threshold: number | null;
  readonly schedule?: Schedule;
  readonly rows?: RowRule;
}

/**
 * Side of the threshold on which a policy exits: similarities strictly above, confidences at or above, distances below.
 */
export type ExitSide = 'above' | 'at-least' | 'below';

/** How a policy scores a state. */
export interface Scoring {
  readonly name: string;
  readonly exits: ExitSide;
  /** @returns one score for each row, or row of logits; equally many for each unit */
  readonly scores: (
    before: tf.Tensor3D,
    after: tf.Tensor3D,
    at: readonly Position[],
    logits: () => tf.Tensor2D,
  ) => Promise<readonly number[]>;
}

/** Measures of one layer that recordings of single-step tasks hold. */
export interface LayerMeasures {
  /** cos(before, after) */
  readonly similarity: number;
  /** Difference of the two largest probabilities. */
  readonly margin: number;
  /** The largest probability. */
  readonly max: number;
  /** In nats. */
  readonly entropy: number;
}

/** How recordings replay a policy: its score, from what was recorded, and the side on which it exits. */
export interface ReplayRule {
  readonly exits: ExitSide;
  readonly score: (measures: LayerMeasures) => number;
}

/** A kind of policy that compares a score with a threshold. */
export interface ThresholdPolicy {
  /** @throws UsageError for a threshold that is not a number */
  (options: ThresholdOptions): ExitPolicy;
  /** Absent where recordings do not hold what the score is made from. */
  readonly replay?: ReplayRule;
}

/**
 * A policy that compares a score with a threshold. It measures nothing at the last layer, nor when the threshold is
 * null.
 * @throws UsageError for a threshold that is not a number
 */
export function thresholdPolicy(
  {name, exits, scores}: Scoring,
  {threshold, schedule = {name: 'constant'}, rows = 'joint'}: ThresholdOptions,
): ExitPolicy {
  if (threshold !== null) checkThreshold(threshold);
  return memoryless(name, async (before, after, at, logits) => {
    const {layer, depth} = at[0]!;
    if (threshold === null || layer === depth) return at.map(() => ({exit: false}));
    const each = splitEvenly(await scores(before, after, at, logits), at.length);
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

/** Whether a score is on the exit side of its threshold; NaN never is. */
export function passes(score: number, limit: number, exits: ExitSide): boolean {
  if (exits === 'above') return score > limit;
  return exits === 'at-least' ? score >= limit : score < limit;
}

/** A list in `count` equal parts, in order. */
export function splitEvenly<T>(list: readonly T[], count: number): readonly (readonly T[])[] {
  const size = list.length / count;
  return Array.from({length: count}, (_, i) => list.slice(i * size, (i + 1) * size));
}

/** One score for several rows. */
export function combine(scores: readonly number[], exits: ExitSide, rows: RowRule): number {
  if (rows === 'every') return exits === 'below' ? largest(scores) : smallest(scores);
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}
