import {describeError, errorRecord, exitCodeOf, fail, isFatal} from '../../../src/cli/core/errors.js';
import {AbortError, BackendError, InputError, UsageError, WeightsError} from '../../../src/runtime/errors.js';

test.each(
  [
    [new InputError('i', ''), false],
    [new TypeError('a bug'), false],
    [new AbortError(), true],
    [new UsageError('u', ''), true],
    [new WeightsError('w', ''), true],
    [new BackendError('b', ''), true],
  ].map(([error, fatal]) => [(error as Error).name, error, fatal] as const),
)('isFatal: whether every further input would meet %s', (_, error, fatal) => {
  expect(isFatal(error)).toBe(fatal);
});

test.each([
  [3, 0, 0],
  [0, 0, 0],
  [2, 1, 5],
  [0, 3, 1],
])('exitCodeOf: %i done and %i failed is %i', (done, failed, exitCode) => {
  expect(exitCodeOf({done, failed})).toBe(exitCode);
});

test('describeError: code, message and hint; an unexpected error asks for a report', () => {
  const error = new UsageError('plan-missing', 'there is no plan', {hint: 'Write one.'});
  expect(describeError(error)).toBe('error [plan-missing]: there is no plan\n  → Write one.\n');
  expect(describeError(new WeightsError('w', 'bad'))).toBe('error [w]: bad\n');
  expect(describeError(new TypeError('a bug'))).toMatch(/^error \[unexpected\]: a bug\n {2}→ .*please report it/);
});

test('errorRecord: an error of the system has a code of this package, and its own name in the message', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write\nmore'), {code: 'ENOSPC'});
  expect(errorRecord(full)).toEqual({code: 'system', message: 'ENOSPC: no space left on device, write'});
  const engine = Object.assign(new TypeError('The argument'), {code: 'ERR_INVALID_ARG_TYPE'});
  expect(errorRecord(engine)).toEqual({code: 'unexpected', message: 'The argument'});
});

test('fail: writes the error, and returns its exit code, 1 for an unexpected one', () => {
  let written = '';
  const write = (text: string): void => {
    written += text;
  };
  expect([new BackendError('b', 'x'), new AbortError(), new Error('y')].map((error) => fail(error, write))).toEqual([
    4, 130, 1,
  ]);
  expect(written).toMatch(/^error \[b\]: x\nerror \[aborted\]: interrupted\nerror \[unexpected\]: y\n/);
});
