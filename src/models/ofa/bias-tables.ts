import * as tf from '@tensorflow/tfjs';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {OfaDecoder, Target} from './decoder.js';
import type {OfaEncoder} from './encoder.js';

// Biases that depend on sizes alone, made once and kept: by the model for the sizes it expects, else by one call.

/** Above this many bytes a picture's biases are computed layer by layer instead of kept (OFA-Base at 480 px: 233 MB). */
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

  /** Q1: the authors' MuE code drops the relative bias of the image stream; checkpoints trained with it say so. */
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
   * MuE: the whole bias of the image stream; plain: its relative part. [1, H, P, P], borrowed. Call inside a tidy: what is
   * not kept is made anew.
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
  /** A layer: [1, H, T, T], without causality. */
  readonly self: readonly tf.Tensor4D[];

  constructor(
    decoder: OfaDecoder,
    readonly length: number,
    target: Target = 'text',
  ) {
    this.positions = this.#scope.hold(decoder.positions(length, target));
    using scope = new TensorScope();
    const absolute = scope.hold(decoder.selfAbsoluteBias(this.positions));
    this.self = decoder.layers.map((_, layer) => this.#scope.hold(decoder.selfBias(layer, absolute, target)));
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}
