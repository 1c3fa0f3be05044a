import * as tf from '@tensorflow/tfjs';
import {TensorScope} from '../runtime/tensor-scope.js';
import type {Attention, KeysValues} from './attention.js';
import {gatherRows} from './gather-rows.js';
import {PerHeadMatrices, splitHeads} from './heads.js';

// B pictures, K rows (beams) a picture, R = B·K rows, T new tokens, M memory length, H heads, d head width, D = H·d

/** Keys [B, H, d, M] and values [B, H, M, d] that cross-attention reads: once a picture, not once a beam. Owns its tensors. */
export class CrossAttentionKv implements Disposable {
  constructor(
    readonly keys: PerHeadMatrices,
    readonly values: PerHeadMatrices,
  ) {}

  static from({keys, values}: KeysValues): CrossAttentionKv {
    return new CrossAttentionKv(new PerHeadMatrices(keys), new PerHeadMatrices(values));
  }

  /** Of some of its pictures. */
  take(pictures: readonly number[]): CrossAttentionKv {
    return CrossAttentionKv.from({
      keys: gatherRows(this.keys.all, pictures),
      values: gatherRows(this.values.all, pictures),
    });
  }

  /** With the pictures of another behind its own. */
  concat({keys, values}: CrossAttentionKv): CrossAttentionKv {
    return CrossAttentionKv.from({
      keys: tf.concat([this.keys.all, keys.all]),
      values: tf.concat([this.values.all, values.all]),
    });
  }

  /**
   * Cross-attention of rows on the memory of their pictures: the rows of a picture are so many more queries to one memory.
   * @param x normed states [R, T, D], borrowed
   * @param bias broadcast to [B, H, K·T, M]
   * @returns [R, T, D], projected; the caller's
   */
  attend(attention: Attention, x: tf.Tensor3D, bias: readonly tf.Tensor[]): tf.Tensor3D {
    return tf.tidy(() => {
      const pictures = this.values.all.shape[0];
      const [rows, tokens, size] = x.shape;
      const grouped = attention.queries(x).reshape([pictures, (rows / pictures) * tokens, size]) as tf.Tensor3D;
      const heads = attention.attend(splitHeads(grouped, attention.config.heads), this.keys, this.values, bias);
      return attention.project(heads).reshape(x.shape) as tf.Tensor3D;
    });
  }

  [Symbol.dispose](): void {
    this.keys[Symbol.dispose]();
    this.values[Symbol.dispose]();
  }
}

// B pictures, M memory length, D width

interface Held {
  readonly memory: CrossAttentionKv;
  /** Whose it is, in its order. */
  readonly pictures: readonly number[];
}

/** What a layer's cross-attention reads. */
export interface MemoryMaker {
  /** Of some pictures' states [b, M, D], borrowed. */
  readonly make: (states: tf.Tensor3D, layer: number) => CrossAttentionKv;
  /** Of all pictures, where it need not be computed from their states. */
  readonly remember?: ((layer: number) => CrossAttentionKv) | undefined;
}

/**
 * What the cross-attention of every decoder layer reads, made for a picture when the layer first runs for it: a layer that
 * no picture reaches costs nothing. Owns its tensors.
 */
export class CrossAttentionCache implements Disposable {
  readonly #scope = new TensorScope();
  readonly #held: (Held | undefined)[];
  /** Of the pictures that ran last, where they were not all. */
  readonly #part: (Held | undefined)[];

  /** @param states what is looked at [B, M, D], borrowed as long as this lives */
  constructor(
    layers: number,
    private readonly states: tf.Tensor3D,
    private readonly maker: MemoryMaker,
  ) {
    this.#held = new Array<undefined>(layers).fill(undefined);
    this.#part = new Array<undefined>(layers).fill(undefined);
  }

  /**
   * @param pictures of the states, ascending
   * @returns what a layer reads of them, borrowed until it is asked for another choice
   */
  of(layer: number, pictures: readonly number[]): CrossAttentionKv {
    const before = this.#held[layer];
    const lacking = pictures.filter((picture) => !before?.pictures.includes(picture));
    if (lacking.length > 0) this.#add(layer, lacking);
    const held = this.#held[layer]!;
    if (same(held.pictures, pictures)) return held.memory;
    const part = this.#part[layer];
    if (part && same(part.pictures, pictures)) return part.memory;
    const memory = this.#scope.hold(held.memory.take(pictures.map((picture) => held.pictures.indexOf(picture))));
    this.#drop(part);
    this.#part[layer] = {memory, pictures};
    return memory;
  }

  #add(layer: number, pictures: readonly number[]): void {
    const before = this.#held[layer];
    const all = pictures.length === this.states.shape[0];
    const {make, remember} = this.maker;
    using scope = new TensorScope();
    const made = scope.hold(
      all
        ? (remember?.(layer) ?? make(this.states, layer))
        : make(scope.hold(gatherRows(this.states, pictures)), layer),
    );
    const together = [...(before?.pictures ?? []), ...pictures];
    const ascending = together.toSorted((a, b) => a - b);
    let memory = before ? before.memory.concat(made) : scope.give(made);
    if (!same(together, ascending))
      memory = scope.hold(memory).take(ascending.map((picture) => together.indexOf(picture)));
    this.#scope.hold(memory);
    this.#drop(before);
    this.#held[layer] = {memory, pictures: ascending};
  }

  /** A layer takes over what another reads (mode `copy`). */
  copy(from: number, to: number): void {
    if (this.#held[to] === this.#held[from]) return;
    this.#drop(this.#held[to]);
    this.#held[to] = this.#held[from];
  }

  /** Forgets pictures that have left. */
  keep(pictures: readonly number[]): void {
    const kept = new Map<Held, Held | undefined>();
    for (const held of this.#held) {
      if (!held || kept.has(held)) continue;
      const places = held.pictures.flatMap((picture, i) => (pictures.includes(picture) ? [i] : []));
      kept.set(
        held,
        places.length === 0
          ? undefined
          : {memory: this.#scope.hold(held.memory.take(places)), pictures: places.map((i) => held.pictures[i]!)},
      );
    }
    for (const [layer, held] of this.#held.entries()) {
      this.#held[layer] = held && kept.get(held);
      this.#drop(this.#part[layer]);
      this.#part[layer] = undefined;
    }
    for (const held of kept.keys()) this.#scope.drop(held.memory);
  }

  /** Unless another layer reads it, too. */
  #drop(held: Held | undefined): void {
    if (held && this.#held.filter((other) => other?.memory === held.memory).length <= 1) this.#scope.drop(held.memory);
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((x, i) => x === b[i]);
}
