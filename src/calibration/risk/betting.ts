import {UsageError} from '../../runtime/errors.js';
import {fewest} from '../../statistics/fewest.js';
import {checkDelta} from './p-values.js';

// Testing by betting (Waudby-Smith and Ramdas; docs/reference/early-exit.md B4). Losses are independent, in an order that
// owes nothing to their values, and may be negative: a gap that is sometimes a gain.

/** What bets are made for. */
export interface BettingOptions {
  /** Losses that are expected. More or fewer may come: it decides how bold bets are, not whether they are valid. */
  readonly items: number;
  /** Probability of error that the bets aim at. */
  readonly delta: number;
  /** No loss is above this, or below its negative. */
  readonly most?: number;
}

/**
 * Test of "the mean loss is above a risk" that may be looked at after every loss, and ended at any: were it so, the
 * capital of whoever bets against it would ever reach 1/δ with probability at most δ. The size of a bet is decided by the
 * losses before it alone: the more they vary, the smaller it is.
 */
export class BettingTest {
  readonly #most: number;
  /** A larger bet could lose more than the capital. */
  readonly #limit: number;
  #seen = 0;
  #sum = 0.5;
  #squares = 0.25;
  #variance = 0.25;
  #logCapital = 0;
  #highest = 0;

  /** @param risk may be negative */
  constructor(
    readonly risk: number,
    private readonly options: BettingOptions,
  ) {
    checkDelta(options.delta);
    this.#most = options.most ?? 1;
    this.#limit = 1 / (this.#most + Math.max(0, -risk));
  }

  /** @throws UsageError for a loss that is larger than was said */
  see(loss: number): void {
    const {items, delta} = this.options;
    if (!(Math.abs(loss) <= this.#most))
      throw new UsageError('loss', `risk bound: item ${this.#seen} has a loss of ${loss}; the bound is ${this.#most}.`);
    const bet = Math.min(this.#limit, Math.sqrt((2 * Math.log(1 / delta)) / (items * this.#variance)));
    this.#logCapital += Math.log1p(-bet * (loss - this.risk));
    this.#highest = Math.max(this.#highest, this.#logCapital);
    this.#seen++;
    this.#sum += loss;
    this.#squares += (loss - this.#sum / (this.#seen + 1)) ** 2;
    this.#variance = this.#squares / (this.#seen + 1);
  }

  /** Of all losses so far, in (0, 1]; valid at every moment. */
  get pValue(): number {
    return Math.exp(-this.#highest);
  }
}

/**
 * Upper confidence bound of a mean loss: tighter than `riskUpperBound` for losses of low variance; never below zero.
 * Inverts `BettingTest`.
 * @param losses independent, in an order that owes nothing to their values, none above `most`, none below −`most`
 * @throws UsageError if a loss is beyond that
 */
export function bettingUpperBound(losses: ArrayLike<number>, delta: number, most = 1): number {
  const beyond = (risk: number): boolean => {
    const test = new BettingTest(risk, {items: losses.length, delta, most});
    for (let i = 0; i < losses.length; i++) test.see(losses[i]!);
    return test.pValue < delta;
  };
  // A mean loss is not expected below zero.
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

/** Fewest items on which a candidate that loses nothing is certified: what any calibration needs; Infinity for a risk of 0. */
export function fewestItems(risk: number, delta: number, most = 1): number {
  const enough = (items: number): boolean => {
    const test = new BettingTest(risk, {items, delta, most});
    for (let i = 0; i < items; i++) test.see(0);
    return test.pValue <= delta;
  };
  return fewest(enough, 0, 1, 1e6);
}
