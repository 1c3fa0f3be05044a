import fc from 'fast-check';
import {nearest, recallAt, similarities} from '../../src/metrics/retrieval.js';

const number = fc.integer({min: -3, max: 3});

test('nearest: the first of all, sorted by similarity; ties go to the lower row', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(number, number, number), {minLength: 1, maxLength: 30}),
      fc.tuple(number, number, number),
      fc.integer({min: 1, max: 40}),
      (rows, query, most) => {
        const points = {size: 3, count: rows.length, values: Float32Array.from(rows.flat())};
        const all = rows.map((row, i) => ({row: i, similarity: row.reduce((sum, x, j) => sum + x * query[j]!, 0)}));
        expect(similarities(Float32Array.from(query), points)).toEqual(
          Float32Array.from(all, ({similarity}) => similarity),
        );
        const sorted = all.toSorted((a, b) => b.similarity - a.similarity || a.row - b.row);
        // −0 and 0 are the same similarity.
        const plain = (list: typeof sorted) => list.map(({row, similarity}) => [row, similarity + 0]);
        expect(plain(nearest(Float32Array.from(query), points, most))).toEqual(plain(sorted.slice(0, most)));
      },
    ),
  );
});

test('recallAt: both directions, worked out by hand', () => {
  // Two pictures; texts 0 and 1 are of the first, text 2 of the second.
  const rows = [Float32Array.of(0.9, 0.1, 0.8), Float32Array.of(0.2, 0.3, 0.7)];
  const [one, two] = recallAt(rows, [0, 0, 1], [1, 2]);
  // Texts: 0 finds its picture; 1 prefers the second picture; 2 prefers the first.
  expect(one).toEqual({k: 1, textToImage: 1 / 3, imageToText: 1});
  expect(two).toEqual({k: 2, textToImage: 1, imageToText: 1});
});

test('recallAt: never falls with k, and is 1 at the number of candidates', () => {
  fc.assert(
    fc.property(fc.array(fc.array(number, {minLength: 5, maxLength: 5}), {minLength: 2, maxLength: 5}), (table) => {
      const rows = table.map((row) => Float32Array.from(row));
      const owner = Array.from({length: 5}, (_, t) => t % rows.length);
      const found = recallAt(rows, owner, [1, 2, 3, 4, 5]);
      for (const [i, {textToImage, imageToText}] of found.entries()) {
        expect(textToImage).toBeGreaterThanOrEqual(found[i - 1]?.textToImage ?? 0);
        expect(imageToText).toBeGreaterThanOrEqual(found[i - 1]?.imageToText ?? 0);
      }
      expect(found[4]).toEqual({k: 5, textToImage: 1, imageToText: 1});
    }),
  );
});
