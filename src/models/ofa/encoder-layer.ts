import * as tf from '@tensorflow/tfjs';
import {Attention} from '../../nn/attention.js';
import {Block, input} from '../../nn/block.js';
import {FeedForward} from '../../nn/feed-forward.js';
import {LayerNorm} from '../../nn/layer-norm.js';

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
    this.feedForward = this.child('', new FeedForward({size, hidden: config.hidden, innerNorm: config.scaleFeedForward}), 'feed_forward');
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
