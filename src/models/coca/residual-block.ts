import * as tf from '@tensorflow/tfjs';
import {Attention, type KeysValues} from '../../nn/attention.js';
import {Block, input} from '../../nn/block.js';
import {CrossAttentionKv} from '../../nn/cross-attention-cache.js';
import {FeedForward, type FeedForwardConfig} from '../../nn/feed-forward.js';
import {type PartialRows, attendCached, growCache, type KvCache} from '../../nn/kv-cache.js';
import {LayerNorm} from '../../nn/layer-norm.js';
import {TensorScope} from '../../runtime/tensor-scope.js';

// R rows, T (new) tokens, n keys with the new ones, D width, H heads, M memory length

export interface ResidualBlockConfig {
  readonly size: number;
  readonly heads: number;
  readonly hidden: number;
  readonly activation: NonNullable<FeedForwardConfig['activation']>;
  /** Keys and values are of a memory, which has a norm of its own. */
  readonly cross: boolean;
}

/** The one block of all towers: pre-norm attention and pre-norm feed-forward, each added to its input (coca section 2.1). */
export class ResidualBlock extends Block<ResidualBlockConfig> {
  static className = 'MueCocaResidualBlock';
  readonly norm: LayerNorm;
  readonly memoryNorm: LayerNorm | undefined;
  readonly attention: Attention;
  readonly feedNorm: LayerNorm;
  readonly feedForward: FeedForward;

  constructor(config: ResidualBlockConfig) {
    super(config);
    const {size, heads, hidden, activation} = config;
    this.norm = this.child('ln_1', new LayerNorm({size}));
    this.memoryNorm = config.cross ? this.child('ln_1_kv', new LayerNorm({size})) : undefined;
    this.attention = this.child('attn', new Attention({size, heads, scaleFactor: 1, headScale: false}));
    this.feedNorm = this.child('ln_2', new LayerNorm({size}));
    this.feedForward = this.child(
      'mlp',
      new FeedForward({size, hidden, activation, innerNorm: false, names: ['c_fc', 'c_proj']}),
    );
  }

  #feed(x: tf.Tensor3D): tf.Tensor3D {
    return x.add(this.feedForward.forward(this.feedNorm.forward(x))) as tf.Tensor3D;
  }

  /** A self block over whole sequences. @param x [R, T, D]. @param bias broadcast to [R, H, T, T]. @returns [R, T, D], the caller's. */
  forward(x: tf.Tensor3D, bias: readonly tf.Tensor[] = []): tf.Tensor3D {
    return tf.tidy(() => this.#feed(x.add(this.attention.forward(this.norm.forward(x), bias)) as tf.Tensor3D));
  }

  /**
   * A self block over new tokens.
   * @param x [R, T, D], borrowed
   * @param cache grows by the new tokens' keys and values
   * @param bias broadcast to [R, H, T, n]
   * @param padded per row and new token, whether its key may never be attended to
   * @param among what x is a part of, and the cache is of
   * @returns [R, T, D], the caller's
   */
  forwardCached(
    x: tf.Tensor3D,
    cache: KvCache,
    bias: readonly tf.Tensor[],
    padded?: readonly (readonly boolean[])[],
    among?: PartialRows,
  ): tf.Tensor3D {
    using scope = new TensorScope();
    const every = scope.hold(this.norm.forward(among?.all ?? x));
    growCache(this.attention, every, cache, padded);
    return tf.tidy(() =>
      this.#feed(
        x.add(attendCached(this.attention, among?.part(every) ?? every, cache, bias, among?.rows)) as tf.Tensor3D,
      ),
    );
  }

  /** Keys and values that a state would have left in this layer's cache (mode `project`). @param x [R, 1, D]. */
  selfKeysValues(x: tf.Tensor3D): KeysValues {
    return tf.tidy(() => this.attention.keysValues(this.norm.forward(x)));
  }

  /** What a cross block reads. @param states [B, M, D] */
  remember(states: tf.Tensor3D): CrossAttentionKv {
    return CrossAttentionKv.from(tf.tidy(() => this.attention.keysValues(this.memoryNorm!.forward(states))));
  }

  /** A cross block. @param x [R, T, D], rows in order of pictures. @returns [R, T, D], the caller's. */
  forwardCross(x: tf.Tensor3D, memory: CrossAttentionKv): tf.Tensor3D {
    return tf.tidy(() => this.#feed(x.add(memory.attend(this.attention, this.norm.forward(x), [])) as tf.Tensor3D));
  }

  /** As a layer: a self block's x [R, T, D] and biases; a cross block's x and memory [B, M, D]. */
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      if (!this.config.cross) return this.forward(input(inputs), Array.isArray(inputs) ? inputs.slice(1) : []);
      using memory = this.remember(input<tf.Tensor3D>(inputs, 1));
      return this.forwardCross(input(inputs), memory);
    });
  }
  override computeOutputShape(shape: tf.Shape | tf.Shape[]): tf.Shape {
    return (Array.isArray(shape[0]) ? shape[0] : shape) as tf.Shape;
  }
}
tf.serialization.registerClass(ResidualBlock);
