import {BettingTest, type BettingOptions} from './betting.js';
import {fixedSequence} from './p-values.js';

/**
 * Fixed-sequence testing of candidates while their losses come in, each by a `BettingTest`: candidates stand in an order
 * that was fixed before, the safest first. All up to the last accepted one have a mean loss of at most the risk, except
 * with probability δ over all of them together. A candidate is decided as soon as its test is, so that it need not be
 * run any longer.
 */
export class SequenceTest {
  readonly #certify: readonly BettingTest[];
  /** Bets on the opposite, "the mean loss is below the risk": won, the candidate is given up. Costs power, never validity. */
  readonly #giveUp: readonly BettingTest[];
  readonly #sums: Float64Array;
  readonly #seen: Int32Array;

  constructor(
    candidates: number,
    readonly risk: number,
    private readonly options: BettingOptions,
  ) {
    const tests = (of: number): BettingTest[] => Array.from({length: candidates}, () => new BettingTest(of, options));
    this.#certify = tests(risk);
    this.#giveUp = tests(-risk);
    this.#sums = new Float64Array(candidates);
    this.#seen = new Int32Array(candidates);
  }

  /** Candidates, by number, whose loss on the next item is needed. */
  get open(): readonly number[] {
    const given = this.#giveUp.findIndex(({pValue}) => pValue <= this.options.delta);
    const end = given < 0 ? this.#certify.length : given;
    return [...this.#certify.keys()].filter((c) => c < end && this.#certify[c]!.pValue > this.options.delta);
  }

  /** One candidate's loss on its next item. */
  see(candidate: number, loss: number): void {
    this.#certify[candidate]!.see(loss);
    this.#giveUp[candidate]!.see(-loss);
    this.#sums[candidate]! += loss;
    this.#seen[candidate]!++;
  }

  /** How many at the head of the sequence are accepted by what was seen. */
  get accepted(): number {
    return fixedSequence(
      this.#certify.map(({pValue}) => pValue),
      this.options.delta,
    );
  }

  /** What is known of a candidate. */
  of(candidate: number): {readonly risk: number; readonly pValue: number; readonly items: number} {
    const items = this.#seen[candidate]!;
    return {risk: this.#sums[candidate]! / items, pValue: this.#certify[candidate]!.pValue, items};
  }
}
