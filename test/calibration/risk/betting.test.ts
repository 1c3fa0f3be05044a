import {BettingTest, bettingUpperBound, fewestItems} from '../../../src/calibration/risk/betting.js';
import {riskUpperBound} from '../../../src/calibration/risk/bounds.js';
import {SequenceTest} from '../../../src/calibration/risk/sequence-test.js';
import {UsageError} from '../../../src/runtime/errors.js';
import {seededRandom} from '../../../src/runtime/random.js';

/** The rate of errors that chance allows in 400 trials. */
const allowed = (delta: number): number => 400 * (delta + 2 * Math.sqrt((delta * (1 - delta)) / 400));

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

test.each([0.05, 0, -0.05])('BettingTest: looked at after every loss, a mean of %s is seldom denied', (mean) => {
  const random = seededRandom(3);
  let errors = 0;
  for (let trial = 0; trial < 400; trial++) {
    const test = new BettingTest(mean, {items: 150, delta: 0.1});
    // Losses of −1, 0 and 1 whose mean is the risk itself: any rejection is an error.
    for (let i = 0; i < 300 && test.pValue > 0.1; i++) {
      const u = random.next();
      test.see(u < 0.1 + mean / 2 ? 1 : u > 0.9 + mean / 2 ? -1 : 0);
    }
    if (test.pValue <= 0.1) errors++;
  }
  expect(errors).toBeLessThanOrEqual(allowed(0.1));
});

test('BettingTest: by hand: one loss of zero multiplies the capital by 1 + bet · risk', () => {
  const test = new BettingTest(0.2, {items: 1000, delta: 0.05});
  expect(test.pValue).toBe(1);
  test.see(0);
  const bet = Math.sqrt((2 * Math.log(20)) / (1000 * 0.25));
  expect(test.pValue).toBeCloseTo(1 / (1 + bet * 0.2), 12);
  test.see(1);
  // The highest capital so far counts.
  expect(test.pValue).toBeCloseTo(1 / (1 + bet * 0.2), 12);
});

test('fewestItems: so many losses of zero certify, and one less does not', () => {
  for (const risk of [0.3, 0.05]) {
    const n = fewestItems(risk, 0.05);
    const pValue = (items: number): number => {
      const test = new BettingTest(risk, {items, delta: 0.05});
      for (let i = 0; i < items; i++) test.see(0);
      return test.pValue;
    };
    expect([pValue(n) <= 0.05, pValue(n - 1) <= 0.05]).toEqual([true, false]);
  }
  expect(fewestItems(0, 0.05)).toBe(Number.POSITIVE_INFINITY);
});

test('SequenceTest: a candidate is done when it is certified, and all behind one that is given up', () => {
  const test = new SequenceTest(4, 0.1, {items: 200, delta: 0.05});
  expect(test.open).toEqual([0, 1, 2, 3]);
  const losses = [0, 0.05, 0.9, 0];
  const items = [0, 0, 0, 0];
  while (test.open.length > 0 && items[0]! < 200)
    for (const c of test.open) {
      test.see(c, losses[c]!);
      items[c]!++;
    }
  expect(test.open).toEqual([]);
  expect(test.accepted).toBe(2);
  expect(items[2]).toBeLessThan(items[0]!);
  expect(test.of(1)).toEqual({risk: expect.closeTo(0.05), pValue: expect.any(Number), items: items[1]});
  expect(items[1]).toBeGreaterThan(items[0]!);
});

test('SequenceTest: accepts what loses more than the risk no more often than δ allows, all candidates together', () => {
  const random = seededRandom(5);
  let errors = 0;
  for (let trial = 0; trial < 400; trial++) {
    // Each candidate's mean loss is 0.1 above zero times its number: the third is the first that breaks the promise.
    const test = new SequenceTest(5, 0.25, {items: 120, delta: 0.1});
    for (let i = 0; i < 120 && test.open.length > 0; i++)
      for (const c of test.open) test.see(c, random.next() < 0.1 * (c + 1) ? 1 : 0);
    if (test.accepted > 2) errors++;
  }
  expect(errors).toBeLessThanOrEqual(allowed(0.1));
});
