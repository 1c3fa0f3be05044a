import * as tf from '@tensorflow/tfjs';
import {runFused} from '../runtime/kernels.js';
import {Block, joinPath, type StoredWeight, type WeightSource} from './block.js';

const BATCH_NORM_PARTS = ['weight', 'bias', 'running_mean', 'running_var'] as const;

export interface ConvBatchNormConfig {
  /** Names in the checkpoint, of the convolution and of its batch norm: 'conv1' and 'bn1', 'downsample.0' and 'downsample.1'. */
  readonly conv: string;
  readonly norm: string;
  readonly inputs: number;
  readonly filters: number;
  readonly kernel: number;
  readonly stride: number;
  readonly epsilon: number;
  readonly relu: boolean;
}

/**
 * A convolution without bias, its batch norm folded in: y = conv(x)·s + (β − μ·s), s = γ/√(σ² + ε). Padding is explicit and
 * symmetric, (kernel − 1)/2 on each side; 'same' padding is asymmetric at stride 2 and gives other numbers (ofa_mue 2.1).
 * Files keep the five arrays unfolded, so that float16 ones stay exact; folding happens here, in double precision.
 */
export class ConvBatchNorm extends Block<ConvBatchNormConfig> {
  static className = 'MueConvNorm';

  constructor(config: ConvBatchNormConfig) {
    super(config);
    const {kernel, inputs, filters, conv} = config;
    // Several convolutions stand in one block: tfjs wants names that differ.
    this.declare(`${conv}.folded_weight`, [kernel, kernel, inputs, filters], {
      initializer: tf.initializers.heNormal({}),
    });
    this.declare(`${conv}.folded_bias`, [filters], {initializer: tf.initializers.zeros()});
  }

  /** The kernel and the four arrays of the batch norm, not what is folded of them. */
  override storedWeights(path = ''): StoredWeight[] {
    const {kernel, inputs, filters, conv, norm} = this.config;
    const ofNorm = (part: string): StoredWeight => ({
      name: joinPath(path, `${norm}.${part}`),
      shape: [filters],
      layout: 'plain',
      ...(part.startsWith('running_') ? {statistic: true} : {}),
    });
    return [
      {name: joinPath(path, `${conv}.weight`), shape: [kernel, kernel, inputs, filters], layout: 'conv'},
      ...BATCH_NORM_PARTS.map(ofNorm),
    ];
  }

  protected override async ownValues(source: WeightSource, path: string): Promise<ReadonlyMap<string, Float32Array>> {
    const {conv, norm, filters, epsilon} = this.config;
    const kernel = await source.read(joinPath(path, `${conv}.weight`));
    const [gain, shift, mean, variance] = (await Promise.all(
      BATCH_NORM_PARTS.map((part) => source.read(joinPath(path, `${norm}.${part}`))),
    )) as [Float32Array, Float32Array, Float32Array, Float32Array];
    const scale = Float64Array.from(gain, (g, c) => g / Math.sqrt(variance[c]! + epsilon));
    return new Map([
      [`${conv}.folded_weight`, kernel.map((w, i) => w * scale[i % filters]!)],
      [`${conv}.folded_bias`, shift.map((b, c) => b - mean[c]! * scale[c]!)],
    ]);
  }

  /**
   * @param x   [B, h, w, inputs]
   * @returns   [B, h', w', filters], the caller's
   */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    return this.#run(x, this.config.relu ? 'relu' : 'linear');
  }

  /**
   * max(0, y + addend), where y is the output of `forward` without its activation.
   * @param addend   of the shape of y, borrowed
   * @returns        the same shape, the caller's
   */
  forwardAddRelu(x: tf.Tensor4D, addend: tf.Tensor4D): tf.Tensor4D {
    const {kernel, stride} = this.config;
    const fused = runFused<tf.Tensor4D>(
      'MueConvAddRelu',
      {x, ...this.#folded(), addend},
      {strides: stride, pad: (kernel - 1) / 2},
    );
    return fused ?? tf.tidy(() => this.#run(x, 'linear').add(addend).relu() as tf.Tensor4D);
  }

  #folded(): {filter: tf.Tensor4D; bias: tf.Tensor} {
    const {conv} = this.config;
    return {filter: this.weight<tf.Tensor4D>(`${conv}.folded_weight`), bias: this.weight(`${conv}.folded_bias`)};
  }

  #run(x: tf.Tensor4D, activation: 'relu' | 'linear'): tf.Tensor4D {
    const {kernel, stride} = this.config;
    return tf.fused.conv2d({
      x,
      ...this.#folded(),
      strides: stride,
      pad: (kernel - 1) / 2,
      dimRoundingMode: 'floor',
      activation,
    });
  }

  override computeOutputShape(shape: tf.Shape): tf.Shape {
    const side = (n: number | null | undefined): number | null =>
      n == null ? null : Math.floor((n - 1) / this.config.stride) + 1;
    return [shape[0] ?? null, side(shape[1]), side(shape[2]), this.config.filters];
  }
}
tf.serialization.registerClass(ConvBatchNorm);
