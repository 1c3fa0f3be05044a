import * as tf from '@tensorflow/tfjs';
import {Block} from '../../nn/block.js';
import {LayerNorm} from '../../nn/layer-norm.js';
import {Projection} from '../../nn/linear.js';
import {type CocaConfig, patchGrid} from './config.js';
import {AttentionalPooler} from './pooler.js';
import {ResidualBlock} from './residual-block.js';

// B images, p patch side, N patches, D width, Q pooler queries, d text width, S image tokens, e embedding width

/** The weights of the image tower and what each part computes. `CocaEncoding` runs the layers and takes the exits. */
export class CocaVision extends Block<CocaConfig> {
  static className = 'MueCocaVision';
  readonly norm: LayerNorm;
  readonly layers: readonly ResidualBlock[];
  readonly pooler: AttentionalPooler | undefined;
  readonly outputNorm: LayerNorm;
  readonly projection: Projection;

  constructor(config: CocaConfig) {
    super(config);
    const {vision, text, embed_dim} = config;
    const {width: size, patch_size: side, heads, mlp_width: hidden} = vision;
    const random = tf.initializers.randomNormal({stddev: size ** -0.5});
    this.declare('class_embedding', [size], {initializer: random});
    this.declare('positional_embedding', [patchGrid(config) ** 2 + 1, size], {initializer: random});
    this.declare('conv1.weight', [side, side, 3, size], {
      initializer: tf.initializers.glorotUniform({}),
      layout: 'conv',
    });
    this.norm = this.child('ln_pre', new LayerNorm({size}));
    const block = {size, heads, hidden, activation: config.activation, cross: false};
    this.layers = Array.from({length: vision.layers}, (_, i) =>
      this.child(`transformer.resblocks.${i}`, new ResidualBlock(block)),
    );
    this.pooler = vision.pooler
      ? this.child('attn_pool', new AttentionalPooler({...vision.pooler, size: text.width, memorySize: size}))
      : undefined;
    const outputs = vision.pooler ? text.width : size;
    this.outputNorm = this.child('ln_post', new LayerNorm({size: outputs}));
    this.projection = this.child('', new Projection({inputSize: outputs, units: embed_dim, weight: 'proj'}));
  }

  /**
   * State 0.
   * @param pixels   normalised [B, h, w, 3]
   * @returns        [B, N + 1, D], class token first; the caller's
   */
  embed(pixels: tf.Tensor4D): tf.Tensor3D {
    return tf.tidy(() => {
      const {patch_size: side, width} = this.config.vision;
      const patches = tf.conv2d(pixels, this.weight<tf.Tensor4D>('conv1.weight'), side, 'valid');
      const [b, h, w] = patches.shape;
      const first = tf.tile(this.weight('class_embedding').reshape([1, 1, width]), [b, 1, 1]);
      const tokens = tf.concat([first, patches.reshape([b, h * w, width])], 1);
      return this.norm.forward(tokens.add(this.weight('positional_embedding')) as tf.Tensor3D);
    });
  }

  /**
   * The pooler and its norm, or the norm alone where there is no pooler.
   * @param queries   of the pooler, all or the first few
   * @returns         [B, Q or N + 1, d], the caller's
   */
  pool(x: tf.Tensor3D, queries: tf.Tensor4D | undefined): tf.Tensor3D {
    return tf.tidy(() => this.outputNorm.forward(this.pooler && queries ? this.pooler.forward(x, queries) : x));
  }

  /**
   * The embedding, from the first pooled token.
   * @param pooled   [B, ≥ 1, d]
   * @returns        [B, e], not of unit length; the caller's
   */
  embedding(pooled: tf.Tensor3D): tf.Tensor2D {
    return tf.tidy(() => this.projection.forward(tf.slice(pooled, [0, 0, 0], [-1, 1, -1]).squeeze([1]) as tf.Tensor2D));
  }

  /** Image tokens, which the decoder reads: all pooled tokens but the first. @returns [B, S, d], the caller's */
  imageTokens(pooled: tf.Tensor3D): tf.Tensor3D {
    return tf.slice(pooled, [0, 1, 0], [-1, -1, -1]);
  }

  /** As a layer: pixels [B, h, w, 3] to state 0, the caller's. */
  forward(pixels: tf.Tensor4D): tf.Tensor3D {
    return this.embed(pixels);
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return [shape[0] ?? null, patchGrid(this.config) ** 2 + 1, this.config.vision.width];
  }
}
tf.serialization.registerClass(CocaVision);
