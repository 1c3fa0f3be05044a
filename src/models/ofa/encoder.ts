import * as tf from '@tensorflow/tfjs';
import {joined, shapeKey} from '../../runtime/joined.js';
import {Attention} from '../../nn/attention.js';
import {Block} from '../../nn/block.js';
import {Embedding, TiedEmbedding} from '../../nn/embedding.js';
import {FeedForward} from '../../nn/feed-forward.js';
import {LayerNorm} from '../../nn/layer-norm.js';
import {Linear} from '../../nn/linear.js';
import {type LayerConfig, layerConfig, type OfaConfig} from './config.js';
import {absoluteBias, imageBuckets, imagePositionIds, relativeBias, tokenBuckets} from './positions.js';
import {ResNet} from './resnet.js';

// B batch, h w feature map, P = h·w patches, S text tokens, T tokens of a stream, D width, H heads

const RESNET_CHANNELS = 1024;
const TYPE_TEXT = 0;
const TYPE_IMAGE = 1;

/** fairseq's attention registers its projections in this order, and files keep it. */
export const FILE_ORDER = ['k', 'v', 'q'] as const;

/**
 * Pre-norm self-attention and feed-forward, each branch normalised again before its residual (docs/reference/ofa-mue.md
 * 3.5).
 */
export class EncoderLayer extends Block<LayerConfig> {
  static className = 'MueOfaEncoderLayer';
  readonly attention: Attention;
  readonly attentionNorm: LayerNorm;
  readonly attentionOutputNorm: LayerNorm | undefined;
  readonly feedForward: FeedForward;
  readonly feedForwardNorm: LayerNorm;

  constructor(config: LayerConfig) {
    super(config);
    const {size, heads, hidden, scaleFactor, scaleHeads: headScale} = config;
    const norm = (name: string): LayerNorm => this.child(name, new LayerNorm({size}));
    const attention = new Attention({size, heads, scaleFactor, headScale, fileOrder: FILE_ORDER});
    this.attention = this.child('self_attn', attention);
    this.attentionNorm = norm('self_attn_layer_norm');
    this.attentionOutputNorm = config.scaleAttention ? norm('attn_ln') : undefined;
    this.feedForward = this.child('', new FeedForward({size, hidden, innerNorm: config.scaleFeedForward}));
    this.feedForwardNorm = norm('final_layer_norm');
    if (config.scaleResiduals) this.declare('w_resid', [size], {initializer: tf.initializers.ones()});
  }

  /**
   * @param x      [B, T, D], borrowed
   * @param bias   added to the attention scores, each broadcast to [B, H, T, T]
   * @returns      [B, T, D], the caller's
   */
  forward(x: tf.Tensor3D, bias: readonly tf.Tensor[] = []): tf.Tensor3D {
    const inputs = [x, ...bias];
    const [next] = joined(this, `forward ${shapeKey(inputs, [0])}`, inputs, () => {
      const attended = this.attention.forward(this.attentionNorm.forward(x), bias);
      const y = x.add(this.attentionOutputNorm?.forward(attended) ?? attended) as tf.Tensor3D;
      const residual = this.config.scaleResiduals ? y.mul(this.weight('w_resid')) : y;
      return [residual.add(this.feedForward.forward(this.feedForwardNorm.forward(y))) as tf.Tensor3D];
    });
    return next;
  }
}
tf.serialization.registerClass(EncoderLayer);

/** The weights of the encoder and what each part computes. `OfaEncoding` runs the parts and takes the exits. */
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
  readonly textRelative: readonly Embedding[];
  readonly imageRelative: readonly Embedding[];
  readonly positionQueries: Linear;
  readonly positionKeys: Linear;
  readonly layers: readonly EncoderLayer[];
  readonly norm: LayerNorm;

  /** @param unfolded keeps batch norms apart, so that they can be trained */
  constructor(config: OfaConfig, unfolded = false) {
    super(config);
    const {d_model: size, encoder_attention_heads: heads, image_bucket_size: side} = config;
    const norm = (name: string): LayerNorm => this.child(name, new LayerNorm({size}));
    const table = (name: string, rows: number): Embedding => this.child(name, new Embedding({rows, size}));
    const linear = (name: string, inputSize: number): Linear => this.child(name, new Linear({inputSize, units: size}));
    const each = <B extends Block>(name: string, make: () => B): B[] =>
      Array.from({length: config.encoder_layers}, (_, i) => this.child(`${name}.${i}`, make()));
    const relative = (kind: 'token' | 'image', rows: number): Embedding[] =>
      each(`${kind}_rel_pos_table_list`, () => new Embedding({rows, size: heads}));
    this.tokens = this.child('embed_tokens', new TiedEmbedding({rows: config.vocab_size, size}));
    this.tokenNorm = norm('layernorm_embedding');
    this.types = table('type_embedding', 2);
    const resnet = new ResNet({blocks: config.resnet_layers, epsilon: config.batch_norm_epsilon, unfolded});
    this.resnet = this.child('embed_images', resnet);
    this.patchProjection = linear('image_proj', RESNET_CHANNELS);
    this.patchNorm = norm('patch_layernorm_embedding');
    // Two rows more than positions: fairseq's offset for padding, which this model does not use.
    this.textPositionTable = table('embed_positions', config.max_source_positions + 2);
    this.imagePositionTable = table('embed_image_positions', side ** 2 + 1);
    this.textPositionNorm = norm('pos_ln');
    this.imagePositionNorm = norm('image_pos_ln');
    this.textRelative = relative('token', 2 * config.token_bucket_size - 1);
    this.imageRelative = relative('image', (2 * side - 1) ** 2 + 3);
    this.positionQueries = linear('pos_q_linear', size);
    this.positionKeys = linear('pos_k_linear', size);
    this.layers = each('layers', () => new EncoderLayer(layerConfig(config, 'encoder')));
    this.norm = norm('layer_norm');
  }

  /**
   * Patches of feature maps, row by row.
   * @param features   [B, h, w, 1024]
   * @returns          [B, P, D], the caller's
   */
  embedPatches(features: tf.Tensor4D): tf.Tensor3D {
    return tf.tidy(() => {
      const [b, h, w, c] = features.shape;
      const patches = this.patchProjection.forward(features.reshape([b, h * w, c]) as tf.Tensor3D);
      return this.patchNorm.forward(patches.add(this.types.rows(TYPE_IMAGE, 1)) as tf.Tensor3D);
    });
  }

  /**
   * @param ids   [B, S]
   * @returns     [B, S, D], the caller's; padding not yet zeroed
   */
  embedTokens(ids: tf.Tensor2D): tf.Tensor3D {
    return tf.tidy(() =>
      this.tokenNorm.forward(this.tokens.forward(ids).add(this.types.rows(TYPE_TEXT, 1)) as tf.Tensor3D),
    );
  }

  /** Position vectors of a feature map, on the 42-wide grid whatever its size. @returns [1, P, D], the caller's */
  imagePositions(height: number, width: number): tf.Tensor3D {
    return tf.tidy(() => {
      const ids = tf.tensor1d(imagePositionIds(height, width, this.config.image_bucket_size), 'int32');
      return this.imagePositionNorm.forward(this.imagePositionTable.forward(ids).expandDims(0) as tf.Tensor3D);
    });
  }

  /** Position vectors of a text; no offset for padding. @returns [1, S, D], the caller's */
  textPositions(length: number): tf.Tensor3D {
    return tf.tidy(() =>
      this.textPositionNorm.forward(this.textPositionTable.rows(0, length).expandDims(0) as tf.Tensor3D),
    );
  }

  /**
   * Content-free attention bias of a stream, shared by all layers.
   * @param positions   [1, T, D]
   * @returns           [1, H, T, T], the caller's
   */
  absoluteBias(positions: tf.Tensor3D): tf.Tensor4D {
    const {encoder_attention_heads: heads, attn_scale_factor: scaleFactor} = this.config;
    return absoluteBias(positions, positions, this.positionQueries, this.positionKeys, heads, scaleFactor);
  }

  /** Relative bias of one layer's text. @returns [1, H, S, S], the caller's */
  textRelativeBias(layer: number, length: number): tf.Tensor4D {
    const {token_bucket_size, max_source_positions} = this.config;
    const buckets = tokenBuckets(length, token_bucket_size, max_source_positions);
    return relativeBias(this.textRelative[layer]!, buckets, length, length);
  }

  /** Rows of the image tables for all pairs of patches, [P · P]; the same for every layer. */
  imageBuckets(height: number, width: number): Int32Array {
    const grid = this.config.image_bucket_size;
    return imageBuckets(imagePositionIds(height, width, grid), grid);
  }

  /**
   * Relative bias of one layer's image.
   * @param buckets   of the same size, where they are at hand
   * @returns         [1, H, P, P], the caller's
   */
  imageRelativeBias(
    layer: number,
    height: number,
    width: number,
    buckets: Int32Array = this.imageBuckets(height, width),
  ): tf.Tensor4D {
    return relativeBias(this.imageRelative[layer]!, buckets, height * width, height * width);
  }

  /** As a layer: pixels [B, h, w, 3] to embedded patches [B, P, D], the caller's. */
  forward(pixels: tf.Tensor4D): tf.Tensor3D {
    return tf.tidy(() => this.embedPatches(this.resnet.forward(pixels)));
  }

  override computeOutputShape(shape: tf.Shape): tf.Shape {
    const [b, h, w] = this.resnet.computeOutputShape(shape);
    return [b ?? null, h == null || w == null ? null : h * w, this.config.d_model];
  }
}
tf.serialization.registerClass(OfaEncoder);
