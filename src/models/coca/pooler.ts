import * as tf from '@tensorflow/tfjs';
import {Attention} from '../../nn/attention.js';
import {asList, Block} from '../../nn/block.js';
import {splitHeads} from '../../nn/heads.js';
import {LayerNorm} from '../../nn/layer-norm.js';

// B images, M tokens of the image tower, D its width, Q queries, d text width, H heads

export interface PoolerConfig {
  readonly queries: number;
  readonly heads: number;
  readonly size: number;
  readonly memorySize: number;
}

/**
 * Learned queries that attend to the image tower's tokens; no residual, no feed-forward (docs/reference/coca.md 2.2).
 */
export class AttentionalPooler extends Block<PoolerConfig> {
  static className = 'MueCocaAttentionalPooler';
  readonly attention: Attention;
  readonly queryNorm: LayerNorm;
  readonly keyNorm: LayerNorm;

  constructor(config: PoolerConfig) {
    super(config);
    const {queries, heads, size, memorySize} = config;
    this.declare('query', [queries, size], {initializer: tf.initializers.randomNormal({stddev: 1})});
    this.attention = this.child('attn', new Attention({size, heads, memorySize, scaleFactor: 1, headScale: false}));
    this.queryNorm = this.child('ln_q', new LayerNorm({size}));
    this.keyNorm = this.child('ln_k', new LayerNorm({size: memorySize}));
  }

  /** The query side, the same for every image. @returns [1, H, Q, d/H], the caller's */
  queries(): tf.Tensor4D {
    return tf.tidy(() => {
      const normed = this.queryNorm.forward(this.weight<tf.Tensor2D>('query')).expandDims(0) as tf.Tensor3D;
      return splitHeads(this.attention.queries(normed), this.config.heads);
    });
  }

  /**
   * @param x         state of the image tower [B, M, D], of any depth: its norm takes every scale
   * @param queries   the result of `queries`, all or the first few, which do not see each other; borrowed
   * @returns         [B, Q, d], the caller's
   */
  forward(x: tf.Tensor3D, queries: tf.Tensor4D): tf.Tensor3D {
    return tf.tidy(() => {
      const {keys, values} = this.attention.keysValues(this.keyNorm.forward(x));
      const images = x.shape[0];
      const every = images > 1 ? tf.tile(queries, [images, 1, 1, 1]) : queries;
      return this.attention.project(this.attention.attend(every, keys, values, []));
    });
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => this.forward(asList(inputs)[0] as tf.Tensor3D, this.queries()));
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return [shape[0] ?? null, this.config.queries, this.config.size];
  }
}
tf.serialization.registerClass(AttentionalPooler);
