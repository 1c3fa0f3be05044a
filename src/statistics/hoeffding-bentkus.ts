import {UsageError} from '../runtime/errors.js';
import {binomialCdf} from './binomial.js';
import {fewest} from './fewest.js';

/** Test of "the risk is above α" from the mean of n losses in [0, 1]. */
export type RiskTest =
  /** For losses of 0 or 1: the exact binomial tail, the strongest. */
  | 'binomial'
  /** For any losses in [0, 1]. */
  | 'hoeffding-bentkus'
  /** For any losses in [0, 1]; weaker, kept to compare with. */
  | 'hoeffding';

/**
 * P-value of the hypothesis that the true risk exceeds α (docs/reference/early-exit.md B4): at most δ with probability
 * at most δ if it does.
 * @param risk  mean of n independent losses, in [0, 1]
 * @param alpha in (0, 1)
 * @returns     in [0, 1]; 1 if there are no items
 * @throws UsageError for a risk or α outside of that
 */
export function riskPValue(risk: number, n: number, alpha: number, test: RiskTest = 'hoeffding-bentkus'): number {
  if (!(alpha > 0 && alpha < 1))
    throw new UsageError('alpha', `risk control: α is ${alpha}; a number between 0 and 1 is needed.`);
  if (!(risk >= 0 && risk <= 1))
    throw new UsageError('risk', `risk control: an observed risk of ${risk}; losses must lie in [0, 1].`);
  if (n === 0) return 1;
  // A mean of n ones and zeros times n may miss its integer by rounding.
  const errors = Math.ceil(n * risk - 1e-9 * Math.max(1, n * risk));
  if (test === 'hoeffding') return Math.exp(-2 * n * Math.max(0, alpha - risk) ** 2);
  const tail = binomialCdf(errors, n, alpha);
  if (test === 'binomial') return tail;
  return Math.min(1, Math.exp(-n * divergence(Math.min(risk, alpha), alpha)), Math.E * tail);
}

/** Relative entropy of two coins: a ln(a/b) + (1−a) ln((1−a)/(1−b)), with 0 ln 0 = 0. */
function divergence(a: number, b: number): number {
  return (a === 0 ? 0 : a * Math.log(a / b)) + (a === 1 ? 0 : (1 - a) * Math.log((1 - a) / (1 - b)));
}

/**
 * Fewest items for which a risk of `expectedRisk`, if that is what is observed, certifies "at most α, except with
 * probability δ".
 * @returns Infinity if the expected risk is not below α
 */
export function itemsNeeded(
  alpha: number,
  delta: number,
  expectedRisk: number,
  test: RiskTest = 'hoeffding-bentkus',
): number {
  if (!(delta > 0 && delta < 1))
    throw new UsageError('delta', `risk control: δ is ${delta}; a number between 0 and 1 is needed.`);
  if (!(expectedRisk < alpha)) return Number.POSITIVE_INFINITY;
  // With m errors the most items that still have this risk are ⌊m / risk⌋: more errors, better p-value. Then fewer
  // items with as many errors.
  const enough = (n: number): boolean => riskPValue(expectedRisk, n, alpha, test) <= delta;
  const itemsWith = (errors: number): number =>
    expectedRisk === 0 ? Number.POSITIVE_INFINITY : Math.floor(errors / expectedRisk + 1e-9);
  let errors = 0;
  if (expectedRisk > 0) {
    let step = 1;
    while (!enough(itemsWith(errors + step))) {
      errors += step;
      step *= 2;
      if (itemsWith(errors + step) > 1e12) return Number.POSITIVE_INFINITY;
    }
    for (; step >= 1; step /= 2) if (!enough(itemsWith(errors + step))) errors += step;
    errors += 1;
  }
  return expectedRisk === 0 ? fewest(enough, 0, 1) : fewest(enough, itemsWith(errors - 1), itemsWith(errors));
}
