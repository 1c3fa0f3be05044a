import {checkArguments, COUNT, fields, listOf, VECTOR} from '../runtime/check-arguments.js';
import {UsageError} from '../runtime/errors.js';
import {topK} from '../runtime/top-k.js';

/** Points of unit length, one after the other in one array. */
export interface Points {
  /** Coordinates of each. */
  readonly size: number;
  readonly count: number;
  readonly values: Float32Array;
}

export interface Neighbour {
  readonly row: number;
  /** Cosine. */
  readonly similarity: number;
}

/** The cosine of a point with each of many, all of unit length. */
export function similarities(query: Float32Array, {size, count, values}: Points): Float32Array {
  const out = new Float32Array(count);
  const whole = size - (size % 4);
  for (let row = 0, at = 0; row < count; row++) {
    // Four sums at once: one would wait for each addition before the next.
    let [a, b, c, d] = [0, 0, 0, 0];
    for (let i = 0; i < whole; i += 4, at += 4) {
      a += query[i]! * values[at]!;
      b += query[i + 1]! * values[at + 1]!;
      c += query[i + 2]! * values[at + 2]!;
      d += query[i + 3]! * values[at + 3]!;
    }
    for (let i = whole; i < size; i++) a += query[i]! * values[at++]!;
    out[row] = a + b + c + d;
  }
  return out;
}

/** The most similar points, best first, ties to the lower row. */
export function nearest(query: Float32Array, points: Points, most: number): Neighbour[] {
  checkArguments('nearest', {
    query: [query, VECTOR],
    points: [points, fields({size: COUNT, count: COUNT, values: VECTOR})],
    most: [most, COUNT],
  });
  return topK(similarities(query, points), most).map(({index, score}) => ({row: index, similarity: score}));
}

export interface Recall {
  readonly k: number;
  /** Share of texts whose picture is among the k most similar ones. */
  readonly textToImage: number;
  /** Share of pictures with at least one of their texts among the k most similar ones. */
  readonly imageToText: number;
}

/**
 * Recall of retrieval in both directions (docs/reference/coca.md 8).
 * @param rows similarity of picture p and text t at [p][t]
 * @param owner the picture of each text; pictures without a text count for neither direction
 */
export function recallAt(rows: readonly Float32Array[], owner: readonly number[], ks: readonly number[]): Recall[] {
  checkArguments('recallAt', {rows: [rows, listOf(VECTOR)], owner: [owner, listOf(COUNT)], ks: [ks, listOf(COUNT)]});
  const stray = owner.findIndex((picture, text) => rows[picture]?.[text] === undefined);
  if (stray >= 0)
    throw new UsageError(
      'argument-invalid',
      `recallAt: rows have no similarity for text ${stray} and its picture ${owner[stray]}`,
    );
  // Number of pictures that are more similar than the right one; ties to the lower row, as in a stable sort.
  const textRanks = owner.map((picture, text) => {
    const right = rows[picture]![text]!;
    return rows.reduce((rank, row, p) => rank + Number(row[text]! > right || (row[text] === right && p < picture)), 0);
  });
  const texts = new Map<number, number[]>();
  for (const [text, picture] of owner.entries()) {
    const own = texts.get(picture);
    if (own === undefined) texts.set(picture, [text]);
    else own.push(text);
  }
  const imageRanks = [...texts].map(([picture, own]) => {
    const row = rows[picture]!;
    const best = own.reduce((a, b) => (row[b]! > row[a]! ? b : a));
    return row.reduce(
      (rank, similarity, t) => rank + Number(similarity > row[best]! || (similarity === row[best] && t < best)),
      0,
    );
  });
  const share = (ranks: readonly number[], k: number): number => ranks.filter((rank) => rank < k).length / ranks.length;
  return ks.map((k) => ({k, textToImage: share(textRanks, k), imageToText: share(imageRanks, k)}));
}
