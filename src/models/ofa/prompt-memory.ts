import * as tf from '@tensorflow/tfjs';
import {TensorScope} from '../../runtime/tensor-scope.js';

// B pictures, S tokens, D width

/** States of a text after each layer, of one row. */
type Layers = Map<number, {readonly shape: [number, number, number]; readonly values: Float32Array}>;

/**
 * The text stream of the latest prompt, if it came twice in a row: captions all ask the same, entailments never do. States are the same
 * whatever exits, so that a policy sees what it would have seen; they are kept as plain numbers, which no backend owns. Multiply-accumulates
 * are counted as of a prompt that is new.
 */
export class PromptMemory {
  #latest = '';
  #layers: Layers = new Map();

  /** @returns what is known of the prompt of all pictures; undefined where they differ or it is new. Dispose of it. */
  recall(prompts: readonly (readonly number[])[]): PromptStates | undefined {
    const [key, ...others] = prompts.map((prompt) => prompt.join());
    if (key === undefined || others.some((other) => other !== key)) return undefined;
    if (key === this.#latest) return new PromptStates(this.#layers);
    this.#latest = key;
    this.#layers = new Map();
    return undefined;
  }
}

/** One pass through the text stream. */
export class PromptStates implements Disposable {
  readonly #scope = new TensorScope();
  readonly #fresh = new Map<number, tf.Tensor3D>();

  constructor(private readonly layers: Layers) {}

  /** The state after a layer, [B, S, D], the caller's: remembered, or computed and from now on to be remembered. */
  after(layer: number, rows: number, compute: () => tf.Tensor3D): tf.Tensor3D {
    const known = this.layers.get(layer);
    if (known) return tf.tidy(() => tf.tile(tf.tensor3d(known.values, known.shape), [rows, 1, 1]));
    const state = compute();
    const [, tokens, width] = state.shape;
    this.#fresh.set(layer, this.#scope.hold(tf.slice(state, [0, 0, 0], [1, tokens, width])));
    return state;
  }

  /** Remembers what this pass computed. */
  async keep(): Promise<void> {
    for (const [layer, state] of this.#fresh) this.layers.set(layer, {shape: state.shape, values: (await state.data()) as Float32Array});
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}
