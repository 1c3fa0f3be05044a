import * as tf from '@tensorflow/tfjs';
import {TensorScope} from '../runtime/tensor-scope.js';
import type {Attention, KeysValues} from './attention.js';
import {gatherRows} from './gather-rows.js';
import {PerHeadMatrices, splitHeads} from './heads.js';

// B images, K rows (beams) an image, R = B·K rows, T new tokens, M memory length, H heads, d head width, D = H·d

/**
 * Keys [B, H, d, M] and values [B, H, M, d] that cross-attention reads: once an image, not once a beam. Owns its
 * tensors.
 */
export class CrossAttentionKv implements Disposable {
  constructor(
    readonly keys: PerHeadMatrices,
    readonly values: PerHeadMatrices,
  ) {}

  static from({keys, values}: KeysValues): CrossAttentionKv {
    return new CrossAttentionKv(new PerHeadMatrices(keys), new PerHeadMatrices(values));
  }

  /** Keys and values of some of its images, by their rows. */
  gather(rows: readonly number[]): CrossAttentionKv {
    return CrossAttentionKv.from({keys: gatherRows(this.keys.all, rows), values: gatherRows(this.values.all, rows)});
  }

  /** Its images, then those of another. */
  concat({keys, values}: CrossAttentionKv): CrossAttentionKv {
    return CrossAttentionKv.from({
      keys: tf.concat([this.keys.all, keys.all]),
      values: tf.concat([this.values.all, values.all]),
    });
  }

  /**
   * Cross-attention. The K rows of an image are so many more queries to one memory.
   * @param x      normed states [R, T, D], borrowed
   * @param bias   broadcast to [B, H, K·T, M]
   * @returns      [R, T, D], projected; the caller's
   */
  attend(attention: Attention, x: tf.Tensor3D, bias: readonly tf.Tensor[]): tf.Tensor3D {
    return tf.tidy(() => {
      const images = this.values.all.shape[0];
      const [rows, tokens, size] = x.shape;
      const grouped = attention.queries(x).reshape([images, (rows / images) * tokens, size]) as tf.Tensor3D;
      const heads = attention.attend(splitHeads(grouped, attention.config.heads), this.keys, this.values, bias);
      return attention.project(heads).reshape(x.shape) as tf.Tensor3D;
    });
  }

  [Symbol.dispose](): void {
    this.keys[Symbol.dispose]();
    this.values[Symbol.dispose]();
  }
}

/** Makes the keys and values of one layer. */
export interface CrossAttentionSource {
  /** Computes them from the states of some images [b, M, D], borrowed. */
  readonly make: (states: tf.Tensor3D, layer: number) => CrossAttentionKv;
  /** Keys and values of all images, where they need not be computed from the states. */
  readonly precomputed?: (layer: number) => CrossAttentionKv;
}

/** Keys and values of a layer, and the images they are of, in row order. */
interface StoredKv {
  readonly kv: CrossAttentionKv;
  readonly images: readonly number[];
}

/**
 * Cross-attention keys and values of every decoder layer, made for an image when the layer first runs for it: a layer
 * that no image reaches costs nothing. Owns its tensors.
 */
export class CrossAttentionCache implements Disposable {
  readonly #scope = new TensorScope();
  readonly #stored: (StoredKv | undefined)[];
  /** Selection of the images that ran last, where they were not all. */
  readonly #selected: (StoredKv | undefined)[];

  /** @param states encoder states [B, M, D], borrowed as long as this lives */
  constructor(
    layers: number,
    private readonly states: tf.Tensor3D,
    private readonly source: CrossAttentionSource,
  ) {
    this.#stored = new Array<undefined>(layers).fill(undefined);
    this.#selected = new Array<undefined>(layers).fill(undefined);
  }

  /**
   * Keys and values of a layer for some images.
   * @param images   numbers of the states' rows, ascending
   * @returns        borrowed until another choice of images is asked for
   */
  of(layer: number, images: readonly number[]): CrossAttentionKv {
    const lacking = images.filter((image) => !this.#stored[layer]?.images.includes(image));
    if (lacking.length > 0) this.#add(layer, lacking);
    const stored = this.#stored[layer]!;
    if (same(stored.images, images)) return stored.kv;
    const selected = this.#selected[layer];
    if (selected && same(selected.images, images)) return selected.kv;
    const kv = this.#scope.hold(stored.kv.gather(images.map((image) => stored.images.indexOf(image))));
    this.#drop(selected);
    this.#selected[layer] = {kv, images};
    return kv;
  }

  #add(layer: number, images: readonly number[]): void {
    const before = this.#stored[layer];
    const all = images.length === this.states.shape[0];
    const {make, precomputed} = this.source;
    using scope = new TensorScope();
    const made = scope.hold(
      all
        ? (precomputed?.(layer) ?? make(this.states, layer))
        : make(scope.hold(gatherRows(this.states, images)), layer),
    );
    const together = [...(before?.images ?? []), ...images];
    const ascending = together.toSorted((a, b) => a - b);
    let kv = before ? before.kv.concat(made) : scope.give(made);
    if (!same(together, ascending)) kv = scope.hold(kv).gather(ascending.map((image) => together.indexOf(image)));
    this.#scope.hold(kv);
    this.#drop(before);
    this.#stored[layer] = {kv, images: ascending};
  }

  /** A layer takes over the keys and values of another (skipped K/V mode `copy`). */
  copy(from: number, to: number): void {
    if (this.#stored[to] === this.#stored[from]) return;
    this.#drop(this.#stored[to]);
    this.#stored[to] = this.#stored[from];
  }

  /** Forgets the images that have left. */
  keep(images: readonly number[]): void {
    const kept = new Map<StoredKv, StoredKv | undefined>();
    for (const stored of this.#stored) {
      if (!stored || kept.has(stored)) continue;
      const rows = stored.images.flatMap((image, row) => (images.includes(image) ? [row] : []));
      const rest = rows.map((row) => stored.images[row]!);
      kept.set(stored, rows.length === 0 ? undefined : {kv: this.#scope.hold(stored.kv.gather(rows)), images: rest});
    }
    for (const [layer, stored] of this.#stored.entries()) {
      this.#stored[layer] = stored && kept.get(stored);
      this.#drop(this.#selected[layer]);
      this.#selected[layer] = undefined;
    }
    for (const stored of kept.keys()) this.#scope.drop(stored.kv);
  }

  /** Frees keys and values, unless another layer reads them, too. */
  #drop(stored: StoredKv | undefined): void {
    if (stored && this.#stored.filter((other) => other?.kv === stored.kv).length <= 1) this.#scope.drop(stored.kv);
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((x, i) => x === b[i]);
}
