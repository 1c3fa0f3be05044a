import {seededRandom} from '../runtime/random.js';

/** An odd number that spreads neighbouring epochs over all seeds. */
const SPREAD = 0x9e3779b9;

/**
 * The order in which rows are learnt from: every epoch has all of them, in an order of its own. It depends on the seed
 * and the place alone, so that a run can go on anywhere.
 */
export class TrainingOrder {
  #epoch = -1;
  #order: readonly number[] = [];

  /** @param rows how many there are, at least one */
  constructor(
    private readonly rows: number,
    private readonly seed: number,
  ) {}

  /** Numbers of the rows at the places `first` … `first + count − 1`, counted over all epochs. */
  at(first: number, count: number): readonly number[] {
    return Array.from({length: count}, (_, i) => this.#row(first + i));
  }

  #row(place: number): number {
    const epoch = Math.floor(place / this.rows);
    if (epoch !== this.#epoch) {
      const random = seededRandom(this.seed ^ Math.imul(epoch + 1, SPREAD));
      this.#order = random.shuffle(Array.from({length: this.rows}, (_, row) => row));
      this.#epoch = epoch;
    }
    return this.#order[place % this.rows]!;
  }
}
