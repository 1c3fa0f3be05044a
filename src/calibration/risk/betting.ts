import {UsageError} from '../../runtime/errors.js';
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

/** Sizes of bets, each decided by the losses before it alone: the more they vary, the smaller it is. */
class Bets {
  #seen = 0;
  #sum = 0.5;
  #squares = 0.25;
  #variance = 0.25;
  readonly #most: number;

  constructor(private readonly options: BettingOptions) {
    checkDelta(options.delta);
    this.#most = options.most ?? 1;
  }

  /** @param limit beyond which a loss could take more than the capital */
  next(limit: number): number {
    const {items, delta} = this.options;
    return Math.min(limit, Math.sqrt((2 * Math.log(1 / delta)) / (items * this.#variance)));
  }

  /** @throws UsageError for a loss that is larger than was said */
  see(loss: number): void {
    if (!(Math.abs(loss) <= this.#most))
      throw new UsageError('loss', `risk bound: item ${this.#seen} has a loss of ${loss}; the bound is ${this.#most}.`);
    this.#seen++;
    this.#sum += loss;
    this.#squares += (loss - this.#sum / (this.#seen + 1)) ** 2;
    this.#variance = this.#squares / (this.#seen + 1);
  }
}

/**
 * Test of "the mean loss is above a risk" that may be looked at after every loss, and ended at any: were it so, the
 * capital of whoever bets against it would ever reach 1/δ with probability at most δ.
 */
export class BettingTest {
  readonly #bets: Bets;
  readonly #limit: number;
  #logCapital = 0;
  #highest = 0;

  /** @param risk may be negative */
  constructor(
    readonly risk: number,
    options: BettingOptions,
  ) {
    this.#bets = new Bets(options);
    this.#limit = 1 / ((options.most ?? 1) + Math.max(0, -risk));
  }

  /** @throws UsageError for a loss that is larger than was said */
  see(loss: number): void {
    const bet = this.#bets.next(this.#limit);
    this.#bets.see(loss);
    this.#logCapital += Math.log1p(-bet * (loss - this.risk));
    this.#highest = Math.max(this.#highest, this.#logCapital);
  }

  /** Of all losses so far, in (0, 1]; valid at every moment. */
  get pValue(): number {
    return Math.exp(-this.#highest);
  }
}

/**
 * Upper confidence bound of a mean loss: tighter than `riskUpperBound` for losses of low variance; never below zero.
 * @param losses independent, in an order that owes nothing to their values, none above `most`, none below −`most`
 * @throws UsageError if a loss is beyond that
 */
export function bettingUpperBound(losses: ArrayLike<number>, delta: number, most = 1): number {
  const n = losses.length;
  const bets = new Bets({items: n, delta, most});
  const sizes = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    sizes[i] = bets.next(1 / most);
    bets.see(losses[i]!);
  }
  const beyond = (risk: number): boolean => {
    let capital = Math.log(delta);
    for (let i = 0; i < n; i++) {
      capital += Math.log(1 - sizes[i]! * (losses[i]! - risk));
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

/** Fewest items on which a candidate that loses nothing is certified: what any calibration needs; Infinity for a risk of 0. */
export function fewestItems(risk: number, delta: number, most = 1): number {
  const enough = (items: number): boolean => {
    const test = new BettingTest(risk, {items, delta, most});
    for (let i = 0; i < items; i++) test.see(0);
    return test.pValue <= delta;
  };
  let high = 1;
  while (!enough(high)) {
    high *= 2;
    if (high > 1e6) return Number.POSITIVE_INFINITY;
  }
  let low = high / 2;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (enough(middle)) high = middle;
    else low = middle;
  }
  return high;
}
