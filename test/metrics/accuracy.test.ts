import {accuracy} from '../../src/metrics/accuracy.js';
import {InputError} from '../../src/runtime/errors.js';

test('accuracy: confusion matrix with classes in the order asked for', () => {
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

test('accuracy: NaN of no items; lists of different lengths are refused', () => {
  expect(accuracy([], []).accuracy).toBeNaN();
  expect(() => accuracy(['a'], [])).toThrow(InputError);
});
