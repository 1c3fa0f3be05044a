import {UsageError} from '../runtime/errors.js';

/** The rows index, index + count, index + 2 · count, … of a data set. */
export interface Shard {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

/** All rows. */
export const WHOLE: Shard = {index: 0, count: 1};

/** Reads `i/n`. @throws UsageError unless 0 ≤ i < n */
export function parseShard(text: string, source = '--shard'): Shard {
  const found = /^(\d{1,9})\/(\d{1,9})$/.exec(text.trim());
  const shard = {index: Number(found?.[1]), count: Number(found?.[2])};
  if (!found || shard.index >= shard.count)
    throw new UsageError('shard-invalid', `${source}: wanted i/n with i from 0 to n − 1, got '${text}'`, {
      hint: 'The first of four is 0/4.',
    });
  return shard;
}

export function inShard(row: number, {index, count}: Shard): boolean {
  return row % count === index;
}

/** The j-th of n equal parts of a shard. */
export function partOfShard({index, count}: Shard, j: number, n: number): Shard {
  return {index: index + count * j, count: count * n};
}

/** Shard number `j` of `of` as a folder name; sorts by number. */
export function shardName({index, count}: Shard): string {
  return `shard-${String(index).padStart(String(count - 1).length, '0')}-of-${count}`;
}
