import fc from 'fast-check';
import {bootstrap} from '../../src/statistics/bootstrap.js';
import {InputError, UsageError} from '../../src/runtime/errors.js';
import {seededRandom} from '../../src/runtime/random.js';

const ratio = {ratio: (sums: Float64Array) => sums[0]! / sums[1]!};

test('bootstrap: the interval of a mean is that of the normal approximation', () => {
  const random = seededRandom(1);
  const values = Float64Array.from({length: 1500}, () => (random.next() < 0.97 ? 1 : 0));
  const share = values.reduce((sum, x) => sum + x, 0) / 1500;
  const error = Math.sqrt((share * (1 - share)) / 1500);
  const interval = bootstrap([values, new Uint8Array(1500).fill(1)], ratio, {seed: 2}).ratio;
  expect(interval.estimate).toBeCloseTo(share, 12);
  expect(interval.low).toBeCloseTo(share - 1.96 * error, 3);
  expect(interval.high).toBeCloseTo(share + 1.96 * error, 3);
  expect(interval.lowerBound).toBeCloseTo(share - 1.645 * error, 3);
  expect(interval.upperBound).toBeCloseTo(share + 1.645 * error, 3);
});

test('bootstrap: pairs cancel, the ratio of a column to itself is certain', () => {
  const column = [3, 1, 4, 1, 5];
  expect(bootstrap([column, column], ratio, {seed: 0, resamples: 50}).ratio).toEqual({
    estimate: 1,
    low: 1,
    high: 1,
    lowerBound: 1,
    upperBound: 1,
  });
});

test('bootstrap: drawing groups widens the interval of items that say the same', () => {
  const random = seededRandom(4);
  const pictures = Array.from({length: 300}, () => random.next());
  const values = pictures.flatMap((x) => [x, x, x]);
  const ones = new Array<number>(900).fill(1);
  const width = (groups?: number[]): number => {
    const {low, high} = bootstrap([values, ones], ratio, {seed: 5, resamples: 2000, ...(groups && {groups})}).ratio;
    return high - low;
  };
  const byItem = width();
  const byPicture = width(values.map((_, i) => Math.floor(i / 3)));
  expect(byPicture / byItem).toBeGreaterThan(1.6);
  expect(byPicture / byItem).toBeLessThan(1.87);
});

test('bootstrap: same seed, same interval; another seed, another; bounds are ordered', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({min: 0.1, max: 1, noNaN: true}), {minLength: 1, maxLength: 12}),
      fc.nat(),
      (values, seed) => {
        const ones = values.map(() => 1);
        const a = bootstrap([values, ones], ratio, {seed, resamples: 60}).ratio;
        expect(bootstrap([values, ones], ratio, {seed, resamples: 60}).ratio).toEqual(a);
        expect(a.low <= a.lowerBound && a.lowerBound <= a.upperBound && a.upperBound <= a.high).toBe(true);
      },
    ),
  );
  const values = Array.from({length: 20}, (_, i) => i);
  const low = (seed: number): number =>
    bootstrap([values, values.map(() => 1)], ratio, {seed, resamples: 60}).ratio.low;
  expect(low(1)).not.toBe(low(2));
});

test('bootstrap: refuses nothing to draw from, ragged columns, and levels that are none', () => {
  expect(() => bootstrap([[]], ratio, {seed: 0})).toThrow(InputError);
  expect(() => bootstrap([[1], [1, 2]], ratio, {seed: 0})).toThrow('columns of 1 and 2 items');
  expect(() => bootstrap([[1]], ratio, {seed: 0, level: 1})).toThrow(UsageError);
});
