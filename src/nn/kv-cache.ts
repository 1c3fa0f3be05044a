import * as tf from '@tensorflow/tfjs';
import type {Attention, KeysValues} from './attention.js';
import {splitHeads} from './heads.js';
import {joined, type JoinedOwner} from '../runtime/joined.js';

// R rows, H heads, n keys so far, d head width

/**
 * Keys [R, H, d, n] and values [R, H, n, d] of one layer's self-attention, growing with every token. Owns its tensors.
 */
export class KvCache implements Disposable {
  #held: KeysValues | undefined;
  /** Rows of `#held` that the rows are [R], int32, while they have not been moved yet. */
  #order: tf.Tensor1D | undefined;
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
    if (this.#order) {
      // Outlives the tidy in which it is asked for.
      const {keys, values} = this.#ordered()!;
      this.#replace({keys: tf.keep(keys), values: tf.keep(values)});
    }
    return this.#held;
  }

  /** All tensors that `grownBy` reads besides the new ones, in an order that `form` tells; borrowed. */
  get inputs(): readonly tf.Tensor[] {
    if (!this.#held) return [];
    return [this.#held.keys, this.#held.values, ...(this.#order ? [this.#order] : [])];
  }

  /** The way in which `grownBy` computes. */
  get form(): 'first' | 'grown' | 'reordered' {
    return !this.#held ? 'first' : this.#order ? 'reordered' : 'grown';
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
    return tf.tidy(() => {
      const before = this.#ordered();
      return before
        ? {keys: tf.concat([before.keys, next.keys], 3), values: tf.concat([before.values, next.values], 2)}
        : {keys: next.keys.clone(), values: next.values.clone()};
    });
  }

  /** The keys and values in the order of the rows; new tensors where they had to be moved. */
  #ordered(): KeysValues | undefined {
    const order = this.#order;
    if (!this.#held || !order) return this.#held;
    return {keys: tf.gather(this.#held.keys, order), values: tf.gather(this.#held.values, order)};
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

  /**
   * Row r becomes what row `rows[r]` was. They are moved when they are next read, together with what is then computed.
   * @param index   the rows as a tensor, borrowed
   */
  reorder(rows: readonly number[], index: tf.Tensor1D): void {
    const before = this.held;
    if (!before) return;
    this.#order = tf.keep(index.clone());
    if (this.#padded.length > 0) this.#padded = rows.map((r) => this.#padded[r]!);
  }

  /** Forgets all keys but the first `length`. */
  cut(length: number): void {
    const before = this.held;
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
    const {keys, values} = other.held!;
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
    const held = other.held;
    if (!held) return;
    this.#replace({keys: held.keys.clone(), values: held.values.clone()});
    this.#padded = other.#padded.map((row) => [...row]);
  }

  #replace(next: KeysValues): void {
    this[Symbol.dispose]();
    this.#held = next;
  }

  [Symbol.dispose](): void {
    this.#held?.keys.dispose();
    this.#held?.values.dispose();
    this.#order?.dispose();
    this.#held = undefined;
    this.#order = undefined;
  }
}

// R rows, T new tokens, n keys with the new ones, D width, H heads

/**
 * The rows and positions that a layer works on, where others left earlier; it still appends keys and values of all.
 */
export interface PartialRows {
  /** Input of the layer for all rows and positions [R', T', D]; borrowed. */
  readonly all: tf.Tensor3D;
  /** What the layer works on of them: places along `axis`, int32; borrowed. */
  readonly index: tf.Tensor1D;
  /** 0: rows, of the cache, too; 1: positions, of all rows. */
  readonly axis: 0 | 1;
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
 * Appends keys and values, as one computation where the device can (`joined`).
 * @param owner     the block whose weights alone `compute` uses
 * @param x         the only other tensor that it uses [R, T, D], borrowed
 * @param compute   the new keys and values
 */
export function growCacheJoined(
  owner: JoinedOwner,
  x: tf.Tensor3D,
  cache: KvCache,
  padded: readonly (readonly boolean[])[] | undefined,
  compute: () => KeysValues,
): void {
  const [keys, values] = joined(owner, `grow ${grownKey(x, cache)}`, grownInputs(x, cache), () => {
    const grown = cache.grownBy(compute());
    return [grown.keys, grown.values];
  });
  cache.adopt({keys, values}, padded);
}

/**
 * New tokens attend to themselves and to all before them. Called inside a tidy, after `growCache`.
 * @param normed    normed states of all rows and positions [R', T', D]
 * @param bias      broadcast to [R, H, T, n]
 * @param partial   given if only some of them attend
 * @returns         [R, T, D], projected
 */
export function attendCached(
  attention: Attention,
  normed: tf.Tensor3D,
  cache: KvCache,
  bias: readonly tf.Tensor[],
  partial?: PartialRows,
): tf.Tensor3D {
  const mask = cache.mask();
  const biases = mask ? [...bias, partial?.axis === 0 ? tf.gather(mask, partial.index) : mask] : bias;
  return attendTo(attention, normed, cache.held!, biases, partial);
}

/**
 * New tokens attend to themselves and to all before them, as one computation: the cache stays as it is. Called inside a
 * tidy.
 * @param normed   normed states of all rows and positions [R', T', D]
 * @returns        attention [R, T, D], projected, and what the cache is to hold then
 */
export function attendGrown(
  attention: Attention,
  normed: tf.Tensor3D,
  cache: KvCache,
  bias: readonly tf.Tensor[],
  partial?: PartialRows,
): {attended: tf.Tensor3D; grown: KeysValues} {
  const grown = cache.grownBy(attention.keysValues(normed));
  return {attended: attendTo(attention, normed, grown, bias, partial), grown};
}

/** All tensors that `attendGrown` reads besides its bias, but for weights. */
export function grownInputs(x: tf.Tensor3D, cache: KvCache, partial?: PartialRows): readonly tf.Tensor[] {
  return [x, ...cache.inputs, ...(partial ? [partial.all, partial.index] : [])];
}

/** Everything besides inputs and weights that decides how `attendGrown` computes; leading axes and n are free. */
export function grownKey({shape: [, tokens]}: tf.Tensor3D, {form}: KvCache, partial?: PartialRows): string {
  return `${tokens} tokens, ${form}${partial ? `, of axis ${partial.axis} of ${partial.all.shape[1]}` : ''}`;
}

function attendTo(
  attention: Attention,
  normed: tf.Tensor3D,
  all: KeysValues,
  bias: readonly tf.Tensor[],
  partial?: PartialRows,
): tf.Tensor3D {
  const part = <T extends tf.Tensor>(x: T): T => (partial ? tf.gather(x, partial.index, partial.axis) : x);
  const own = <T extends tf.Tensor>(x: T): T => (partial?.axis === 0 ? part(x) : x);
  const [keys, values] = [own(all.keys), own(all.values)];
  const queries = splitHeads(attention.queries(part(normed)), attention.config.heads);
  return attention.project(attention.attend(queries, keys, values, bias));
}
