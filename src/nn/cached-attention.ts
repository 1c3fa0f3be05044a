import type * as tf from '@tensorflow/tfjs';
import type {Attention} from './attention.js';
import {splitHeads} from './heads.js';
import type {KvCache} from './kv-cache.js';
import {takeRows} from './take-rows.js';

// R rows, T new tokens, n keys with the new ones, D width, H heads

/** Where some rows or positions left earlier: a layer works on the others, but its cache has all. */
export interface Among {
  /** All states [R', T', D], of which those that it works on are a part; the cache grows by the keys and values of all. Borrowed. */
  readonly all: tf.Tensor3D;
  /** The part of them that it works on. */
  readonly part: (all: tf.Tensor3D) => tf.Tensor3D;
  /** Rows of the cache that these attend to; all by default. */
  readonly rows?: readonly number[] | undefined;
}

/**
 * Appends the keys and values of normed states [R', T', D], borrowed. Not to be called inside a tidy, which the cache must outlive.
 * @param padded per row and new token, whether its key may never be attended to
 */
export function growCache(attention: Attention, normed: tf.Tensor3D, cache: KvCache, padded?: readonly (readonly boolean[])[]): void {
  const next = attention.keysValues(normed);
  cache.append(next, padded);
  next.keys.dispose();
  next.values.dispose();
}

/**
 * New tokens attend to themselves and to all before them. Called inside a tidy, after `growCache`.
 * @param normed their states [R, T, D]
 * @param bias broadcast to [R, H, T, n]
 * @param rows of the cache that these are; all by default
 * @returns [R, T, D], projected
 */
export function attendCached(
  attention: Attention,
  normed: tf.Tensor3D,
  cache: KvCache,
  bias: readonly tf.Tensor[],
  rows?: readonly number[],
): tf.Tensor3D {
  const own = <T extends tf.Tensor>(all: T): T => (rows ? takeRows(all, rows) : all);
  const {keys, values} = cache.held!;
  const mask = cache.mask();
  const queries = splitHeads(attention.queries(normed), attention.config.heads);
  return attention.project(attention.attend(queries, own(keys), own(values), mask ? [...bias, own(mask)] : bias));
}
