import * as tf from '@tensorflow/tfjs';
import type {Attention, KeysValues} from './attention.js';
import {gatherRows} from './gather-rows.js';
import {splitHeads} from './heads.js';

// R rows, H heads, n keys so far, d head width

/**
 * Keys [R, H, d, n] and values [R, H, n, d] of one layer's self-attention, growing with every token. Owns its tensors.
 */
export class KvCache implements Disposable {
  #held: KeysValues | undefined;
  /** Per row and key, whether the key is of a padding token; empty until one is fed. */
  #padded: boolean[][] = [];

  get length(): number {
    return this.#held?.values.shape[2] ?? 0;
  }

  /** Some key is of a padding token. */
  get hasPadding(): boolean {
    return this.#padded.length > 0;
  }

  /** Borrowed; undefined while empty. */
  get held(): KeysValues | undefined {
    return this.#held;
  }

  /**
   * Appends the keys and values of new tokens, which stay the caller's.
   * @param padded per row and new token, whether it is padding; its key is then never attended to
   */
  append(next: KeysValues, padded?: readonly (readonly boolean[])[]): void {
    this.adopt(this.grownBy(next), padded);
  }

  /** What the cache would hold after `append`, the caller's; the cache stays as it is. */
  grownBy(next: KeysValues): KeysValues {
    const before = this.#held;
    return before
      ? {keys: tf.concat([before.keys, next.keys], 3), values: tf.concat([before.values, next.values], 2)}
      : {keys: next.keys.clone(), values: next.values.clone()};
  }

  /**
   * Takes what `grownBy` gave in the place of what it holds.
   * @param grown    becomes the cache's
   * @param padded   as for `append`
   */
  adopt(grown: KeysValues, padded?: readonly (readonly boolean[])[]): void {
    const old = this.length;
    this.#replace(grown);
    if (this.#padded.length > 0 || padded?.some((row) => row.includes(true))) {
      const none = (count: number): boolean[] => new Array<boolean>(count).fill(false);
      this.#padded = Array.from({length: grown.values.shape[0]}, (_, r) => [
        ...(this.#padded[r] ?? none(old)),
        ...(padded?.[r] ?? none(this.length - old)),
      ]);
    }
  }

  /** Additive mask [R, 1, 1, n], the caller's; undefined if no key is padding. */
  mask(): tf.Tensor4D | undefined {
    if (this.#padded.length === 0) return undefined;
    return tf.tensor4d(
      this.#padded.flat().map((p) => (p ? -1e9 : 0)),
      [this.#padded.length, 1, 1, this.length],
    );
  }

  /** Row r becomes what row `rows[r]` was. */
  reorder(rows: readonly number[]): void {
    const before = this.#held;
    if (!before) return;
    const index = tf.tensor1d([...rows], 'int32');
    this.#replace({keys: tf.gather(before.keys, index), values: tf.gather(before.values, index)});
    index.dispose();
    if (this.#padded.length > 0) this.#padded = rows.map((r) => this.#padded[r]!);
  }

  /** Forgets all keys but the first `length`. */
  cut(length: number): void {
    const before = this.#held;
    if (!before || length >= this.length) return;
    if (length === 0) this[Symbol.dispose]();
    else
      this.#replace({
        keys: tf.slice(before.keys, [0, 0, 0, 0], [-1, -1, -1, length]),
        values: tf.slice(before.values, [0, 0, 0, 0], [-1, -1, length, -1]),
      });
    this.#padded = this.#padded.map((row) => row.slice(0, length));
  }

  /** Appends the keys and values of the last token of another layer. */
  appendLastToken(other: KvCache, padded?: readonly (readonly boolean[])[]): void {
    const {keys, values} = other.#held!;
    const last = other.length - 1;
    const lastToken = {
      keys: tf.slice(keys, [0, 0, 0, last], [-1, -1, -1, 1]),
      values: tf.slice(values, [0, 0, last, 0], [-1, -1, 1, -1]),
    };
    this.append(lastToken, padded);
    lastToken.keys.dispose();
    lastToken.values.dispose();
  }

  /** Takes over the whole cache of another layer; the tensors are shared, the caches stay independent. */
  copyFrom(other: KvCache): void {
    if (!other.#held) return;
    this.#replace({keys: other.#held.keys.clone(), values: other.#held.values.clone()});
    this.#padded = other.#padded.map((row) => [...row]);
  }

  #replace(next: KeysValues): void {
    this[Symbol.dispose]();
    this.#held = next;
  }

  [Symbol.dispose](): void {
    this.#held?.keys.dispose();
    this.#held?.values.dispose();
    this.#held = undefined;
  }
}

// R rows, T new tokens, n keys with the new ones, D width, H heads

/**
 * The rows and positions that a layer works on, where others left earlier; it still appends keys and values of all.
 */
export interface PartialRows {
  /** Input of the layer for all rows and positions [R', T', D]; borrowed. */
  readonly all: tf.Tensor3D;
  /** Selects from a tensor like `all` what the layer works on. */
  readonly part: (all: tf.Tensor3D) => tf.Tensor3D;
  /** Rows of the cache that the input's rows are; all by default. */
  readonly rows?: readonly number[];
}

/**
 * Appends the keys and values of new tokens. Not to be called inside a tidy, which the cache must outlive.
 * @param normed   their normed states [R', T', D], borrowed
 * @param padded   per row and new token, whether its key may never be attended to
 */
export function growCache(
  attention: Attention,
  normed: tf.Tensor3D,
  cache: KvCache,
  padded?: readonly (readonly boolean[])[],
): void {
  const next = attention.keysValues(normed);
  cache.append(next, padded);
  next.keys.dispose();
  next.values.dispose();
}

/**
 * New tokens attend to themselves and to all before them. Called inside a tidy, after `growCache`.
 * @param normed   their normed states [R, T, D]
 * @param bias     broadcast to [R, H, T, n]
 * @param rows     rows of the cache that these are; all by default
 * @returns        [R, T, D], projected
 */
export function attendCached(
  attention: Attention,
  normed: tf.Tensor3D,
  cache: KvCache,
  bias: readonly tf.Tensor[],
  rows?: readonly number[],
): tf.Tensor3D {
  const own = <T extends tf.Tensor>(all: T): T => (rows ? gatherRows(all, rows) : all);
  const {keys, values} = cache.held!;
  const mask = cache.mask();
  return attendTo(attention, normed, {keys: own(keys), values: own(values)}, mask ? [...bias, own(mask)] : bias);
}

/** `attendCached` to given keys and values. */
export function attendTo(
  attention: Attention,
  normed: tf.Tensor3D,
  {keys, values}: KeysValues,
  bias: readonly tf.Tensor[],
): tf.Tensor3D {
  const queries = splitHeads(attention.queries(normed), attention.config.heads);
  return attention.project(attention.attend(queries, keys, values, bias));
}
