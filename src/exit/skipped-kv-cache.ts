import * as tf from '@tensorflow/tfjs';
import type {KeysValues} from '../nn/attention.js';
import {KvCache} from '../nn/kv-cache.js';
import {gatherRows} from '../nn/gather-rows.js';
import {TensorScope} from '../runtime/tensor-scope.js';

/**
 * How layers that an exit skipped get their keys and values for that token (ofa_mue section 10.9, early_exit B3).
 * `gap`: not at all, their caches stay shorter, as in the release; `copy`: they take over the exit layer's cache, the
 * research branch's intent, or (coca section 10) its keys and values of that token alone; `project`: from the exit state, through their own projections; `just-in-time`: exact, the
 * token is run through the missing layers, together with the next one that goes deeper.
 */
export type SkippedKv = 'gap' | 'copy' | 'project' | 'just-in-time';
export const SKIPPED_KV: readonly SkippedKv[] = ['gap', 'copy', 'project', 'just-in-time'];

// R rows, k late tokens, D width

/** Per row and new token, whether it is padding. */
type Padded = readonly (readonly boolean[])[];

/**
 * Self-attention caches of a decoder stack whose layers may be skipped, fed one token a step: `run` for every layer that
 * runs, then `fill` once with the exit states. Where rows leave at different layers (mode `project`), a layer that runs for some
 * of them grows its cache by all. Owns its tensors.
 */
export class SkippedKvCache implements Disposable {
  /** One a layer. */
  readonly caches: readonly KvCache[];
  readonly #scope = new TensorScope();
  /** Mode `just-in-time`: states [R, k, D] of the newest k tokens, which left before this layer. */
  readonly #pending: (tf.Tensor3D | undefined)[];
  /** Per row and token so far; empty until one is padding. */
  #padded: boolean[][] = [];
  #tokens = 0;

  /** @param copies mode `copy`: what skipped layers take from the exit layer, its whole cache or the newest token's keys and values */
  constructor(
    depth: number,
    private readonly skipped: SkippedKv,
    private readonly copies: 'history' | 'newest',
  ) {
    this.caches = Array.from({length: depth}, () => this.#scope.hold(new KvCache()));
    this.#pending = this.caches.map(() => undefined);
  }

  /** Begins a step. @param padded per row and new token, whether it is padding, whose key is never attended to */
  begin(padded: Padded): void {
    if (this.#padded.length > 0 || padded.some((row) => row.includes(true)))
      this.#padded = padded.map((flags, r) => [
        ...(this.#padded[r] ?? new Array<boolean>(this.#tokens).fill(false)),
        ...flags,
      ]);
    this.#tokens += padded[0]?.length ?? 0;
  }

  /** Flags of the newest tokens, if any was ever padding. */
  #flags(tokens: number): Padded | undefined {
    return this.#padded.length > 0 ? this.#padded.map((row) => row.slice(-tokens)) : undefined;
  }

  /**
   * One layer for the newest token, and in the same pass for tokens that left earlier and are needed exactly now.
   * @param x [R, 1, D] of the rows that run, borrowed
   * @param forward the layer: input [R, k + 1, D] borrowed, its cache, and the flags to append, of all rows; its result becomes owned here
   * @returns [R, 1, D], the caller's
   */
  run(
    x: tf.Tensor3D,
    layer: number,
    forward: (input: tf.Tensor3D, cache: KvCache, padded?: Padded) => tf.Tensor3D,
  ): tf.Tensor3D {
    const pending = this.#pending[layer];
    const cache = this.caches[layer]!;
    if (!pending) return forward(x, cache, this.#flags(1));
    const late = pending.shape[1];
    const input = tf.concat([pending, x], 1);
    const output = forward(input, cache, this.#flags(late + 1));
    input.dispose();
    this.#setPending(layer, undefined);
    this.#addPending(layer + 1, tf.slice(output, [0, 0, 0], [-1, late, -1]));
    const newest = tf.slice(output, [0, late, 0], [-1, 1, -1]);
    output.dispose();
    return newest;
  }

  /**
   * Gives the layers that no row ran what their mode says they get for the newest tokens.
   * @param x exit states [R, T, D], borrowed; T is 1 but in mode `project`
   * @param project keys and values of a layer for a state, the caller's (mode `project`)
   */
  fill(x: tf.Tensor3D, exitLayer: number, project: (x: tf.Tensor3D, layer: number) => KeysValues): void {
    if (this.skipped === 'just-in-time' && exitLayer < this.caches.length) this.#addPending(exitLayer, x.clone());
    for (let layer = exitLayer; layer < this.caches.length; layer++) {
      if (this.skipped === 'project') {
        const {keys, values} = project(x, layer);
        this.caches[layer]!.append({keys, values}, this.#flags(x.shape[1]));
        keys.dispose();
        values.dispose();
      } else if (this.skipped === 'copy') {
        const from = this.caches[exitLayer - 1]!;
        if (this.copies === 'history') this.caches[layer]!.copyFrom(from);
        else this.caches[layer]!.appendNewest(from, this.#flags(1));
      }
    }
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
    for (const cache of this.caches) cache.reorder(rows);
    this.#pending.forEach((states, layer) => {
      if (states) this.#setPending(layer, gatherRows(states, rows));
    });
    if (this.#padded.length > 0) this.#padded = rows.map((r) => this.#padded[r]!);
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}
