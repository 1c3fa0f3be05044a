import {growthExponent, medianByPart, quantile, summarize} from '../../../bench/measure/statistics.js';

describe('statistics', () => {
  test('quantile: linear between ranks, whatever the order', () => {
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantile([10, 0], 0.1)).toBeCloseTo(1, 12);
    expect(quantile([7], 0.9)).toBe(7);
    expect(quantile([], 0.5)).toBeNaN();
  });

  test('summarize: the spread of few measurements is their whole range, of many p10 to p90', () => {
    expect(summarize([3, 1, 2])).toEqual({median: 2, p10: 1, p90: 3, n: 3});
    const many = summarize(Array.from({length: 101}, (_, i) => i));
    expect(many).toEqual({median: 50, p10: 10, p90: 90, n: 101});
  });

  test('medianByPart: a part that a run did not have counts as nothing', () => {
    const parts = medianByPart([{a: 1}, {a: 3, b: 4}, {a: 2, b: 2}]);
    expect(parts.a?.median).toBe(2);
    expect(parts.b?.median).toBe(2);
    expect(parts.b?.p10).toBe(0);
  });

  test('growthExponent: finds the exponents of powers, and none of a single size', () => {
    const power = (e: number) => [1, 2, 4, 9].map((x) => ({x, y: 5 * x ** e}));
    expect(growthExponent(power(2))).toBeCloseTo(2, 10);
    expect(growthExponent(power(0.5))).toBeCloseTo(0.5, 10);
    expect(
      growthExponent([
        {x: 3, y: 1},
        {x: 3, y: 2},
      ]),
    ).toBeNaN();
  });
});
