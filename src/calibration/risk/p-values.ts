import {UsageError} from '../../runtime/errors.js';
import {type RiskTest, riskPValue} from '../../statistics/hoeffding-bentkus.js';

/** One hypothesis "the risk of this point exceeds α" and what became of it. */
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
 * How many points at the head of a sequence, whose order was fixed before these p-values were seen, may be accepted:
 * all before the first p > δ (early_exit.md B4). Valid for any risk, monotone or not.
 */
export function fixedSequence(pValues: Iterable<number>, delta: number): number {
  let accepted = 0;
  for (const p of pValues) {
    if (!(p <= delta)) break;
    accepted++;
  }
  return accepted;
}

/** Indices of the points that may be accepted in no order: p ≤ δ / k. */
export function bonferroni(pValues: readonly number[], delta: number): number[] {
  return pValues.flatMap((p, i) => (p <= delta / pValues.length ? [i] : []));
}

/** Indices of the points that Holm's step-down accepts: all that Bonferroni accepts, and often more. In ascending order. */
export function holm(pValues: readonly number[], delta: number): number[] {
  const order = pValues.map((_, i) => i).sort((a, b) => pValues[a]! - pValues[b]!);
  const first = order.findIndex((i, rank) => !(pValues[i]! <= delta / (pValues.length - rank)));
  return order.slice(0, first < 0 ? order.length : first).sort((a, b) => a - b);
}

/** Result of `learnThenTest`. */
export interface LearnThenTestResult {
  /** Every point that was tested: up to and including the first that failed. */
  readonly tested: readonly TestedPoint[];
  /** The last accepted point of the sequence; undefined if none is: then only the full model is safe. */
  readonly chosen: TestedPoint | undefined;
}

/**
 * Learn-then-Test with fixed-sequence testing: walks from safe to aggressive, stops at the first point that cannot be
 * certified, returns the last one that can.
 * @param sequence candidates from safe to aggressive, in an order that owes nothing to the losses given here.
 * @param loss losses of one candidate on the calibration items, each in [0, 1].
 */
export function learnThenTest(
  sequence: Iterable<number>,
  loss: (candidate: number) => ArrayLike<number>,
  {
    alpha,
    delta,
    test = 'hoeffding-bentkus',
  }: {readonly alpha: number; readonly delta: number; readonly test?: RiskTest},
): LearnThenTestResult {
  checkDelta(delta);
  const tested: TestedPoint[] = [];
  for (const candidate of sequence) {
    const losses = loss(candidate);
    const risk = meanLoss(losses, undefined, candidate, test);
    const pValue = riskPValue(risk, losses.length, alpha, test);
    tested.push({candidate, risk, pValue, accepted: pValue <= delta});
    if (!(pValue <= delta)) break;
  }
  return {tested, chosen: tested.findLast((point) => point.accepted)};
}

/** @throws UsageError unless 0 < δ < 1. */
export function checkDelta(delta: number): void {
  if (!(delta > 0 && delta < 1))
    throw new UsageError('delta', `risk control: δ is ${delta}; a number between 0 and 1 is needed.`);
}

/** Mean loss over the items given, or over all. @throws UsageError if a loss is not what the test is valid for. */
export function meanLoss(
  losses: ArrayLike<number>,
  items: ArrayLike<number> | undefined,
  candidate: number,
  test: RiskTest,
): number {
  const n = items?.length ?? losses.length;
  let sum = 0;
  for (let i = 0; i < n; i++) {
    const loss = losses[items === undefined ? i : items[i]!]!;
    if (test === 'binomial' ? loss !== 0 && loss !== 1 : !(loss >= 0 && loss <= 1)) {
      const wanted = test === 'binomial' ? '0 or 1 for the binomial test' : 'in [0, 1]';
      throw new UsageError(
        'loss',
        `risk control: candidate ${candidate} has a loss of ${loss}; losses must be ${wanted}.`,
      );
    }
    sum += loss;
  }
  return n === 0 ? 0 : sum / n;
}
