import fc from 'fast-check';
import {commonSubsequence} from '../../src/metrics/common-subsequence.js';

/** The table, row by row. */
function byRows(a: readonly number[], b: readonly number[]): number {
  const row = new Array<number>(b.length + 1).fill(0);
  for (const id of a) {
    let diagonal = 0;
    for (let j = 1; j <= b.length; j++) {
      const above = row[j]!;
      row[j] = id === b[j - 1] ? diagonal + 1 : Math.max(above, row[j - 1]!);
      diagonal = above;
    }
  }
  return row[b.length]!;
}

test.each([2, 4, 30, 1000])('commonSubsequence: as the table of rows, with %i different ids', (ids) => {
  const list = fc.array(fc.integer({min: -1, max: ids}), {maxLength: 150, size: 'max'});
  fc.assert(
    fc.property(list, list, (a, b) => {
      expect(commonSubsequence(Int32Array.from(a), Int32Array.from(b))).toBe(byRows(a, b));
    }),
  );
});

test('commonSubsequence: carries run through words of 32 bits', () => {
  const ascending = Array.from({length: 200}, (_, i) => i);
  const turned = [199, ...ascending.slice(1, 199), 0];
  const shuffled = ascending.map((i) => (i * 77) % 200);
  for (const [a, b] of [
    [ascending, turned],
    [ascending, shuffled],
    [ascending.map((i) => i % 3), shuffled.map((i) => i % 3)],
    [ascending.map((i) => i >> 6), shuffled.map((i) => i >> 6)],
  ] as const)
    expect(commonSubsequence(Int32Array.from(a), Int32Array.from(b))).toBe(byRows(a, b));
});

test('commonSubsequence: refuses lists that would take hours, and says how long they are', () => {
  const a = Int32Array.from({length: 300_000}, (_, i) => i);
  expect(() => commonSubsequence(a, a.toReversed())).toThrow('300000 and 300000 tokens takes 2812500000 steps');
});
