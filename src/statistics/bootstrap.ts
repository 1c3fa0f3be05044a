import {InputError, UsageError} from '../runtime/errors.js';
import {seededRandom} from '../runtime/random.js';
import {quantile} from './descriptive.js';

/** A number with its uncertainty. */
export interface Interval {
  /** Value on the items as they are. */
  readonly estimate: number;
  /** Two-sided percentile interval. */
  readonly low: number;
  readonly high: number;
  /** Lower and upper one-sided bounds at the same level: "at least `lowerBound`", "at most `upperBound`". */
  readonly lowerBound: number;
  readonly upperBound: number;
}

export interface BootstrapOptions {
  /** Default 10,000. */
  readonly resamples?: number;
  readonly seed: number;
  /** Confidence of the interval; default 0.95. */
  readonly level?: number;
  /** Group of every item (its picture): groups are drawn, not items, so that items of one picture stay together. */
  readonly groups?: readonly (string | number)[];
}

/**
 * Paired bootstrap of statistics that are functions of sums over items: ratios of means, differences, BLEU. All columns
 * of an item are drawn together, hence "paired".
 * @param columns    numbers by item; include one of ones where a count is needed (with groups the number of items
 *   varies)
 * @param statistics by name, each a function of the columns' sums, in their order; the array is reused between calls
 * @throws InputError without items, or for columns of different lengths
 * @throws UsageError for a level or number of resamples that makes no sense
 */
export function bootstrap<Name extends string>(
  columns: readonly ArrayLike<number>[],
  statistics: Readonly<Record<Name, (sums: Float64Array) => number>>,
  options: BootstrapOptions,
): Record<Name, Interval> {
  const {resamples = 10_000, seed, level = 0.95, groups} = options;
  if (!(level > 0 && level < 1))
    throw new UsageError('level', `bootstrap: level is ${level}; a number between 0 and 1 is needed.`);
  if (!(Number.isInteger(resamples) && resamples >= 1))
    throw new UsageError('resamples', `bootstrap: ${resamples} resamples; at least 1.`);
  const {rows, n} = gather(columns, groups);
  const width = columns.length;
  const names = Object.keys(statistics) as Name[];
  const drawn = names.map(() => new Float64Array(resamples));
  const sums = new Float64Array(width);
  const random = seededRandom(seed);
  for (let b = 0; b < resamples; b++) {
    sums.fill(0);
    for (let i = 0; i < n; i++) {
      const row = random.below(n) * width;
      for (let k = 0; k < width; k++) sums[k]! += rows[row + k]!;
    }
    names.forEach((name, s) => {
      drawn[s]![b] = statistics[name](sums);
    });
  }
  sums.fill(0);
  for (let at = 0; at < rows.length; at++) sums[at % width]! += rows[at]!;
  const tail = 1 - level;
  const result = {} as Record<Name, Interval>;
  names.forEach((name, s) => {
    const sorted = drawn[s]!.sort();
    result[name] = {
      estimate: statistics[name](sums),
      low: quantile(sorted, tail / 2),
      high: quantile(sorted, 1 - tail / 2),
      lowerBound: quantile(sorted, tail),
      upperBound: quantile(sorted, 1 - tail),
    };
  });
  return result;
}

/** Columns as rows, [units × columns]; a unit is an item or the sum of a group. */
function gather(
  columns: readonly ArrayLike<number>[],
  groups: BootstrapOptions['groups'],
): {rows: Float64Array; n: number} {
  const items = columns[0]?.length ?? 0;
  if (items === 0) throw new InputError('no-items', 'bootstrap: no items; at least one is needed.');
  for (const column of [...columns, ...(groups === undefined ? [] : [groups])])
    if (column.length !== items)
      throw new InputError(
        'wrong-count',
        `bootstrap: columns of ${items} and ${column.length} items; one length is needed.`,
      );
  const unit = new Map<string | number, number>();
  const unitOf = Int32Array.from({length: items}, (_, i) => {
    const name = groups?.[i] ?? i;
    const known = unit.get(name) ?? unit.size;
    unit.set(name, known);
    return known;
  });
  const rows = new Float64Array(unit.size * columns.length);
  columns.forEach((column, k) => {
    for (let i = 0; i < items; i++) rows[unitOf[i]! * columns.length + k]! += column[i]!;
  });
  return {rows, n: unit.size};
}
