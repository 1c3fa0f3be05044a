import {bettingUpperBound} from '../../../src/calibration/risk/betting.js';
import {riskUpperBound} from '../../../src/calibration/risk/bounds.js';
import {UsageError} from '../../../src/runtime/errors.js';
import {seededRandom} from '../../../src/runtime/random.js';
import {riskPValue} from '../../../src/statistics/hoeffding-bentkus.js';

test.each(['hoeffding-bentkus', 'binomial', 'hoeffding'] as const)(
  'riskUpperBound: inverts the p-value of %s',
  (kind) => {
    const bound = riskUpperBound(0.01, 1000, 0.05, kind);
    expect(riskPValue(0.01, 1000, bound, kind)).toBeLessThanOrEqual(0.05);
    expect(riskPValue(0.01, 1000, bound - 1e-6, kind)).toBeGreaterThan(0.05);
  },
);

test('bettingUpperBound: lies below the true risk no more often than δ allows', () => {
  const random = seededRandom(11);
  let missed = 0;
  for (let trial = 0; trial < 200; trial++) {
    const losses = Float64Array.from({length: 300}, () => (random.next() < 0.1 ? 1 : 0) * random.next());
    if (bettingUpperBound(losses, 0.1) < 0.05) missed++;
  }
  expect(missed).toBeLessThanOrEqual(200 * (0.1 + 2 * Math.sqrt((0.1 * 0.9) / 200)));
});

test('bettingUpperBound: beats Hoeffding-Bentkus where losses vary little, and gains lower it', () => {
  const random = seededRandom(11);
  const steady = Float64Array.from({length: 500}, () => 0.2 + 0.02 * random.next());
  expect(bettingUpperBound(steady, 0.05)).toBeLessThan(riskUpperBound(0.21, 500, 0.05));
  const gains = steady.map((loss, i) => (i % 2 === 0 ? -loss : loss));
  expect(bettingUpperBound(gains, 0.05)).toBeLessThan(0.1);
});

test('bettingUpperBound: refuses a loss beyond the largest', () => {
  expect(() => bettingUpperBound([2], 0.05)).toThrow(UsageError);
});
