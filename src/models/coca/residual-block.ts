import * as tf from '@tensorflow/tfjs';
import {Attention, joinedKeysValues, type KeysValues} from '../../nn/attention.js';
import {Block} from '../../nn/block.js';
import {CrossAttentionKv} from '../../nn/cross-attention-cache.js';
import {FeedForward, type FeedForwardConfig} from '../../nn/feed-forward.js';
import {type AttentionPart, crossAttentionStep, feedForwardStep, selfAttentionStep} from '../../nn/few-row-steps.js';
import {
  attendCached,
  attendGrown,
  growCache,
  growCacheJoined,
  grownInputs,
  grownKey,
  type KvCache,
  type PartialRows,
} from '../../nn/kv-cache.js';
import {LayerNorm} from '../../nn/layer-norm.js';
import {joined, shapeKey} from '../../runtime/joined.js';
import {TensorScope} from '../../runtime/tensor-scope.js';

// R rows, T (new) tokens, n keys with the new ones, D width, H heads, M memory length

export interface ResidualBlockConfig {
  readonly size: number;
  readonly heads: number;
  readonly hidden: number;
  readonly activation: NonNullable<FeedForwardConfig['activation']>;
  /** Whether keys and values come from a memory, which has a norm of its own. */
  readonly cross: boolean;
}

/**
 * The one block of all towers: pre-norm attention and pre-norm feed-forward, each added to its input
 * (docs/reference/coca.md 2.1).
 */
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

  /**
   * A self block over whole sequences.
   * @param x      [R, T, D]
   * @param bias   broadcast to [R, H, T, T]
   * @returns      [R, T, D], the caller's
   */
  forwardSelf(x: tf.Tensor3D, bias: readonly tf.Tensor[] = []): tf.Tensor3D {
    const inputs = [x, ...bias];
    const [next] = joined(this, `self ${shapeKey(inputs, [0])}`, inputs, () => [
      this.#feed(x.add(this.attention.forward(this.norm.forward(x), bias)) as tf.Tensor3D),
    ]);
    return next;
  }

  /**
   * A self block over new tokens.
   * @param x         [R, T, D], borrowed
   * @param cache     grows by the new tokens' keys and values
   * @param bias      broadcast to [R, H, T, n]
   * @param padded    per row and new token, whether its key may never be attended to
   * @param partial   where x holds some of the rows of the cache
   * @returns         [R, T, D], the caller's
   */
  forwardCached(
    x: tf.Tensor3D,
    cache: KvCache,
    bias: readonly tf.Tensor[],
    padded?: readonly (readonly boolean[])[],
    partial?: PartialRows,
  ): tf.Tensor3D {
    if (!cache.hasPadding && !padded) return this.#step(x, cache, bias, partial);
    using scope = new TensorScope();
    const normed = scope.hold(this.norm.forward(partial?.all ?? x));
    growCache(this.attention, normed, cache, padded);
    return tf.tidy(() => {
      return this.#feed(x.add(attendCached(this.attention, normed, cache, bias, partial)) as tf.Tensor3D);
    });
  }

  /** `forwardCached` without padding, as one computation: the cache's length is free in it. */
  #step(x: tf.Tensor3D, cache: KvCache, bias: readonly tf.Tensor[], partial?: PartialRows): tf.Tensor3D {
    const key = `step ${grownKey(x, cache, partial)}, ${bias.length}`;
    const inputs = [...grownInputs(x, cache, partial), ...bias];
    const [next, keys, values] = joined(this, key, inputs, () => {
      const whole = partial ? undefined : selfAttentionStep(this.#part, x, cache, bias);
      const {y, grown} = whole ?? this.#attendGrown(x, cache, bias, partial);
      return [this.#feed(y), grown.keys, grown.values];
    });
    cache.adopt({keys, values});
    return next;
  }

  #attendGrown(
    x: tf.Tensor3D,
    cache: KvCache,
    bias: readonly tf.Tensor[],
    partial: PartialRows | undefined,
  ): {y: tf.Tensor3D; grown: KeysValues} {
    const normed = this.norm.forward(partial?.all ?? x);
    const {attended, grown} = attendGrown(this.attention, normed, cache, bias, partial);
    return {y: x.add(attended) as tf.Tensor3D, grown};
  }

  get #part(): AttentionPart {
    return {inner: this.norm, attention: this.attention, outer: undefined};
  }

  /** Grows a cache by what a state would have left in it (mode `project`). @param x [R, 1, D] */
  growSkipped(x: tf.Tensor3D, cache: KvCache, padded?: readonly (readonly boolean[])[]): void {
    growCacheJoined(this, x, cache, padded, () => this.attention.keysValues(this.norm.forward(x)));
  }

  /** Keys and values of a cross block. @param states [B, M, D] */
  crossKv(states: tf.Tensor3D): CrossAttentionKv {
    const compute = (): KeysValues => this.attention.keysValues(this.memoryNorm!.forward(states));
    return CrossAttentionKv.from(joinedKeysValues(this, 'crossKv', states, compute));
  }

  /**
   * A cross block.
   * @param x   [R, T, D], rows in order of images
   * @returns   [R, T, D], the caller's
   */
  forwardCross(x: tf.Tensor3D, memory: CrossAttentionKv): tf.Tensor3D {
    const inputs = [x, memory.keys.all, memory.values.all];
    const key = `cross ${x.shape[1]} tokens, ${x.shape[0] / memory.values.all.shape[0]} rows`;
    const [next] = joined(this, key, inputs, () => {
      const attended =
        crossAttentionStep(this.#part, x, memory, []) ??
        (x.add(memory.attend(this.attention, this.norm.forward(x), [])) as tf.Tensor3D);
      return [this.#feed(attended)];
    });
    return next;
  }

  #feed(x: tf.Tensor3D): tf.Tensor3D {
    const step = feedForwardStep(this.feedNorm, this.feedForward, x, undefined);
    return step ?? (x.add(this.feedForward.forward(this.feedNorm.forward(x))) as tf.Tensor3D);
  }

  /**
   * As a tfjs layer.
   * @param x        [R, T, D]
   * @param others   biases of a self block; memory [B, M, D] of a cross block
   * @returns        [R, T, D], the caller's
   */
  forward(x: tf.Tensor3D, others: readonly tf.Tensor[] = []): tf.Tensor3D {
    if (!this.config.cross) return this.forwardSelf(x, others);
    return tf.tidy(() => {
      using memory = this.crossKv(others[0] as tf.Tensor3D);
      return this.forwardCross(x, memory);
    });
  }
}
tf.serialization.registerClass(ResidualBlock);
