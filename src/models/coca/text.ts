import * as tf from '@tensorflow/tfjs';
import {asList, Block} from '../../nn/block.js';
import {Embedding} from '../../nn/embedding.js';
import {LayerNorm} from '../../nn/layer-norm.js';
import {Projection} from '../../nn/linear.js';
import type {CocaConfig} from './config.js';
import {ResidualBlock} from './residual-block.js';

// Which keys of the unimodal tower may never be attended to (docs/reference/coca.md 2.3).   R rows, T tokens, n keys, d
// width, e embedding width

/**
 * For each token of a text, whether its key is shut out. In the published (`legacy`) mode the bits are shifted by one:
 * a key is shut out by the pad *before* it, so the first pad is seen. Id 0 is a byte of real text, too, and is then
 * taken for padding, as in the reference.
 */
export function paddedKeys(
  ids: readonly number[],
  {cls_mask, pad_id}: Pick<CocaConfig, 'cls_mask' | 'pad_id'>,
): boolean[] {
  return ids.map((id, j) => (cls_mask === 'legacy' ? j > 0 && ids[j - 1] === pad_id : id === pad_id));
}

/**
 * Whether CLS may not attend to itself: the shifted bit of the last token.
 * @param last token id at the context's last position
 */
export function paddedCls(last: number, {cls_mask, pad_id}: Pick<CocaConfig, 'cls_mask' | 'pad_id'>): boolean {
  return cls_mask === 'legacy' && last === pad_id;
}

/** Additive mask [R, 1, 1, n], the caller's; undefined if all keys may be seen. */
export function keyMask(padded: readonly (readonly boolean[])[]): tf.Tensor4D | undefined {
  if (!padded.some((row) => row.includes(true))) return undefined;
  return tf.tensor4d(
    padded.flat().map((flag) => (flag ? -1e9 : 0)),
    [padded.length, 1, 1, padded[0]!.length],
  );
}

/** The weights of the unimodal half of the text decoder, and what each part computes. */
export class CocaText extends Block<CocaConfig> {
  static className = 'MueCocaText';
  readonly tokens: Embedding;
  readonly layers: readonly ResidualBlock[];
  readonly norm: LayerNorm;
  readonly projection: Projection;

  constructor(config: CocaConfig) {
    super(config);
    const {width: size, heads, layers, mlp_width: hidden, vocab_size, context_length} = config.text;
    const random = tf.initializers.randomNormal({stddev: 0.01});
    this.tokens = this.child('token_embedding', new Embedding({rows: vocab_size, size}));
    this.declare('positional_embedding', [context_length + 1, size], {initializer: random});
    this.declare('cls_emb', [size], {initializer: random});
    const block = {size, heads, hidden, activation: config.activation, cross: false};
    this.layers = Array.from({length: layers}, (_, i) =>
      this.child(`transformer.resblocks.${i}`, new ResidualBlock(block)),
    );
    this.norm = this.child('ln_final', new LayerNorm({size}));
    const projection = new Projection({inputSize: size, units: config.embed_dim, weight: 'text_projection'});
    this.projection = this.child('', projection);
  }

  /**
   * State 0 of tokens.
   * @param ids     [R, T]
   * @param first   position of the first token
   * @returns       [R, T, d], the caller's
   */
  embed(ids: tf.Tensor2D, first = 0): tf.Tensor3D {
    return tf.tidy(() => {
      const positions = tf.slice(this.weight<tf.Tensor2D>('positional_embedding'), [first, 0], [ids.shape[1], -1]);
      return this.tokens.forward(ids).add(positions) as tf.Tensor3D;
    });
  }

  /**
   * State 0 of whole texts with CLS behind them. CLS has the last position of the context, however short the texts are.
   * @param ids   [R, T]
   * @returns     [R, T + 1, d], the caller's
   */
  embedWithCls(ids: tf.Tensor2D): tf.Tensor3D {
    return tf.tidy(() => {
      const {context_length, width} = this.config.text;
      const position = tf.slice(this.weight<tf.Tensor2D>('positional_embedding'), [context_length, 0], [1, -1]);
      const cls = this.weight('cls_emb').add(position).reshape([1, 1, width]);
      return tf.concat([this.embed(ids), tf.tile(cls, [ids.shape[0], 1, 1])], 1) as tf.Tensor3D;
    });
  }

  /**
   * The embedding, from the last position, CLS.
   * @param x   [R, ≥ 1, d]
   * @returns   [R, e], not of unit length; the caller's
   */
  embedding(x: tf.Tensor3D): tf.Tensor2D {
    return tf.tidy(() => {
      const cls = tf.slice(x, [0, x.shape[1] - 1, 0], [-1, 1, -1]).squeeze([1]) as tf.Tensor2D;
      return this.projection.forward(this.norm.forward(cls));
    });
  }

  /** As a layer: token ids [R, T] to state 0 with CLS [R, T + 1, d], the caller's. */
  forward(ids: tf.Tensor2D): tf.Tensor3D {
    return this.embedWithCls(ids);
  }
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.embedWithCls(asList(inputs)[0]!.toInt() as tf.Tensor2D);
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return [shape[0] ?? null, shape[1] == null ? null : shape[1] + 1, this.config.text.width];
  }
}
tf.serialization.registerClass(CocaText);
