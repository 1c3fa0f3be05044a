import * as tf from '@tensorflow/tfjs';
import {TensorScope} from '../../runtime/tensor-scope.js';

// B images, S tokens, D width

/** States of a prompt after each layer, of one row: plain numbers, which no backend owns. */
type StatesByLayer = Map<number, {readonly shape: [number, number, number]; readonly values: Float32Array}>;

/**
 * Remembers the text stream of the latest prompt, if it came twice in a row: captions all ask the same, entailments
 * never do. States are the same whatever exits, so a policy sees what it would have seen; multiply-accumulates are
 * counted as if the prompt were new.
 */
export class PromptCache {
  #latest = '';
  #layers: StatesByLayer = new Map();

  /** @returns the cached states if all images have the latest prompt again, else undefined. Dispose of them. */
  lookup(prompts: readonly (readonly number[])[]): CachedPrompt | undefined {
    const [key, ...others] = prompts.map((prompt) => prompt.join());
    if (key === undefined || others.some((other) => other !== key)) return undefined;
    if (key === this.#latest) return new CachedPrompt(this.#layers);
    this.#latest = key;
    this.#layers = new Map();
    return undefined;
  }
}

/** One pass of a cached prompt through the text stream. */
class CachedPrompt implements Disposable {
  readonly #scope = new TensorScope();
  readonly #fresh = new Map<number, tf.Tensor3D>();

  constructor(private readonly layers: StatesByLayer) {}

  /** The state after a layer [B, S, D], the caller's: from the cache, or computed now and cached by `keep`. */
  after(layer: number, rows: number, compute: () => tf.Tensor3D): tf.Tensor3D {
    const known = this.layers.get(layer);
    if (known) return tf.tidy(() => tf.tile(tf.tensor3d(known.values, known.shape), [rows, 1, 1]));
    const state = compute();
    const [, tokens, width] = state.shape;
    this.#fresh.set(layer, this.#scope.hold(tf.slice(state, [0, 0, 0], [1, tokens, width])));
    return state;
  }

  /** Caches the layers that this pass computed. */
  async keep(): Promise<void> {
    for (const [layer, state] of this.#fresh)
      this.layers.set(layer, {shape: state.shape, values: (await state.data()) as Float32Array});
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}
