import * as tf from '@tensorflow/tfjs';
import {Block} from '../../nn/block.js';
import {LayerNorm} from '../../nn/layer-norm.js';
import {Projection} from '../../nn/linear.js';
import {CrossAttentionCache} from '../../nn/cross-attention-cache.js';
import type {CocaConfig} from './config.js';
import {ResidualBlock} from './residual-block.js';
import type {CocaText} from './text.js';

// R rows, T tokens, d width, V words

/** One layer, as exits count them: a block over the text, then one that looks at the image. */
export interface MultimodalLayer {
  readonly self: ResidualBlock;
  readonly cross: ResidualBlock;
}

/** The weights of the multimodal half of the text decoder, and what each part computes (docs/reference/coca.md 2.4). */
export class CocaMultimodal extends Block<CocaConfig> {
  static className = 'MueCocaMultimodal';
  readonly layers: readonly MultimodalLayer[];
  readonly norm: LayerNorm;
  readonly head: Projection;

  constructor(config: CocaConfig) {
    super(config);
    const {width: size, vocab_size} = config.text;
    const {layers, heads, mlp_width: hidden} = config.multimodal;
    const blocks = (name: string, cross: boolean): ResidualBlock[] =>
      Array.from({length: layers}, (_, i) =>
        this.child(`${name}.${i}`, new ResidualBlock({size, heads, hidden, activation: config.activation, cross})),
      );
    const self = blocks('resblocks', false);
    const cross = blocks('cross_attn', true);
    this.layers = self.map((block, i) => ({self: block, cross: cross[i]!}));
    this.norm = this.child('ln_final', new LayerNorm({size}));
    this.head = this.child('', new Projection({inputSize: size, units: vocab_size, weight: 'text_projection'}));
  }

  /**
   * Keys and values of the cross blocks, each made when its layer first runs.
   * @param tokens   image tokens [B, S, d], borrowed as long as the result lives
   */
  crossAttentionCache(tokens: tf.Tensor3D): CrossAttentionCache {
    return new CrossAttentionCache(this.layers.length, tokens, {
      make: (some, layer) => this.layers[layer]!.cross.crossKv(some),
    });
  }

  /**
   * Next-token logits.
   * @param x     [N, d], before the final norm
   * @param ids   compute only these token ids
   * @returns     [N, V] or [N, ids.length], the caller's
   */
  logits(x: tf.Tensor2D, ids?: readonly number[]): tf.Tensor2D {
    return tf.tidy(() => this.head.forward(this.norm.forward(x), ids));
  }

  /** As a layer: states [R, T, d] to next-token logits [R, T, V], the caller's. */
  forward(x: tf.Tensor3D): tf.Tensor3D {
    return tf.tidy(() => {
      const [r, t, d] = x.shape;
      return this.logits(x.reshape([r * t, d]) as tf.Tensor2D).reshape([r, t, -1]) as tf.Tensor3D;
    });
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return [...shape.slice(0, -1), this.config.text.vocab_size];
  }
}
tf.serialization.registerClass(CocaMultimodal);

/** Both halves of the text decoder, borrowed. */
export interface DecoderHalves {
  readonly config: CocaConfig;
  readonly text: CocaText;
  readonly multimodal: CocaMultimodal;
}
