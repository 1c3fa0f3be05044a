import {UsageError} from '../../runtime/errors.js';
import {meanAt} from '../../statistics/descriptive.js';
import type {RiskTest} from '../../statistics/hoeffding-bentkus.js';

// From losses to accepted points: what all tests of risks share.

/** Hypothesis "the risk of this point exceeds α" and its test. */
export interface TestedPoint {
  /** Index of the point in the caller's list. */
  readonly candidate: number;
  /** Mean loss on the items of the test. */
  readonly risk: number;
  readonly pValue: number;
  /** Rejected the hypothesis: the point's risk is at most α, except with probability δ over all points together. */
  readonly accepted: boolean;
}

/**
 * Fixed-sequence testing: how many points at the head of a sequence, whose order was fixed before these p-values were
 * seen, may be accepted: all before the first p > δ (docs/reference/early-exit.md B4). Valid for any risk, monotone or
 * not. P-values are asked for one by one, and none after the first failure.
 */
export function fixedSequence(pValues: Iterable<number>, delta: number): number {
  let accepted = 0;
  for (const p of pValues) {
    if (!(p <= delta)) break;
    accepted++;
  }
  return accepted;
}

/** @throws UsageError unless 0 < δ < 1 */
export function checkDelta(delta: number): void {
  if (!(delta > 0 && delta < 1))
    throw new UsageError('delta', `risk control: δ is ${delta}; a number between 0 and 1 is needed.`);
}

/**
 * Mean loss over the items given.
 * @param items     indices into the losses
 * @param candidate names the point in errors
 * @throws UsageError if a loss is not what the test is valid for
 */
export function meanLoss(losses: ArrayLike<number>, items: Int32Array, candidate: number, test: RiskTest): number {
  for (const item of items) {
    const loss = losses[item]!;
    if (test === 'binomial' ? loss !== 0 && loss !== 1 : !(loss >= 0 && loss <= 1)) {
      const wanted = test === 'binomial' ? '0 or 1 for the binomial test' : 'in [0, 1]';
      throw new UsageError(
        'loss',
        `risk control: candidate ${candidate} has a loss of ${loss}; losses must be ${wanted}.`,
      );
    }
  }
  return meanAt(losses, items);
}
