import * as tf from '@tensorflow/tfjs';
import {Attention, joinedKeysValues, type KeysValues} from '../../nn/attention.js';
import {asList, Block} from '../../nn/block.js';
import {CrossAttentionCache, CrossAttentionKv} from '../../nn/cross-attention-cache.js';
import {Embedding, type TiedEmbedding} from '../../nn/embedding.js';
import {FeedForward} from '../../nn/feed-forward.js';
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
import {Linear} from '../../nn/linear.js';
import {joined} from '../../runtime/joined.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import {type LayerConfig, layerConfig, type OfaConfig} from './config.js';
import {FILE_ORDER} from './encoder.js';
import {absoluteBias, relativeBias, tokenBuckets} from './positions.js';

// B images, K rows (beams) an image, R = B·K rows, T (new) target tokens, n keys with the new ones, M encoder length,
// D width, H heads, V words

/** Biases that a decoder layer adds to its attention scores; each may be several addends, all borrowed. */
export interface DecoderBias {
  /** Broadcast to [R, H, T, n]: positions, causality, padding. */
  readonly self: readonly tf.Tensor[];
  /** Broadcast to [B, H, K·T, M]: positions, padding. */
  readonly cross: readonly tf.Tensor[];
}

/** Inputs of a decoder layer that runs token by token, besides the new tokens. */
export interface CachedInputs {
  /** Grows by the new tokens' keys and values. */
  readonly cache: KvCache;
  readonly memory: CrossAttentionKv;
  readonly bias: DecoderBias;
  /** Per row and new token, whether it is padding, whose key is never attended to. */
  readonly padded?: readonly (readonly boolean[])[];
  /** Given if the new tokens are only some of the rows or positions of the cache. */
  readonly partial?: PartialRows;
}

/**
 * Self-attention, cross-attention, feed-forward, each normalised before and (but for the last) after
 * (docs/reference/ofa-mue.md 4.3).
 */
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
  readonly #self: AttentionPart;
  readonly #cross: AttentionPart;

  constructor(config: LayerConfig) {
    super(config);
    const {size, heads, hidden, scaleFactor, scaleHeads: headScale} = config;
    const norm = (name: string): LayerNorm => this.child(name, new LayerNorm({size}));
    const attention = (name: string): Attention =>
      this.child(name, new Attention({size, heads, scaleFactor, headScale, fileOrder: FILE_ORDER}));
    this.selfAttention = attention('self_attn');
    this.selfNorm = norm('self_attn_layer_norm');
    this.selfOutputNorm = config.scaleAttention ? norm('self_attn_ln') : undefined;
    this.crossAttention = attention('encoder_attn');
    this.crossNorm = norm('encoder_attn_layer_norm');
    this.crossOutputNorm = config.scaleAttention ? norm('cross_attn_ln') : undefined;
    this.feedForward = this.child('', new FeedForward({size, hidden, innerNorm: config.scaleFeedForward}));
    this.feedForwardNorm = norm('final_layer_norm');
    if (config.scaleResiduals) this.declare('w_resid', [size], {initializer: tf.initializers.ones()});
    this.#self = {inner: this.selfNorm, attention: this.selfAttention, outer: this.selfOutputNorm};
    this.#cross = {inner: this.crossNorm, attention: this.crossAttention, outer: this.crossOutputNorm};
  }

  /** Keys and values of this layer's cross-attention. @param states encoder output [B, M, D] */
  crossKv(states: tf.Tensor3D): CrossAttentionKv {
    return CrossAttentionKv.from(
      joinedKeysValues(this, 'crossKv', states, () => this.crossAttention.keysValues(states)),
    );
  }

  /** Grows a cache by what a state would have left in it (mode `project`). @param x [R, T, D] */
  growSkipped(x: tf.Tensor3D, cache: KvCache, padded?: CachedInputs['padded']): void {
    growCacheJoined(this, x, cache, padded, () => this.selfAttention.keysValues(this.selfNorm.forward(x)));
  }

  /**
   * New tokens attend to the cache and to themselves.
   * @param x   [R, T, D], borrowed
   * @returns   [R, T, D], the caller's
   */
  forwardCached(x: tf.Tensor3D, inputs: CachedInputs): tf.Tensor3D {
    const {cache, memory, bias, padded, partial} = inputs;
    if (!cache.hasPadding && !padded) return this.#step(x, inputs);
    using scope = new TensorScope();
    const normed = scope.hold(this.selfNorm.forward(partial?.all ?? x));
    growCache(this.selfAttention, normed, cache, padded);
    return tf.tidy(() => {
      const attended = attendCached(this.selfAttention, normed, cache, bias.self, partial);
      return this.#afterSelfAttention(this.#withSelfAttention(x, attended), memory, bias.cross);
    });
  }

  /** `forwardCached` without padding, as one computation: the lengths of cache and memory are free in it. */
  #step(x: tf.Tensor3D, {cache, memory, bias, partial}: CachedInputs): tf.Tensor3D {
    const images = memory.values.all.shape[0];
    const inputs = [
      ...grownInputs(x, cache, partial),
      ...[memory.keys.all, memory.values.all],
      ...bias.self,
      ...bias.cross,
    ];
    const key = `step ${grownKey(x, cache, partial)}, ${x.shape[0] / images} rows, ${bias.self.length} ${bias.cross.length}`;
    const [next, keys, values] = joined(this, key, inputs, () => {
      const whole = partial ? undefined : selfAttentionStep(this.#self, x, cache, bias.self);
      const {y, grown} = whole ?? this.#attendGrown(x, cache, bias.self, partial);
      return [this.#afterSelfAttention(y, memory, bias.cross), grown.keys, grown.values];
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
    const normed = this.selfNorm.forward(partial?.all ?? x);
    const {attended, grown} = attendGrown(this.selfAttention, normed, cache, bias, partial);
    return {y: this.#withSelfAttention(x, attended), grown};
  }

  /**
   * Whole targets attend to themselves; no cache.
   * @param x   [R, T, D], borrowed
   * @returns   [R, T, D], the caller's
   */
  forwardWhole(x: tf.Tensor3D, memory: CrossAttentionKv, bias: DecoderBias): tf.Tensor3D {
    return tf.tidy(() => {
      const attended = this.selfAttention.forward(this.selfNorm.forward(x), bias.self);
      return this.#afterSelfAttention(this.#withSelfAttention(x, attended), memory, bias.cross);
    });
  }

  /**
   * As `forwardWhole`, of the encoder's output itself.
   * @param states   [R, M, D], borrowed
   */
  forwardFrom(x: tf.Tensor3D, states: tf.Tensor3D, bias: DecoderBias): tf.Tensor3D {
    return tf.tidy(() => {
      using memory = this.crossKv(states);
      return this.forwardWhole(x, memory, bias);
    });
  }

  #withSelfAttention(x: tf.Tensor3D, attended: tf.Tensor3D): tf.Tensor3D {
    return x.add(this.selfOutputNorm?.forward(attended) ?? attended);
  }

  /** @param y [R, T, D], borrowed: x with self-attention */
  #afterSelfAttention(y: tf.Tensor3D, memory: CrossAttentionKv, bias: readonly tf.Tensor[]): tf.Tensor3D {
    return tf.tidy(() => {
      const z = crossAttentionStep(this.#cross, y, memory, bias) ?? this.#withCrossAttention(y, memory, bias);
      const scale = this.config.scaleResiduals ? this.weight('w_resid') : undefined;
      const step = feedForwardStep(this.feedForwardNorm, this.feedForward, z, scale);
      if (step) return step;
      return (scale ? z.mul(scale) : z).add(this.feedForward.forward(this.feedForwardNorm.forward(z))) as tf.Tensor3D;
    });
  }

  #withCrossAttention(y: tf.Tensor3D, memory: CrossAttentionKv, bias: readonly tf.Tensor[]): tf.Tensor3D {
    const crossed = memory.attend(this.crossAttention, this.crossNorm.forward(y), bias);
    return y.add(this.crossOutputNorm?.forward(crossed) ?? crossed);
  }

  /**
   * As a tfjs layer.
   * @param x        [B, T, D]
   * @param others   encoder states [B, M, D], then biases of self-attention
   * @returns        [B, T, D], the caller's
   */
  forward(x: tf.Tensor3D, [states, ...bias]: readonly tf.Tensor[]): tf.Tensor3D {
    return this.forwardFrom(x, states as tf.Tensor3D, {self: bias, cross: []});
  }
}
tf.serialization.registerClass(DecoderLayer);

/**
 * The weights of the decoder, but for the tied embedding, which is the encoder's, and what each part computes.
 * `OfaDecoding` and `OfaScoring` run the layers and take the exits.
 */
export class OfaDecoder extends Block<OfaConfig> {
  static className = 'MueOfaDecoder';
  readonly #tokens: TiedEmbedding;
  readonly textNorm: LayerNorm;
  /**
   * Norm, positions and relative tables of image codes are loaded, as files hold them, but no task generates images.
   */
  readonly codeNorm: LayerNorm;
  readonly textPositionTable: Embedding;
  readonly imagePositionTable: Embedding;
  readonly textPositionNorm: LayerNorm;
  readonly imagePositionNorm: LayerNorm;
  readonly textRelative: readonly Embedding[];
  readonly imageRelative: readonly Embedding[];
  readonly selfPositionQueries: Linear;
  readonly selfPositionKeys: Linear;
  readonly crossPositionQueries: Linear;
  readonly crossPositionKeys: Linear;
  readonly layers: readonly DecoderLayer[];
  readonly norm: LayerNorm;

  constructor(config: OfaConfig, tokens: TiedEmbedding) {
    super(config);
    this.#tokens = tokens;
    const {d_model: size, decoder_attention_heads: heads, image_bucket_size: side} = config;
    const norm = (name: string): LayerNorm => this.child(name, new LayerNorm({size}));
    const table = (name: string, rows: number): Embedding => this.child(name, new Embedding({rows, size}));
    const linear = (name: string): Linear => this.child(name, new Linear({inputSize: size, units: size}));
    const each = <B extends Block>(name: string, make: () => B): B[] =>
      Array.from({length: config.decoder_layers}, (_, i) => this.child(`${name}.${i}`, make()));
    const relative = (kind: 'token' | 'image', rows: number): Embedding[] =>
      each(`${kind}_rel_pos_table_list`, () => new Embedding({rows, size: heads}));
    this.textNorm = norm('layernorm_embedding');
    this.codeNorm = norm('code_layernorm_embedding');
    this.textPositionTable = table('embed_positions', config.max_target_positions + 2);
    this.imagePositionTable = table('embed_image_positions', side ** 2 + 1);
    this.textPositionNorm = norm('pos_ln');
    this.imagePositionNorm = norm('image_pos_ln');
    this.textRelative = relative('token', 2 * config.token_bucket_size - 1);
    this.imageRelative = relative('image', (2 * side - 1) ** 2 + 3);
    this.selfPositionQueries = linear('self_pos_q_linear');
    this.selfPositionKeys = linear('self_pos_k_linear');
    this.crossPositionQueries = linear('cross_pos_q_linear');
    this.crossPositionKeys = linear('cross_pos_k_linear');
    this.layers = each('layers', () => new DecoderLayer(layerConfig(config, 'decoder')));
    this.norm = norm('layer_norm');
  }

  /**
   * Embedded tokens. Positions are never added; they act through biases alone.
   * @param ids   [R, T]
   * @returns     [R, T, D], the caller's
   */
  embed(ids: tf.Tensor2D): tf.Tensor3D {
    return tf.tidy(() => this.textNorm.forward(this.#tokens.forward(ids)));
  }

  /** Position vectors of the targets. @returns [1, T, D], the caller's */
  positions(length: number): tf.Tensor3D {
    return tf.tidy(() =>
      this.textPositionNorm.forward(this.textPositionTable.rows(0, length).expandDims(0) as tf.Tensor3D),
    );
  }

  /**
   * Content-free part of the self-attention bias, shared by all layers.
   * @param positions   [1, T, D]
   * @returns           [1, H, T, T], the caller's
   */
  selfAbsoluteBias(positions: tf.Tensor3D): tf.Tensor4D {
    return this.#absoluteBias(positions, positions, this.selfPositionQueries, this.selfPositionKeys);
  }

  /**
   * Self-attention bias of one layer, without causality.
   * @param absolute   [1, H, T, T], borrowed
   * @returns          [1, H, T, T], the caller's
   */
  selfBias(layer: number, absolute: tf.Tensor4D): tf.Tensor4D {
    return tf.tidy(() => {
      const {token_bucket_size, max_target_positions} = this.config;
      const length = absolute.shape[2];
      const buckets = tokenBuckets(length, token_bucket_size, max_target_positions);
      return absolute.add(relativeBias(this.textRelative[layer]!, buckets, length, length)) as tf.Tensor4D;
    });
  }

  /**
   * Cross-attention bias, shared by all layers.
   * @param positions          [1, T, D]
   * @param encoderPositions   [1, M, D], normed
   * @returns                  [1, H, T, M], the caller's
   */
  crossBias(positions: tf.Tensor3D, encoderPositions: tf.Tensor3D): tf.Tensor4D {
    return this.#absoluteBias(positions, encoderPositions, this.crossPositionQueries, this.crossPositionKeys);
  }

  #absoluteBias(from: tf.Tensor3D, to: tf.Tensor3D, queries: Linear, keys: Linear): tf.Tensor4D {
    const {decoder_attention_heads: heads, attn_scale_factor: scaleFactor} = this.config;
    return absoluteBias(from, to, queries, keys, heads, scaleFactor);
  }

  /**
   * Cross-attention keys and values of all layers, each made when its layer first runs.
   * @param states        encoder output [B, M, D], borrowed as long as the result lives
   * @param precomputed   a layer's keys and values for all images, where they need not be computed from the states
   */
  crossAttentionCache(states: tf.Tensor3D, precomputed?: (layer: number) => CrossAttentionKv): CrossAttentionCache {
    const make = (some: tf.Tensor3D, layer: number): CrossAttentionKv => this.layers[layer]!.crossKv(some);
    return new CrossAttentionCache(this.layers.length, states, {make, precomputed});
  }

  /**
   * Next-token logits.
   * @param x     [N, D], before the final norm
   * @param ids   compute only these token ids
   * @returns     [N, V] or [N, ids.length], the caller's
   */
  logits(x: tf.Tensor2D, ids?: readonly number[]): tf.Tensor2D {
    return tf.tidy(() => {
      const normed = this.norm.forward(x);
      return ids ? this.#tokens.projectOnto(normed, ids) : this.#tokens.project(normed);
    });
  }

  /** As a layer: token ids [B, T] to embedded tokens [B, T, D]. */
  forward(ids: tf.Tensor2D): tf.Tensor3D {
    return this.embed(ids);
  }
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.embed(asList(inputs)[0]!.toInt() as tf.Tensor2D);
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return [...shape, this.config.d_model];
  }
}
tf.serialization.registerClass(OfaDecoder);
