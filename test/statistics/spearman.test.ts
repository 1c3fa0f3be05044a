import {InputError} from '../../src/runtime/errors.js';
import {seededRandom} from '../../src/runtime/random.js';
import {ranks, spearman} from '../../src/statistics/spearman.js';

test('spearman: ties, coverage of its interval, and lists without a correlation', () => {
  expect([...ranks([3, 1, 3, 2])]).toEqual([3.5, 1, 3.5, 2]);
  // SciPy spearmanr.
  expect(spearman([1, 2, 2, 4, 5, 6], [2, 1, 4, 4, 6, 5]).rho).toBeCloseTo(0.8088235294117647, 12);
  expect(spearman([1, 2, 3, 4], [1, 2, 3, 4])).toEqual({rho: 1, low: 1, high: 1, n: 4});
  expect(spearman([1, 1, 1, 1], [1, 2, 3, 4]).rho).toBeNaN();
  const random = seededRandom(8);
  let covered = 0;
  for (let trial = 0; trial < 200; trial++) {
    const x = Array.from({length: 80}, () => random.next());
    const {low, high} = spearman(
      x,
      x.map(() => random.next()),
    );
    if (low <= 0 && high >= 0) covered++;
  }
  expect(covered).toBeGreaterThan(200 * 0.95 - 2 * Math.sqrt(200 * 0.05 * 0.95));
  expect(() => spearman([1], [])).toThrow(InputError);
});
