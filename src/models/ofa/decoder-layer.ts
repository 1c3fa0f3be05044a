import * as tf from '@tensorflow/tfjs';
import {Attention, type KeysValues} from '../../nn/attention.js';
import {Block, input} from '../../nn/block.js';
import {type Among, attendCached, growCache} from '../../nn/cached-attention.js';
import {CrossMemory} from '../../nn/cross-memory.js';
import {FeedForward} from '../../nn/feed-forward.js';
import {splitHeads} from '../../nn/heads.js';
import type {KvCache} from '../../nn/kv-cache.js';
import {LayerNorm} from '../../nn/layer-norm.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {LayerConfig} from './encoder-layer.js';

// B pictures, K rows (beams) a picture, R = B·K rows, T new tokens, n keys with the new ones, M encoder length, H heads

/** Biases that a decoder layer adds to its scores; each may be several addends, all borrowed. */
export interface DecoderBias {
  /** Broadcast to [R, H, T, n]: positions, causality, padding. */
  readonly self: readonly tf.Tensor[];
  /** Broadcast to [B, H, K·T, M]: positions, padding. */
  readonly cross: readonly tf.Tensor[];
}

/** Self-attention, cross-attention, feed-forward, each normalised before and (but for the last) after (ofa_mue section 4.3). */
export class DecoderLayer extends Block<LayerConfig> {
  static className = 'MueOfaDecoderLayer';
  readonly selfAttention: Attention;
  readonly selfNorm: LayerNorm;
  readonly selfOutputNorm: LayerNorm | undefined;
  readonly crossAttention: Attention;
  readonly crossNorm: LayerNorm;
  readonly crossOutputNorm: LayerNorm | undefined;
  readonly feedForward: FeedForward;
  readonly feedForwardNorm: LayerNorm;

  constructor(config: LayerConfig) {
    super(config);
    const {size, heads, scaleFactor} = config;
    const attention = (name: string): Attention =>
      this.child(name, new Attention({size, heads, scaleFactor, headScale: config.scaleHeads}));
    const norm = (name: string): LayerNorm => this.child(name, new LayerNorm({size}));
    this.selfAttention = attention('self_attn');
    this.selfNorm = norm('self_attn_layer_norm');
    this.selfOutputNorm = config.scaleAttention ? norm('self_attn_ln') : undefined;
    this.crossAttention = attention('encoder_attn');
    this.crossNorm = norm('encoder_attn_layer_norm');
    this.crossOutputNorm = config.scaleAttention ? norm('cross_attn_ln') : undefined;
    this.feedForward = this.child('', new FeedForward({size, hidden: config.hidden, innerNorm: config.scaleFeedForward}), 'feed_forward');
    this.feedForwardNorm = norm('final_layer_norm');
    if (config.scaleResiduals) this.declare('w_resid', [size], tf.initializers.ones());
  }

  /** What this layer's cross-attention reads. @param states encoder output [B, M, D]. */
  remember(states: tf.Tensor3D): CrossMemory {
    return CrossMemory.from(this.crossAttention.keysValues(states));
  }

  /** Keys and values that a state would have left in this layer's cache (mode `project`). @param x [R, 1, D]. */
  selfKeysValues(x: tf.Tensor3D): KeysValues {
    return tf.tidy(() => this.selfAttention.keysValues(this.selfNorm.forward(x)));
  }

  /**
   * @param x new tokens [R, T, D], borrowed
   * @param cache grows by the new tokens' keys and values
   * @param padded per row and new token, whether it is padding
   * @param bias asked for once the cache has grown, since its width is that of all keys
   * @param among what x is a part of, and the cache is of
   * @returns [R, T, D], the caller's
   */
  forward(
    x: tf.Tensor3D,
    cache: KvCache,
    memory: CrossMemory,
    bias: (keys: number) => DecoderBias,
    padded?: readonly (readonly boolean[])[],
    among?: Among,
  ): tf.Tensor3D {
    using scope = new TensorScope();
    const every = scope.hold(this.selfNorm.forward(among?.all ?? x));
    growCache(this.selfAttention, every, cache, padded);
    return tf.tidy(() => {
      const {self, cross} = bias(cache.length);
      const out = attendCached(this.selfAttention, among?.part(every) ?? every, cache, self, among?.rows);
      const y = x.add(this.selfOutputNorm?.forward(out) ?? out) as tf.Tensor3D;
      const z = y.add(this.#attendMemory(y, memory, cross)) as tf.Tensor3D;
      return this.#feed(z);
    });
  }

  #feed(x: tf.Tensor3D): tf.Tensor3D {
    const residual = this.config.scaleResiduals ? x.mul(this.weight('w_resid')) : x;
    return residual.add(this.feedForward.forward(this.feedForwardNorm.forward(x))) as tf.Tensor3D;
  }

  #attendMemory(x: tf.Tensor3D, memory: CrossMemory, bias: readonly tf.Tensor[]): tf.Tensor3D {
    const out = memory.attend(this.crossAttention, this.crossNorm.forward(x), bias);
    return this.crossOutputNorm?.forward(out) ?? out;
  }

  /** As a layer: x [B, T, D], encoder states [B, M, D], then self biases; without cache or position bias of its own. */
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = input<tf.Tensor3D>(inputs);
      const normed = this.selfNorm.forward(x);
      const {keys, values} = this.selfAttention.keysValues(normed);
      const queries = splitHeads(this.selfAttention.queries(normed), this.config.heads);
      const out = this.selfAttention.project(
        this.selfAttention.attend(queries, keys, values, Array.isArray(inputs) ? inputs.slice(2) : []),
      );
      const y = x.add(this.selfOutputNorm?.forward(out) ?? out) as tf.Tensor3D;
      using memory = this.remember(input<tf.Tensor3D>(inputs, 1));
      const z = y.add(this.#attendMemory(y, memory, [])) as tf.Tensor3D;
      return this.#feed(z);
    });
  }
  override computeOutputShape(shape: tf.Shape | tf.Shape[]): tf.Shape {
    return (Array.isArray(shape[0]) ? shape[0] : shape) as tf.Shape;
  }
}
tf.serialization.registerClass(DecoderLayer);
