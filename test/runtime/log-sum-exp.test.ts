import {sumOfExponentials} from '../../src/runtime/log-sum-exp.js';

const exact = (scores: Float64Array, max: number): number =>
  scores.reduce((sum, score) => sum + Math.exp(score - max), 0);

test.each([1, 2, 7, 1000])('sums %i exponentials as Math.exp does', (size) => {
  const scores = Float64Array.from({length: size}, (_, i) => 9 - 40 * ((i * 0.618) % 1));
  const max = Math.max(...scores);
  expect(sumOfExponentials(scores, max) / exact(scores, max)).toBeCloseTo(1, 12);
});

test('each term is right, from the largest to those that count as none', () => {
  for (let x = 0; x < 80; x += 0.0137) {
    const [found, wanted] = [sumOfExponentials(Float64Array.of(-x, -Infinity), 0), Math.exp(-x)];
    // 64 octaves are 44.4.
    if (x < 44.3) expect(Math.abs(found / wanted - 1)).toBeLessThan(1e-13);
    else expect(found).toBeLessThan(6e-20);
  }
});

test('what is impossible adds nothing, what is not a number stays none', () => {
  expect(sumOfExponentials(Float64Array.of(2, -Infinity, -1e300, 2), 2)).toBe(2);
  expect(sumOfExponentials(Float64Array.of(2, Number.NaN), 2)).toBeNaN();
});
