import fc from 'fast-check';
import {checkDelta, fixedSequence, meanLoss} from '../../../src/calibration/risk/p-values.js';
import {UsageError} from '../../../src/runtime/errors.js';

test('fixedSequence: accepts all before the first failure, and nothing behind it', () => {
  expect(fixedSequence([0.01, 0.05, 0.06, 0.001], 0.05)).toBe(2);
  expect(fixedSequence([Number.NaN, 0], 0.05)).toBe(0);
  fc.assert(
    fc.property(fc.array(fc.double({min: 0, max: 1, noNaN: true}), {maxLength: 12}), (list) => {
      const accepted = fixedSequence(list, 0.3);
      expect(list.slice(0, accepted).every((p) => p <= 0.3)).toBe(true);
      expect(accepted === list.length || list[accepted]! > 0.3).toBe(true);
    }),
  );
});

test('fixedSequence: asks for no p-value after the first failure', () => {
  const asked: number[] = [];
  const pValues = function* (): Generator<number> {
    for (const p of [0.01, 0.2, 0.01]) {
      asked.push(p);
      yield p;
    }
  };
  expect(fixedSequence(pValues(), 0.05)).toBe(1);
  expect(asked).toEqual([0.01, 0.2]);
});

test('meanLoss: over the items given, which may repeat', () => {
  expect(meanLoss([0, 1, 0.5], Int32Array.of(1, 1, 2), 0, 'hoeffding-bentkus')).toBeCloseTo(2.5 / 3, 12);
});

test('meanLoss: refuses losses that the test is not valid for, and names the candidate', () => {
  const items = Int32Array.of(0);
  expect(() => meanLoss([0.5], items, 7, 'binomial')).toThrow('candidate 7 has a loss of 0.5; losses must be 0 or 1');
  expect(() => meanLoss([Number.NaN], items, 0, 'hoeffding')).toThrow(UsageError);
  expect(() => meanLoss([1.5], items, 0, 'hoeffding-bentkus')).toThrow('losses must be in [0, 1]');
});

test('checkDelta: only numbers between 0 and 1', () => {
  for (const delta of [0, 1, Number.NaN]) expect(() => checkDelta(delta)).toThrow(UsageError);
  expect(() => checkDelta(0.05)).not.toThrow();
});
