import * as tf from '@tensorflow/tfjs';
import {Attention, type KeysValues} from '../../nn/attention.js';
import {Block, input} from '../../nn/block.js';
import {CrossAttentionCache, CrossAttentionKv, type MemoryMaker} from '../../nn/cross-attention-cache.js';
import {Embedding, type TiedEmbedding} from '../../nn/embedding.js';
import {FeedForward} from '../../nn/feed-forward.js';
import {splitHeads} from '../../nn/heads.js';
import {type PartialRows, attendCached, growCache, type KvCache} from '../../nn/kv-cache.js';
import {LayerNorm} from '../../nn/layer-norm.js';
import {Linear} from '../../nn/linear.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {OfaConfig} from './config.js';
import {type LayerConfig, layerConfig} from './encoder.js';
import {absoluteBias, codePositionIds, imageBuckets, relativeBias, tokenBuckets} from './positions.js';

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
    this.feedForward = this.child(
      '',
      new FeedForward({size, hidden: config.hidden, innerNorm: config.scaleFeedForward}),
      'feed_forward',
    );
    this.feedForwardNorm = norm('final_layer_norm');
    if (config.scaleResiduals) this.declare('w_resid', [size], tf.initializers.ones());
  }

  /** What this layer's cross-attention reads. @param states encoder output [B, M, D]. */
  remember(states: tf.Tensor3D): CrossAttentionKv {
    return CrossAttentionKv.from(this.crossAttention.keysValues(states));
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
    memory: CrossAttentionKv,
    bias: (keys: number) => DecoderBias,
    padded?: readonly (readonly boolean[])[],
    among?: PartialRows,
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

  #attendMemory(x: tf.Tensor3D, memory: CrossAttentionKv, bias: readonly tf.Tensor[]): tf.Tensor3D {
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

// R rows, T target positions, M encoder length, D width, H heads

/** What the decoder writes: words, or the codes of a picture, which have their own positions and norm (ofa_mue section 4). */
export type Target = 'text' | 'code';

/** Everything of the decoder that has weights but the tied embedding, which is the encoder's. */
export class OfaDecoder extends Block<OfaConfig> {
  static className = 'MueOfaDecoder';
  readonly #tokens: TiedEmbedding;
  readonly textNorm: LayerNorm;
  readonly codeNorm: LayerNorm;
  readonly textPositionTable: Embedding;
  readonly imagePositionTable: Embedding;
  readonly textPositionNorm: LayerNorm;
  readonly imagePositionNorm: LayerNorm;
  readonly selfPositionQueries: Linear;
  readonly selfPositionKeys: Linear;
  readonly crossPositionQueries: Linear;
  readonly crossPositionKeys: Linear;
  readonly layers: readonly DecoderLayer[];
  readonly textRelative: readonly Embedding[];
  readonly imageRelative: readonly Embedding[];
  readonly norm: LayerNorm;

  constructor(config: OfaConfig, tokens: TiedEmbedding) {
    super(config);
    this.#tokens = tokens;
    const size = config.d_model;
    const heads = config.decoder_attention_heads;
    const norm = (name: string): LayerNorm => this.child(name, new LayerNorm({size}));
    const square = (name: string): Linear => this.child(name, new Linear({inputSize: size, units: size}));
    const each = <B extends Block>(name: string, make: () => B): B[] =>
      Array.from({length: config.decoder_layers}, (_, i) => this.child(`${name}.${i}`, make()));
    this.textNorm = norm('layernorm_embedding');
    this.codeNorm = norm('code_layernorm_embedding');
    this.textPositionTable = this.child(
      'embed_positions',
      new Embedding({rows: config.max_target_positions + 2, size}),
    );
    this.imagePositionTable = this.child(
      'embed_image_positions',
      new Embedding({rows: config.image_bucket_size ** 2 + 1, size}),
    );
    this.textPositionNorm = norm('pos_ln');
    this.imagePositionNorm = norm('image_pos_ln');
    this.selfPositionQueries = square('self_pos_q_linear');
    this.selfPositionKeys = square('self_pos_k_linear');
    this.crossPositionQueries = square('cross_pos_q_linear');
    this.crossPositionKeys = square('cross_pos_k_linear');
    this.layers = each('layers', () => new DecoderLayer(layerConfig(config, 'decoder')));
    this.textRelative = each(
      'token_rel_pos_table_list',
      () => new Embedding({rows: 2 * config.token_bucket_size - 1, size: heads}),
    );
    this.imageRelative = each(
      'image_rel_pos_table_list',
      () => new Embedding({rows: (2 * config.image_bucket_size - 1) ** 2 + 3, size: heads}),
    );
    this.norm = norm('layer_norm');
  }

  /** @param ids [R, T]. @returns [R, T, D], the caller's. Positions are never added; they act through biases alone. */
  embed(ids: tf.Tensor2D, target: Target = 'text'): tf.Tensor3D {
    return tf.tidy(() => (target === 'code' ? this.codeNorm : this.textNorm).forward(this.#tokens.forward(ids)));
  }

  /** Position vectors of the target. @returns [1, T, D], the caller's. */
  positions(length: number, target: Target = 'text'): tf.Tensor3D {
    return tf.tidy(() =>
      target === 'code'
        ? this.imagePositionNorm.forward(
            this.imagePositionTable.forward(tf.tensor1d(this.#codeIds(length), 'int32')).expandDims(0) as tf.Tensor3D,
          )
        : this.textPositionNorm.forward(this.textPositionTable.rows(0, length).expandDims(0) as tf.Tensor3D),
    );
  }

  #codeIds(length: number): Int32Array {
    return codePositionIds(this.config.code_image_size / 8, this.config.image_bucket_size, length);
  }

  /** Self-attention bias of one layer, without causality. @param positions [1, T, D]. @returns [1, H, T, T], the caller's. */
  selfBias(layer: number, absolute: tf.Tensor4D, target: Target = 'text'): tf.Tensor4D {
    return tf.tidy(() => {
      const {token_bucket_size, max_target_positions, image_bucket_size} = this.config;
      const length = absolute.shape[2];
      const relative =
        target === 'code'
          ? relativeBias(
              this.imageRelative[layer]!,
              imageBuckets(this.#codeIds(length), image_bucket_size),
              length,
              length,
            )
          : relativeBias(
              this.textRelative[layer]!,
              tokenBuckets(length, token_bucket_size, max_target_positions),
              length,
              length,
            );
      return absolute.add(relative) as tf.Tensor4D;
    });
  }

  /** @param positions [1, T, D]. @returns [1, H, T, T], the caller's; shared by all layers. */
  selfAbsoluteBias(positions: tf.Tensor3D): tf.Tensor4D {
    return absoluteBias(
      positions,
      positions,
      this.selfPositionQueries,
      this.selfPositionKeys,
      this.config.decoder_attention_heads,
      this.config.attn_scale_factor,
    );
  }

  /** @param positions [1, T, D]. @param encoderPositions [1, M, D], normed. @returns [1, H, T, M], the caller's; shared by all layers. */
  crossBias(positions: tf.Tensor3D, encoderPositions: tf.Tensor3D): tf.Tensor4D {
    return absoluteBias(
      positions,
      encoderPositions,
      this.crossPositionQueries,
      this.crossPositionKeys,
      this.config.decoder_attention_heads,
      this.config.attn_scale_factor,
    );
  }

  /** What cross-attention reads, layer by layer. @param states encoder output [B, M, D], borrowed as long as the result lives */
  memories(states: tf.Tensor3D, remember?: MemoryMaker['remember']): CrossAttentionCache {
    return new CrossAttentionCache(this.layers.length, states, {
      make: (some, layer) => this.layers[layer]!.remember(some),
      remember,
    });
  }

  /** Scores of the next word. @param x [N, D], not yet normed. @param ids only these words. @returns [N, V or ids], the caller's. */
  logits(x: tf.Tensor2D, ids?: readonly number[]): tf.Tensor2D {
    return tf.tidy(() => {
      const normed = this.norm.forward(x);
      return ids ? this.#tokens.projectOnto(normed, ids) : this.#tokens.project(normed);
    });
  }

  /** As a layer: token ids [B, T] to embedded tokens [B, T, D]. */
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.embed(input(inputs).toInt() as tf.Tensor2D);
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return [...shape, this.config.d_model];
  }
}
tf.serialization.registerClass(OfaDecoder);
