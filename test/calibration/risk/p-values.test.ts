import fc from 'fast-check';
import {riskPValue} from '../../../src/statistics/hoeffding-bentkus.js';
import {bonferroni, fixedSequence, holm, learnThenTest} from '../../../src/calibration/risk/p-values.js';
import {
  bettingUpperBound,
  conformalRiskControl,
  lastBelow,
  riskUpperBound,
} from '../../../src/calibration/risk/bounds.js';
import {UsageError} from '../../../src/runtime/errors.js';
import {seededRandom} from '../../../src/runtime/random.js';

const pValues = fc.array(fc.double({min: 0, max: 1, noNaN: true}), {maxLength: 12});

test('fixed sequence: accepts all before the first failure, and nothing behind it', () => {
  expect(fixedSequence([0.01, 0.05, 0.06, 0.001], 0.05)).toBe(2);
  expect(fixedSequence([Number.NaN, 0], 0.05)).toBe(0);
  fc.assert(
    fc.property(pValues, (list) => {
      const accepted = fixedSequence(list, 0.3);
      expect(list.slice(0, accepted).every((p) => p <= 0.3)).toBe(true);
      expect(accepted === list.length || list[accepted]! > 0.3).toBe(true);
    }),
  );
});

test('Holm accepts what Bonferroni accepts, perhaps more; never a p above δ', () => {
  expect(bonferroni([0.01, 0.02, 0.03, 0.2], 0.05)).toEqual([0]);
  expect(holm([0.012, 0.03, 0.016, 0.2], 0.05)).toEqual([0, 2]);
  fc.assert(
    fc.property(pValues, (list) => {
      const stepped = holm(list, 0.3);
      for (const i of bonferroni(list, 0.3)) expect(stepped).toContain(i);
      for (const i of stepped) expect(list[i]).toBeLessThanOrEqual(0.3);
    }),
  );
});

test('Learn-then-Test returns the last point it can certify, and stops there', () => {
  const losses = [0, 2, 20, 0].map((errors) => Uint8Array.from({length: 1000}, (_, i) => (i < errors ? 1 : 0)));
  const seen: number[] = [];
  const loss = (candidate: number): Uint8Array => {
    seen.push(candidate);
    return losses[candidate]!;
  };
  const {tested, chosen} = learnThenTest([0, 1, 2, 3], loss, {alpha: 0.01, delta: 0.05, test: 'binomial'});
  expect(seen).toEqual([0, 1, 2]);
  expect(tested.map(({accepted}) => accepted)).toEqual([true, true, false]);
  expect(chosen).toEqual({
    candidate: 1,
    risk: 0.002,
    pValue: riskPValue(0.002, 1000, 0.01, 'binomial'),
    accepted: true,
  });
});

test('nothing is certified from one item, or from none', () => {
  expect(learnThenTest([0], () => [0], {alpha: 0.01, delta: 0.05}).chosen).toBeUndefined();
  expect(learnThenTest([0], () => [], {alpha: 0.01, delta: 0.05}).chosen).toBeUndefined();
});

test('refuses losses that the test is not valid for', () => {
  expect(() => learnThenTest([0], () => [0.5], {alpha: 0.1, delta: 0.05, test: 'binomial'})).toThrow(
    '0 or 1 for the binomial test',
  );
  expect(() => learnThenTest([0], () => [Number.NaN], {alpha: 0.1, delta: 0.05})).toThrow(UsageError);
  expect(() => learnThenTest([0], () => [0], {alpha: 0.1, delta: 0})).toThrow(UsageError);
});

test('the upper bound inverts the p-value', () => {
  for (const kind of ['hoeffding-bentkus', 'binomial', 'hoeffding'] as const) {
    const bound = riskUpperBound(0.01, 1000, 0.05, kind);
    expect(riskPValue(0.01, 1000, bound, kind)).toBeLessThanOrEqual(0.05);
    expect(riskPValue(0.01, 1000, bound - 1e-6, kind)).toBeGreaterThan(0.05);
  }
});

test('the betting bound covers the true risk, and beats Hoeffding-Bentkus where losses vary little', () => {
  const random = seededRandom(11);
  let missed = 0;
  for (let trial = 0; trial < 200; trial++) {
    const losses = Float64Array.from({length: 300}, () => (random.next() < 0.1 ? 1 : 0) * random.next());
    if (bettingUpperBound(losses, 0.1) < 0.05) missed++;
  }
  expect(missed).toBeLessThanOrEqual(200 * (0.1 + 2 * Math.sqrt((0.1 * 0.9) / 200)));
  const steady = Float64Array.from({length: 500}, () => 0.2 + 0.02 * random.next());
  expect(bettingUpperBound(steady, 0.05)).toBeLessThan(riskUpperBound(0.21, 500, 0.05));
  // Gains lower the bound.
  const gains = steady.map((loss, i) => (i % 2 === 0 ? -loss : loss));
  expect(bettingUpperBound(gains, 0.05)).toBeLessThan(0.1);
  expect(() => bettingUpperBound([2], 0.05)).toThrow(UsageError);
});

test('the last safe point of a row of bounds, and of expected risks', () => {
  expect(lastBelow([0.001, 0.004, 0.02, 0.003], 0.01)).toBe(1);
  expect(lastBelow([0.2], 0.01)).toBe(-1);
  expect(conformalRiskControl([0, 0.005, 0.0095, 0.2], 999, 0.01)).toBe(1);
  expect(conformalRiskControl([0], 10, 0.01)).toBe(-1);
});
