import fc from 'fast-check';
import {mean, meanAt, quantile, range} from '../../src/statistics/descriptive.js';

test('mean: of all values, of those at indices; NaN of nothing', () => {
  expect(mean([1, 2, 6])).toBe(3);
  expect(mean(Float32Array.of(0.5, 1.5))).toBe(1);
  expect(mean([])).toBeNaN();
  expect(meanAt([1, 2, 6], Int32Array.of(2, 2, 0))).toBe(13 / 3);
  expect(meanAt([1], [])).toBeNaN();
});

test('quantile: interpolates between order statistics, as NumPy does by default', () => {
  const sorted = Float64Array.of(1, 2, 4, 8);
  expect([0, 0.25, 0.5, 0.875, 1].map((fraction) => quantile(sorted, fraction))).toEqual([1, 1.75, 3, 6.5, 8]);
  expect(quantile(Float64Array.of(7), 0.3)).toBe(7);
  expect(quantile(Float64Array.of(1, Number.NaN), 0)).toBeNaN();
});

test('quantile: stays within the values and grows with the fraction', () => {
  const values = fc.array(fc.double({min: -1e6, max: 1e6, noNaN: true}), {minLength: 1, maxLength: 20});
  const fraction = fc.double({min: 0, max: 1, noNaN: true});
  fc.assert(
    fc.property(values, fraction, fraction, (list, a, b) => {
      const sorted = Float64Array.from(list).sort();
      const [low, high] = [quantile(sorted, Math.min(a, b)), quantile(sorted, Math.max(a, b))];
      expect(low).toBeLessThanOrEqual(high + 1e-9 * Math.abs(high));
      expect(low).toBeGreaterThanOrEqual(sorted[0]!);
      expect(high).toBeLessThanOrEqual(sorted.at(-1)!);
    }),
  );
});

test('range: both ends included, none if they are the wrong way round', () => {
  expect(range(2, 4)).toEqual([2, 3, 4]);
  expect(range(3, 3)).toEqual([3]);
  expect(range(3, 1)).toEqual([]);
});
