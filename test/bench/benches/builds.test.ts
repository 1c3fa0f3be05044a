import {formatTurns} from '../../../bench/benches/builds.js';

const pass = (wall: number, cpu: number, answer = 'a dog') => ({wall, cpu, answers: [answer]});

test('formatTurns: ratios are of turns, so that a slow spell of the machine counts once for both builds', () => {
  const text = formatTurns([
    [pass(100, 80), pass(50, 60)],
    [pass(1000, 82), pass(520, 61)],
    [pass(110, 84), pass(44, 62)],
  ]);
  expect(text).toMatch(/^clock +110 +50\.0 +0\.50 +0\.40 – 0\.52 +3$/m);
  expect(text).toMatch(/^CPU +82\.0 +61\.0 +0\.74 +0\.74 – 0\.75 +3$/m);
  expect(text).toContain('the answers are the same');
});

test('formatTurns: says that answers differ', () => {
  expect(formatTurns([[pass(1, 1), pass(1, 1, 'a cat')]])).toContain('the answers are NOT the same');
});
