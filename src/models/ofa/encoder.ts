import * as tf from '@tensorflow/tfjs';
import {Attention} from '../../nn/attention.js';
import {Block, input} from '../../nn/block.js';
import {Embedding, TiedEmbedding} from '../../nn/embedding.js';
import {FeedForward} from '../../nn/feed-forward.js';
import {LayerNorm} from '../../nn/layer-norm.js';
import {Linear} from '../../nn/linear.js';
import type {OfaConfig} from './config.js';
import {absoluteBias, imageBuckets, imagePositionIds, relativeBias, tokenBuckets} from './positions.js';
import {ResNet} from './resnet.js';

/** What a transformer layer of OFA is built from, encoder and decoder alike. */
export interface LayerConfig {
  readonly size: number;
  readonly heads: number;
  readonly hidden: number;
  readonly scaleFactor: number;
  readonly scaleAttention: boolean;
  readonly scaleFeedForward: boolean;
  readonly scaleHeads: boolean;
  readonly scaleResiduals: boolean;
}

/** Pre-norm self-attention and feed-forward, each branch normalised again before its residual (ofa_mue section 3.5). */
export class EncoderLayer extends Block<LayerConfig> {
  static className = 'MueOfaEncoderLayer';
  readonly attention: Attention;
  readonly attentionNorm: LayerNorm;
  readonly attentionOutputNorm: LayerNorm | undefined;
  readonly feedForward: FeedForward;
  readonly feedForwardNorm: LayerNorm;

  constructor(config: LayerConfig) {
    super(config);
    const {size, heads, scaleFactor} = config;
    this.attention = this.child('self_attn', new Attention({size, heads, scaleFactor, headScale: config.scaleHeads}));
    this.attentionNorm = this.child('self_attn_layer_norm', new LayerNorm({size}));
    this.attentionOutputNorm = config.scaleAttention ? this.child('attn_ln', new LayerNorm({size})) : undefined;
    this.feedForward = this.child(
      '',
      new FeedForward({size, hidden: config.hidden, innerNorm: config.scaleFeedForward}),
      'feed_forward',
    );
    this.feedForwardNorm = this.child('final_layer_norm', new LayerNorm({size}));
    if (config.scaleResiduals) this.declare('w_resid', [size], tf.initializers.ones());
  }

  /**
   * @param x [B, T, D], borrowed
   * @param bias added to the attention scores, each broadcast to [B, H, T, T]
   * @returns [B, T, D], the caller's
   */
  forward(x: tf.Tensor3D, bias: readonly tf.Tensor[]): tf.Tensor3D {
    return tf.tidy(() => {
      const attended = this.attention.forward(this.attentionNorm.forward(x), bias);
      const y = x.add(this.attentionOutputNorm?.forward(attended) ?? attended) as tf.Tensor3D;
      const residual = this.config.scaleResiduals ? y.mul(this.weight('w_resid')) : y;
      return residual.add(this.feedForward.forward(this.feedForwardNorm.forward(y))) as tf.Tensor3D;
    });
  }

  /** @param inputs x [B, T, D], then any biases. */
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.forward(input(inputs), Array.isArray(inputs) ? inputs.slice(1) : []);
  }
  override computeOutputShape(shape: tf.Shape | tf.Shape[]): tf.Shape {
    return (Array.isArray(shape[0]) ? shape[0] : shape) as tf.Shape;
  }
}
tf.serialization.registerClass(EncoderLayer);

// B batch, h w feature map, P = h·w patches, S text tokens, D width, H heads

const RESNET_CHANNELS = 1024;
const TYPE_TEXT = 0;
const TYPE_IMAGE = 1;

/** Everything of the encoder that has weights; the order in which layers run, and when they stop, is the model's. */
export class OfaEncoder extends Block<OfaConfig> {
  static className = 'MueOfaEncoder';
  readonly tokens: TiedEmbedding;
  readonly tokenNorm: LayerNorm;
  readonly types: Embedding;
  readonly resnet: ResNet;
  readonly patchProjection: Linear;
  readonly patchNorm: LayerNorm;
  readonly textPositionTable: Embedding;
  readonly imagePositionTable: Embedding;
  readonly textPositionNorm: LayerNorm;
  readonly imagePositionNorm: LayerNorm;
  readonly positionQueries: Linear;
  readonly positionKeys: Linear;
  readonly layers: readonly EncoderLayer[];
  readonly textRelative: readonly Embedding[];
  readonly imageRelative: readonly Embedding[];
  readonly norm: LayerNorm;

  constructor(config: OfaConfig) {
    super(config);
    const size = config.d_model;
    const heads = config.encoder_attention_heads;
    const norm = (name: string): LayerNorm => this.child(name, new LayerNorm({size}));
    const each = <B extends Block>(name: string, make: () => B): B[] =>
      Array.from({length: config.encoder_layers}, (_, i) => this.child(`${name}.${i}`, make()));
    this.tokens = this.child('embed_tokens', new TiedEmbedding({rows: config.vocab_size, size}));
    this.tokenNorm = norm('layernorm_embedding');
    this.types = this.child('type_embedding', new Embedding({rows: 2, size}));
    this.resnet = this.child(
      'embed_images',
      new ResNet({blocks: config.resnet_layers, epsilon: config.batch_norm_epsilon}),
    );
    this.patchProjection = this.child('image_proj', new Linear({inputSize: RESNET_CHANNELS, units: size}));
    this.patchNorm = norm('patch_layernorm_embedding');
    this.textPositionTable = this.child(
      'embed_positions',
      new Embedding({rows: config.max_source_positions + 2, size}),
    );
    this.imagePositionTable = this.child(
      'embed_image_positions',
      new Embedding({rows: config.image_bucket_size ** 2 + 1, size}),
    );
    this.textPositionNorm = norm('pos_ln');
    this.imagePositionNorm = norm('image_pos_ln');
    this.positionQueries = this.child('pos_q_linear', new Linear({inputSize: size, units: size}));
    this.positionKeys = this.child('pos_k_linear', new Linear({inputSize: size, units: size}));
    this.layers = each('layers', () => new EncoderLayer(layerConfig(config, 'encoder')));
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

  /** Patches of feature maps, row by row. @param features [B, h, w, 1024]. @returns [B, P, D], the caller's. */
  embedPatches(features: tf.Tensor4D): tf.Tensor3D {
    return tf.tidy(() => {
      const [b, h, w, c] = features.shape;
      const patches = this.patchProjection.forward(features.reshape([b, h * w, c]) as tf.Tensor3D);
      return this.patchNorm.forward(patches.add(this.types.rows(TYPE_IMAGE, 1)) as tf.Tensor3D);
    });
  }

  /** @param ids [B, S]. @returns [B, S, D], the caller's; padding not yet zeroed. */
  embedTokens(ids: tf.Tensor2D): tf.Tensor3D {
    return tf.tidy(() =>
      this.tokenNorm.forward(this.tokens.forward(ids).add(this.types.rows(TYPE_TEXT, 1)) as tf.Tensor3D),
    );
  }

  /** Position vectors of a feature map, on the 42-wide grid whatever its size. @returns [1, P, D], the caller's. */
  imagePositions(height: number, width: number): tf.Tensor3D {
    return tf.tidy(() => {
      const ids = tf.tensor1d(imagePositionIds(height, width, this.config.image_bucket_size), 'int32');
      return this.imagePositionNorm.forward(this.imagePositionTable.forward(ids).expandDims(0) as tf.Tensor3D);
    });
  }

  /** Position vectors of a text; no offset for padding. @returns [1, S, D], the caller's. */
  textPositions(length: number): tf.Tensor3D {
    return tf.tidy(() =>
      this.textPositionNorm.forward(this.textPositionTable.rows(0, length).expandDims(0) as tf.Tensor3D),
    );
  }

  /** @param positions [1, N, D]. @returns [1, H, N, N], the caller's; one for all layers. */
  absoluteBias(positions: tf.Tensor3D): tf.Tensor4D {
    return absoluteBias(
      positions,
      positions,
      this.positionQueries,
      this.positionKeys,
      this.config.encoder_attention_heads,
      this.config.attn_scale_factor,
    );
  }

  /** @returns [1, H, S, S], the caller's. */
  textRelativeBias(layer: number, length: number): tf.Tensor4D {
    const {token_bucket_size, max_source_positions} = this.config;
    return relativeBias(
      this.textRelative[layer]!,
      tokenBuckets(length, token_bucket_size, max_source_positions),
      length,
      length,
    );
  }

  /** Rows of the image tables for all pairs of patches, [P · P]; the same for every layer. */
  imageBuckets(height: number, width: number): Int32Array {
    const grid = this.config.image_bucket_size;
    return imageBuckets(imagePositionIds(height, width, grid), grid);
  }

  /** @param buckets of the same size, where they are at hand. @returns [1, H, P, P], the caller's. */
  imageRelativeBias(
    layer: number,
    height: number,
    width: number,
    buckets: Int32Array = this.imageBuckets(height, width),
  ): tf.Tensor4D {
    return relativeBias(this.imageRelative[layer]!, buckets, height * width, height * width);
  }

  /** As a layer: pixels [B, h, w, 3] to embedded patches [B, P, D]. */
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => this.embedPatches(this.resnet.forward(input(inputs))));
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    const [b, h, w] = this.resnet.computeOutputShape(shape);
    return [b ?? null, h == null || w == null ? null : h * w, this.config.d_model];
  }
}
tf.serialization.registerClass(OfaEncoder);

/** The layer sizes and flags of one side of the model. */
export function layerConfig(
  config: OfaConfig,
  side: 'encoder' | 'decoder',
): ConstructorParameters<typeof EncoderLayer>[0] {
  return {
    size: config.d_model,
    heads: config[`${side}_attention_heads`],
    hidden: config[`${side}_ffn_dim`],
    scaleFactor: config.attn_scale_factor,
    scaleAttention: config.scale_attn,
    scaleFeedForward: config.scale_fc,
    scaleHeads: config.scale_heads,
    scaleResiduals: config.scale_resids,
  };
}
