import * as tf from '@tensorflow/tfjs';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {OfaDecoder} from './decoder.js';
import type {OfaEncoder} from './encoder.js';

// Biases depend on sizes alone. The model makes those of the sizes it expects once and keeps them; other sizes are made
// for one call. P patches, T targets, D width, H heads

/** Above this many bytes an image's biases are computed layer by layer instead of kept (OFA-Base at 480 px: 233 MB). */
const MOST_KEPT = 160e6;

/** Position vectors and attention biases of a feature map of one size. Owns its tensors. */
export class ImageBias implements Disposable {
  readonly #scope = new TensorScope();
  readonly #encoder: OfaEncoder;
  /** [1, P, D] */
  readonly positions: tf.Tensor3D;
  /** [1, H, P, P]; the joint encoder of plain OFA has its own, over image and text. */
  readonly #absolute: tf.Tensor4D | undefined;
  readonly #buckets: Int32Array;
  readonly #kept: readonly tf.Tensor4D[];

  constructor(
    encoder: OfaEncoder,
    readonly height: number,
    readonly width: number,
  ) {
    this.#encoder = encoder;
    const {train_mue, encoder_attention_heads} = encoder.config;
    this.positions = this.#scope.hold(encoder.imagePositions(height, width));
    this.#absolute = train_mue ? this.#scope.hold(encoder.absoluteBias(this.positions)) : undefined;
    this.#buckets = encoder.imageBuckets(height, width);
    const bytes = encoder.layers.length * encoder_attention_heads * (height * width) ** 2 * 4;
    this.#kept =
      this.#relative && bytes <= MOST_KEPT
        ? encoder.layers.map((_, layer) => this.#scope.hold(this.#compute(layer)))
        : [];
  }

  /** The authors' MuE code drops the relative bias of the image stream; checkpoints trained with it say so. */
  get #relative(): boolean {
    return !this.#encoder.config.train_mue || this.#encoder.config.mue_image_rel_bias;
  }

  #compute(layer: number): tf.Tensor4D {
    return tf.tidy(() => {
      const relative = this.#encoder.imageRelativeBias(layer, this.height, this.width, this.#buckets);
      return this.#absolute ? (this.#absolute.add(relative) as tf.Tensor4D) : relative;
    });
  }

  /**
   * Bias of one layer [1, H, P, P], borrowed: for MuE the whole bias of the image stream, for plain OFA its relative
   * part. Call it inside a tidy: a bias that is not kept is made anew.
   */
  layer(layer: number): tf.Tensor4D {
    if (!this.#relative) return this.#absolute!;
    return this.#kept[layer] ?? this.#compute(layer);
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}

/** Position vectors and self-attention biases of the decoder for up to `length` targets. Owns its tensors. */
export class TargetBias implements Disposable {
  readonly #scope = new TensorScope();
  /** [1, T, D] */
  readonly positions: tf.Tensor3D;
  /** Self-attention biases [1, H, T, T], one a layer, without causality. */
  readonly self: readonly tf.Tensor4D[];

  constructor(
    decoder: OfaDecoder,
    readonly length: number,
  ) {
    this.positions = this.#scope.hold(decoder.positions(length));
    using scope = new TensorScope();
    const absolute = scope.hold(decoder.selfAbsoluteBias(this.positions));
    this.self = decoder.layers.map((_, layer) => this.#scope.hold(decoder.selfBias(layer, absolute)));
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}
