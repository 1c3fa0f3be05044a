import {UsageError} from '../../runtime/errors.js';
import {type RiskTest, riskPValue} from '../../statistics/hoeffding-bentkus.js';
import {checkDelta} from './p-values.js';

/** Upper confidence bound of a risk: the true risk lies above it with probability at most δ. Inverts `riskPValue`. */
export function riskUpperBound(risk: number, n: number, delta: number, test: RiskTest = 'hoeffding-bentkus'): number {
  checkDelta(delta);
  let low = risk;
  let high = 1;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (middle <= 0 || middle >= 1 || riskPValue(risk, n, middle, test) > delta) low = middle;
    else high = middle;
  }
  return high;
}

/**
 * Upper confidence bound by betting (Waudby-Smith and Ramdas; docs/reference/early-exit.md B4): tighter than
 * `riskUpperBound` for losses of low variance, and valid for losses that may be negative (a gap that is sometimes a
 * gain); never below zero.
 * @param losses independent, in an order that owes nothing to their values, none above `most`, none below −`most`
 * @throws UsageError if a loss is beyond that
 */
export function bettingUpperBound(losses: ArrayLike<number>, delta: number, most = 1): number {
  checkDelta(delta);
  const n = losses.length;
  const bets = new Float64Array(n);
  let sum = 0.5;
  let squares = 0.25;
  let variance = 0.25;
  for (let i = 0; i < n; i++) {
    const loss = losses[i]!;
    if (!(Math.abs(loss) <= most))
      throw new UsageError('loss', `risk bound: item ${i} has a loss of ${loss}; the bound is ${most}.`);
    // Each bet is made before its loss is seen.
    bets[i] = Math.min(1 / most, Math.sqrt((2 * Math.log(1 / delta)) / (n * variance)));
    sum += loss;
    squares += (loss - sum / (i + 2)) ** 2;
    variance = squares / (i + 2);
  }
  const beyond = (risk: number): boolean => {
    let capital = Math.log(delta);
    for (let i = 0; i < n; i++) {
      capital += Math.log(1 - bets[i]! * (losses[i]! - risk));
      if (capital > 0) return true;
    }
    return false;
  };
  // Below zero a bet could lose more than its capital; a risk is not expected there.
  let low = 0;
  let high = most;
  if (!beyond(high)) return most;
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (beyond(middle)) high = middle;
    else low = middle;
  }
  return high;
}
