import {UsageError} from '../runtime/errors.js';

/** How a decoder threshold λ moves with the decoding step t (from 0) of at most N (ofa_mue section 10.13). */
export type ScheduleName = 'constant' | 'release' | 'paper' | 'calm' | 't5x';

export interface Schedule {
  readonly name: ScheduleName;
  /** Temperature τ of the decay. */
  readonly tau?: number;
  /** Weight β of λ in `paper`. */
  readonly beta?: number;
}

const FORMULAS: Record<ScheduleName, (threshold: number, t: number, n: number, parameters: {tau: number; beta: number}) => number> = {
  constant: (threshold) => threshold,
  // As the authors' script: nothing in the first third, then a decay with the step.
  release: (threshold, t, n) => (t < (n + 1) / 3 ? 1 : 0.9 * threshold + 0.1 * Math.exp(-(t + 1) / (n + 1))),
  paper: (threshold, t, n, {tau, beta}) => beta * threshold + (1 - beta) * Math.exp((-tau * t) / n),
  calm: (threshold, t, n, {tau}) => Math.min(1, Math.max(0, 0.9 * threshold + 0.1 * Math.exp((-tau * t) / n))),
  t5x: (threshold, t, n, {tau}) => threshold * (0.9 + 0.1 * Math.exp((-tau * t) / n)),
};
export const SCHEDULE_NAMES = Object.keys(FORMULAS) as readonly ScheduleName[];

/** The threshold at step `t` of at most `n`. Encoders and scoring have no steps: the threshold as it is. */
export function thresholdAt(schedule: Schedule, threshold: number, t: number | undefined, n: number | undefined): number {
  if (t === undefined) return threshold;
  const tau = schedule.tau ?? (schedule.name === 'paper' ? 1 : 4);
  // A model without a maximum is none that a schedule over its length could be meant for.
  if (n === undefined) throw new UsageError('schedule-without-length', `the schedule '${schedule.name}' needs the most steps there may be`);
  return FORMULAS[schedule.name](threshold, t, n, {tau, beta: schedule.beta ?? 0.95});
}
