import * as tf from '@tensorflow/tfjs';
import {KvCache} from '../nn/kv-cache.js';
import {gatherRows} from '../nn/gather-rows.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import type {SkippedKv} from './stacks.js';

export type {SkippedKv} from './stacks.js';

// R rows, T new tokens, k late tokens (they left before a layer that a later token needs), D width

/** Per row and new token, whether it is padding. */
type Padded = readonly (readonly boolean[])[];

/**
 * Self-attention caches of a decoder stack whose layers may be skipped. Each step calls `begin`, then `run` for every
 * layer that runs, then `fill` once with the exit states. Where rows leave at different layers (mode `project`), a
 * layer that runs for some rows still appends keys and values of all rows. Owns its tensors.
 */
export class SkippedKvCache implements Disposable {
  /** One a layer. */
  readonly caches: readonly KvCache[];
  readonly #scope = new TensorScope();
  /** Mode `just-in-time`: states [R, k, D] of the last k tokens, which left before this layer; one entry a layer. */
  readonly #pending: (tf.Tensor3D | undefined)[];
  /** Per row and token so far, whether it is padding; empty until one is. */
  #padded: boolean[][] = [];
  #tokens = 0;
  /** R */
  #rows = 0;

  /** @param copied mode `copy`: what skipped layers take from the exit layer */
  constructor(
    depth: number,
    private readonly skipped: SkippedKv,
    private readonly copied: 'wholeCache' | 'lastToken',
  ) {
    this.caches = Array.from({length: depth}, () => this.#scope.hold(new KvCache()));
    this.#pending = this.caches.map(() => undefined);
  }

  /** Begins a step. @param padded keys of padding are never attended to */
  begin(padded: Padded): void {
    this.#rows = padded.length;
    if (this.#padded.length > 0 || padded.some((row) => row.includes(true)))
      this.#padded = padded.map((flags, r) => [
        ...(this.#padded[r] ?? new Array<boolean>(this.#tokens).fill(false)),
        ...flags,
      ]);
    this.#tokens += padded[0]?.length ?? 0;
  }

  /** Padding of the last tokens; undefined while no token was padding. */
  #lastPadded(tokens: number): Padded | undefined {
    return this.#padded.length > 0 ? this.#padded.map((row) => row.slice(-tokens)) : undefined;
  }

  /**
   * Runs one layer for the newest token, and in the same pass for the late tokens that are needed now.
   * @param x         [R, 1, D] of the rows that run, borrowed; [R, T, D] for late tokens that were taken out
   * @param layer     from 0
   * @param forward   the layer: its input [R, k + 1, D] is borrowed, it grows the cache by these tokens of all rows,
   *                  and its result becomes owned here
   * @returns         of the shape of x, the caller's
   */
  run(
    x: tf.Tensor3D,
    layer: number,
    forward: (input: tf.Tensor3D, cache: KvCache, padded?: Padded) => tf.Tensor3D,
  ): tf.Tensor3D {
    const pending = this.#pending[layer];
    const cache = this.caches[layer]!;
    if (!pending) return forward(x, cache, this.#lastPadded(x.shape[1]));
    const late = pending.shape[1];
    const input = tf.concat([pending, x], 1);
    const output = forward(input, cache, this.#lastPadded(late + 1));
    input.dispose();
    this.#setPending(layer, undefined);
    this.#addPending(layer + 1, tf.slice(output, [0, 0, 0], [-1, late, -1]));
    const newest = tf.slice(output, [0, late, 0], [-1, 1, -1]);
    output.dispose();
    return newest;
  }

  /**
   * Gives the layers that no row ran what the mode says they get for the newest tokens.
   * @param x           exit states [R, T, D], borrowed; T is 1 but in mode `project`
   * @param exitLayer   layers that ran, from 1
   * @param grow        grows the cache of a layer by a state's keys and values (mode `project`)
   */
  fill(
    x: tf.Tensor3D,
    exitLayer: number,
    grow: (x: tf.Tensor3D, layer: number, cache: KvCache, padded?: Padded) => void,
  ): void {
    if (this.skipped === 'just-in-time' && exitLayer < this.caches.length) this.#addPending(exitLayer, x.clone());
    for (let layer = exitLayer; layer < this.caches.length; layer++) {
      const cache = this.caches[layer]!;
      if (this.skipped === 'project') grow(x, layer, cache, this.#lastPadded(x.shape[1]));
      else if (this.skipped === 'copy') {
        const exited = this.caches[exitLayer - 1]!;
        if (this.copied === 'wholeCache') cache.copyFrom(exited);
        else cache.appendLastToken(exited, this.#lastPadded(1));
      }
    }
  }

  /**
   * Mode `just-in-time`: takes out the late tokens that left after `exitLayer` layers, for a pass of their own through
   * the layers above.
   * @returns   their states [R, k, D], the caller's; undefined where there are none
   */
  takeLate(exitLayer: number): tf.Tensor3D | undefined {
    const pending = this.#pending[exitLayer]?.clone();
    this.#setPending(exitLayer, undefined);
    return pending;
  }

  /** Forgets all tokens but the first `tokens`. Late ones are not to be among those that stay. */
  cut(tokens: number): void {
    for (const cache of this.caches) cache.cut(tokens);
    for (const layer of this.#pending.keys()) this.#setPending(layer, undefined);
    this.#padded = this.#padded.map((row) => row.slice(0, tokens));
    this.#tokens = tokens;
  }

  #addPending(layer: number, states: tf.Tensor3D): void {
    if (layer < this.#pending.length) {
      const before = this.#pending[layer];
      this.#setPending(layer, before ? tf.concat([before, states], 1) : states.clone());
    }
    states.dispose();
  }

  #setPending(layer: number, states: tf.Tensor3D | undefined): void {
    const before = this.#pending[layer];
    if (before) this.#scope.drop(before);
    this.#pending[layer] = states && this.#scope.hold(states);
  }

  /** Row r becomes what row `rows[r]` was. */
  reorder(rows: readonly number[]): void {
    if (rows.length === this.#rows && rows.every((row, r) => row === r)) return;
    this.#rows = rows.length;
    const index = tf.tensor1d([...rows], 'int32');
    for (const cache of this.caches) cache.reorder(rows, index);
    index.dispose();
    this.#pending.forEach((states, layer) => {
      if (states) this.#setPending(layer, gatherRows(states, rows));
    });
    if (this.#padded.length > 0) this.#padded = rows.map((r) => this.#padded[r]!);
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}

/**
 * Replays how the caches of a stack grow, from the exit layers of the tokens alone: multiply-accumulates depend on it.
 */
export class CacheLengths {
  readonly #keys: number[];
  /** Mode `just-in-time`: tokens that left before this layer and have not run through it yet. */
  readonly #pending: number[];

  constructor(
    depth: number,
    private readonly skipped: SkippedKv,
  ) {
    this.#keys = new Array<number>(depth).fill(0);
    this.#pending = new Array<number>(depth).fill(0);
  }

  /** @returns for each layer that one more token runs through, tokens computed and keys attended to */
  step(exitLayer: number): readonly {readonly tokens: number; readonly keys: number}[] {
    const depth = this.#keys.length;
    const ran = Array.from({length: exitLayer}, (_, layer) => {
      const late = this.#pending[layer]!;
      this.#pending[layer] = 0;
      if (layer + 1 < depth) this.#pending[layer + 1]! += late;
      this.#keys[layer]! += late + 1;
      return {tokens: late + 1, keys: this.#keys[layer]!};
    });
    if (this.skipped === 'just-in-time' && exitLayer < depth) this.#pending[exitLayer]! += 1;
    for (let layer = exitLayer; layer < depth; layer++) {
      if (this.skipped === 'project') this.#keys[layer]! += 1;
      if (this.skipped === 'copy') this.#keys[layer] = this.#keys[exitLayer - 1]!;
    }
    return ran;
  }
}
