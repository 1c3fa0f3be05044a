import {InputError} from '../runtime/errors.js';

/** The most words of 32 bits that a comparison may visit: a few seconds. */
const MOST_STEPS = 1e9;

/**
 * Length of the longest common subsequence of two lists of ids, exact. Bits in place of a row of the table (Hyyrö,
 * "Bit-parallel LCS-length computation revisited", 2004): a step is 32 entries. What both lists begin and end with, and
 * ids that only one of them has, never get so far. O(|a|·|b| / 32) time, O(|a| + |b|) space.
 * @throws InputError `text-too-long` where the lists are too long to compare
 */
export function commonSubsequence(a: Int32Array, b: Int32Array): number {
  let same = 0;
  const least = Math.min(a.length, b.length);
  while (same < least && a[same] === b[same]) same++;
  let end = 0;
  while (end < least - same && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const middle = (list: Int32Array): Int32Array => list.subarray(same, list.length - end);
  const [inA, inB] = [new Set(middle(a)), new Set(middle(b))];
  return (
    same +
    end +
    bitParallel(
      middle(a).filter((id) => inB.has(id)),
      middle(b).filter((id) => inA.has(id)),
    )
  );
}

/** The same of two lists whose every id is in both. */
function bitParallel(a: Int32Array, b: Int32Array): number {
  const words = Math.ceil(b.length / 32);
  if (a.length * words > MOST_STEPS)
    throw new InputError(
      'text-too-long',
      `the longest common subsequence of ${a.length} and ${b.length} tokens takes ${a.length * words} steps; at most ${MOST_STEPS} are done`,
    );
  const positions = new Map<number, number[]>();
  for (const [at, id] of b.entries()) {
    const known = positions.get(id);
    if (known === undefined) positions.set(id, [at]);
    else known.push(at);
  }
  // A zero bit at j: the subsequence grows where entry j of b joins in.
  const row = new Int32Array(words).fill(-1);
  for (const id of a) {
    const places = positions.get(id)!;
    let carry = 0;
    let next = 0;
    // Words without the id change by a carry alone.
    for (let word = places[0]! >> 5; word < words && (carry > 0 || next < places.length); word++) {
      if (carry === 0) word = Math.max(word, places[next]! >> 5);
      let mask = 0;
      for (; next < places.length && places[next]! >> 5 === word; next++) mask |= 1 << (places[next]! & 31);
      const old = row[word]!;
      const hit = old & mask;
      const sum = (old + hit + carry) | 0;
      carry = ((old & hit) | ((old | hit) & ~sum)) >>> 31;
      row[word] = sum | (old & ~mask);
    }
  }
  let length = 0;
  for (let j = 0; j < b.length; j++) length += ((row[j >> 5]! >>> (j & 31)) & 1) ^ 1;
  return length;
}
