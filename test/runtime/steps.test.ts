import {finishByTurns, type Steps} from '../../src/runtime/steps.js';

test('finishByTurns: does every step and returns the result', async () => {
  function* sum(): Steps<number> {
    let total = 0;
    for (let i = 0; i < 5; i++) {
      if (i > 0) yield;
      total += i;
    }
    return total;
  }
  expect(await finishByTurns(sum(), undefined)).toBe(10);
  expect(await finishByTurns(sum(), new AbortController().signal)).toBe(10);
});

test('finishByTurns: an abort that a timer brings ends work that never would', async () => {
  function* endless(): Steps<never> {
    for (;;) yield;
  }
  const controller = new AbortController();
  const reason = new Error('enough');
  setTimeout(() => controller.abort(reason), 0);
  await expect(finishByTurns(endless(), controller.signal)).rejects.toMatchObject({code: 'aborted', cause: reason});
});
