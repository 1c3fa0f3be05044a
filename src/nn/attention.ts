import * as tf from '@tensorflow/tfjs';
import {joined, type JoinedOwner, shapeKey} from '../runtime/joined.js';
import {runFused} from '../runtime/kernels.js';
import {Block} from './block.js';
import {PerHeadMatrices, mergeHeads, batchedMatMul, splitHeads, splitHeadsTransposed} from './heads.js';
import {Linear} from './linear.js';

/** −1e9 where a key comes after its query: [1, 1, T, n] for the last T of n positions, the caller's. */
export function causalMask(tokens: number, keys: number): tf.Tensor4D {
  const values = Float32Array.from({length: tokens * keys}, (_, i) =>
    (i % keys) - (keys - tokens) > Math.floor(i / keys) ? -1e9 : 0,
  );
  return tf.tensor4d(values, [1, 1, tokens, keys]);
}

export interface AttentionConfig {
  readonly size: number;
  readonly heads: number;
  /**
   * Queries are multiplied by (head width · scaleFactor)^(−1/2); OFA uses 2, since the position bias is scaled alike.
   */
  readonly scaleFactor: number;
  /** A learned factor a head, `c_attn` (`scale_heads`), applied before the output projection. */
  readonly headScale: boolean;
  /** Width of what keys and values are made from; `size` by default. */
  readonly memorySize?: number;
  /** Order in which files keep the projections; q, k, v by default. */
  readonly fileOrder?: readonly ('q' | 'k' | 'v')[];
}

/** Keys [B, H, d, S] (transposed) and values [B, H, S, d]. */
export type KeysValues = {
  readonly keys: tf.Tensor4D;
  readonly values: tf.Tensor4D;
};

/**
 * Multi-head attention with an additive bias a head (docs/reference/ofa-mue.md 3.4). Cut in parts, so that caches stay
 * outside.
 */
export class Attention extends Block<AttentionConfig> {
  static className = 'MueAttention';
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly out: Linear;

  constructor(config: AttentionConfig) {
    super(config);
    const {size, memorySize = size, fileOrder = ['q', 'k', 'v']} = config;
    const linear = (inputSize: number): Linear => new Linear({inputSize, units: size});
    this.q = linear(size);
    this.k = linear(memorySize);
    this.v = linear(memorySize);
    if (config.headScale) this.declare('c_attn', [config.heads], {initializer: tf.initializers.ones(), neutral: 1});
    for (const part of fileOrder) this.child(`${part}_proj`, this[part]);
    this.out = this.child('out_proj', linear(size));
  }

  /** What queries are multiplied by. */
  get queryFactor(): number {
    const {size, heads, scaleFactor} = this.config;
    return ((size / heads) * scaleFactor) ** -0.5;
  }

  /** The learned factors of the heads [H], borrowed. */
  get headScale(): tf.Tensor | undefined {
    return this.config.headScale ? this.weight('c_attn') : undefined;
  }

  /**
   * Scaled queries, heads not yet split.
   * @param x   [B, T, D]
   * @returns   [B, T, D], the caller's
   */
  queries(x: tf.Tensor3D): tf.Tensor3D {
    return tf.tidy(() => this.q.forward(x).mul(this.queryFactor) as tf.Tensor3D);
  }

  /**
   * @param x   [B, S, D]
   * @returns   tensors of the caller's
   */
  keysValues(x: tf.Tensor3D): KeysValues {
    const {heads} = this.config;
    return tf.tidy(() => ({
      keys: splitHeadsTransposed(this.k.forward(x), heads),
      values: splitHeads(this.v.forward(x), heads),
    }));
  }

  /**
   * @param queries [B, H, T, d]
   * @param bias added to the scores, broadcast to [B, H, T, S]: positions, and −1e9 where a key may not be seen
   * @returns [B, H, T, d], heads scaled, not yet projected; the caller's
   */
  attend(
    queries: tf.Tensor4D,
    keys: tf.Tensor4D | PerHeadMatrices,
    values: tf.Tensor4D | PerHeadMatrices,
    bias: readonly tf.Tensor[],
  ): tf.Tensor4D {
    const fused = this.#attendFused(queries, keys, values, bias);
    if (fused) return fused;
    return tf.tidy(() => {
      const scores = bias.reduce<tf.Tensor>((sum, b) => sum.add(b), batchedMatMul(queries, keys));
      const mixed = batchedMatMul(tf.softmax(scores as tf.Tensor4D), values); // [B, H, T, d]
      return this.headScale ? (mixed.mul(this.headScale.reshape([1, -1, 1, 1])) as tf.Tensor4D) : mixed;
    });
  }

  #attendFused(
    queries: tf.Tensor4D,
    keys: tf.Tensor4D | PerHeadMatrices,
    values: tf.Tensor4D | PerHeadMatrices,
    bias: readonly tf.Tensor[],
  ): tf.Tensor4D | undefined {
    const keep = keys instanceof PerHeadMatrices;
    const [k, v] = [keys, values].map((x) => (x instanceof PerHeadMatrices ? x.all : x)) as [tf.Tensor4D, tf.Tensor4D];
    const whole = queries.shape[0] === k.shape[0] && bias.every((b) => b.shape.at(-1) === k.shape[3]);
    if (!whole) return undefined;
    const inputs = {
      x: queries,
      keys: k,
      values: v,
      ...(this.headScale && {scale: this.headScale}),
      ...Object.fromEntries(bias.map((b, i) => [`bias${i}`, b])),
    };
    return runFused<tf.Tensor4D>('MueAttend', inputs, {biases: bias.length, keep});
  }

  /**
   * Self-attention over a whole sequence.
   * @param x   [B, T, D]
   * @returns   [B, T, D], the caller's
   */
  forward(x: tf.Tensor3D, bias: readonly tf.Tensor[] = []): tf.Tensor3D {
    return tf.tidy(() => {
      const {keys, values} = this.keysValues(x);
      return this.project(this.attend(splitHeads(this.queries(x), this.config.heads), keys, values, bias));
    });
  }

  /**
   * Merges heads and projects.
   * @param heads   [B, H, T, d]
   * @returns       [B, T, D], the caller's
   */
  project(heads: tf.Tensor4D): tf.Tensor3D {
    return tf.tidy(() => this.out.forward(mergeHeads(heads)));
  }
}
tf.serialization.registerClass(Attention);

/**
 * Keys and values of a state, as one computation where the device can (`joined`).
 * @param owner     the block whose weights alone `compute` uses
 * @param name      of the computation among the owner's
 * @param x         the only other tensor that it uses, borrowed
 * @returns         tensors of the caller's
 */
export function joinedKeysValues(
  owner: JoinedOwner,
  name: string,
  x: tf.Tensor3D,
  compute: () => KeysValues,
): KeysValues {
  const [keys, values] = joined(owner, `${name} ${shapeKey([x], [0])}`, [x], () => {
    const made = compute();
    return [made.keys, made.values];
  });
  return {keys, values};
}
