import * as tf from '@tensorflow/tfjs';
import {Block, input} from '../../nn/block.js';
import {LayerNorm} from '../../nn/layer-norm.js';
import {Projection} from '../../nn/linear.js';
import {CrossAttentionCache} from '../../nn/cross-attention-cache.js';
import type {CocaConfig} from './config.js';
import {ResidualBlock} from './residual-block.js';

// R rows, T tokens, d width, V words

/** One layer for exits: a block over the text, then one that looks at the picture. */
export interface MultimodalLayer {
  readonly self: ResidualBlock;
  readonly cross: ResidualBlock;
}

/** The multimodal half of the text decoder: everything of it that has weights (coca section 2.4). */
export class CocaMultimodal extends Block<CocaConfig> {
  static className = 'MueCocaMultimodal';
  readonly layers: readonly MultimodalLayer[];
  readonly norm: LayerNorm;
  readonly head: Projection;

  constructor(config: CocaConfig) {
    super(config);
    const {width: size, vocab_size} = config.text;
    const {layers, heads, mlp_width: hidden} = config.multimodal;
    const block = (name: string, cross: boolean): ResidualBlock =>
      this.child(name, new ResidualBlock({size, heads, hidden, activation: config.activation, cross}));
    this.layers = Array.from({length: layers}, (_, i) => ({
      self: block(`resblocks.${i}`, false),
      cross: block(`cross_attn.${i}`, true),
    }));
    this.norm = this.child('ln_final', new LayerNorm({size}));
    this.head = this.child('', new Projection({inputSize: size, units: vocab_size, weight: 'text_projection'}), 'head');
  }

  /** What the cross blocks read, layer by layer. @param tokens of the pictures [B, S, d], borrowed as long as the result lives */
  memories(tokens: tf.Tensor3D): CrossAttentionCache {
    return new CrossAttentionCache(this.layers.length, tokens, {
      make: (some, layer) => this.layers[layer]!.cross.remember(some),
    });
  }

  /** Scores of the next word. @param x [N, d], not yet normed. @param words only these. @returns [N, V or words], the caller's. */
  logits(x: tf.Tensor2D, words?: readonly number[]): tf.Tensor2D {
    return tf.tidy(() => this.head.forward(this.norm.forward(x), words));
  }

  /** As a layer: states [R, T, d] to scores of the next words [R, T, V]. */
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = input<tf.Tensor3D>(inputs);
      const [r, t, d] = x.shape;
      return this.logits(x.reshape([r * t, d]) as tf.Tensor2D).reshape([r, t, -1]);
    });
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return [...shape.slice(0, -1), this.config.text.vocab_size];
  }
}
tf.serialization.registerClass(CocaMultimodal);
