import {accuracy} from '../../src/metrics/accuracy.js';
import {vqaAccuracy} from '../../src/metrics/vqa-accuracy.js';
import {InputError} from '../../src/runtime/errors.js';

test('accuracy with its confusion matrix, classes in the order asked for', () => {
  const result = accuracy(['yes', 'no', 'no', 'maybe'], ['yes', 'no', 'yes', 'perhaps'], ['no', 'yes', 'maybe']);
  expect(result).toEqual({
    n: 4,
    correct: 2,
    accuracy: 0.5,
    classes: ['no', 'yes', 'maybe', 'perhaps'],
    confusion: [
      [1, 1, 0, 0],
      [0, 1, 0, 0],
      [0, 0, 0, 1],
      [0, 0, 0, 0],
    ],
  });
});

test('an empty set has no accuracy; lists of different lengths are refused', () => {
  expect(accuracy([], []).accuracy).toBeNaN();
  expect(() => accuracy(['a'], [])).toThrow(InputError);
});

test('VQA: confidence of the answer, own properties only', () => {
  const {accuracy: mean, perItem} = vqaAccuracy(
    [{red: 1, pink: 0.3}, {two: 0.6}, {no: 1}],
    ['pink', 'two', 'constructor'],
  );
  expect([...perItem]).toEqual([0.3, 0.6, 0]);
  expect(mean).toBeCloseTo(0.3, 12);
  expect(() => vqaAccuracy([{}], [])).toThrow(InputError);
});
