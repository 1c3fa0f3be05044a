export const SCHEDULES = ['polynomial', 'cosine', 'constant'] as const;
/** How the learning rate falls after the warm-up: in a straight line to 0, along half a cosine to 0, or not at all. */
export type RateSchedule = (typeof SCHEDULES)[number];

export interface ScheduleOptions {
  /** The largest one. */
  readonly learningRate: number;
  readonly schedule: RateSchedule;
  /** Updates during which it rises in a straight line. */
  readonly warmup: number;
  /** Updates until it is 0. */
  readonly updates: number;
}

/**
 * Learning rate of an update, counted from 0. fairseq counts the updates that are done, and gives the first one the
 * rate of the second: so does this.
 */
export function learningRateAt(update: number, {learningRate, schedule, warmup, updates}: ScheduleOptions): number {
  if (warmup > 0 && update <= warmup) return (learningRate * Math.max(1, update)) / warmup;
  if (schedule === 'constant') return learningRate;
  const done = Math.min(1, (update - warmup) / Math.max(1, updates - warmup));
  return learningRate * (schedule === 'cosine' ? (1 + Math.cos(Math.PI * done)) / 2 : 1 - done);
}
