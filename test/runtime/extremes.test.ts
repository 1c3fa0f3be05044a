import {append, largest, smallest} from '../../src/runtime/extremes.js';
import {classify} from '../../src/tasks/zero-shot.js';

const MANY = 1_000_000;

test('largest, smallest: of more values than a call takes, of none, and with NaN', () => {
  const values = Float64Array.from({length: MANY}, (_, i) => (i * 7919) % MANY);
  expect([largest(values), smallest(values)]).toEqual([MANY - 1, 0]);
  expect([largest([]), smallest([])]).toEqual([-Infinity, Infinity]);
  expect([largest([1, NaN, 2]), smallest([NaN, 0])]).toEqual([NaN, NaN]);
});

test('append: more items than a call takes, in order', () => {
  const list = [-1];
  append(
    list,
    new Uint32Array(MANY).map((_, i) => i),
  );
  expect([list.length, list[0], list[1], list.at(-1)]).toEqual([MANY + 1, -1, 0, MANY - 1]);
});

test('classify: among more labels than a call takes', () => {
  const labels = Array.from({length: 200_000}, (_, i) => `label ${i}`);
  const points = labels.map((_, i) => Float32Array.of(i === 123_456 ? 1 : 0));
  const [first] = classify(Float32Array.of(1), {labels, points, notes: []});
  expect(first!.label).toBe('label 123456');
});
