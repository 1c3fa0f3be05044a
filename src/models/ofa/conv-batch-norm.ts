import * as tf from '@tensorflow/tfjs';
import {relu} from '../../nn/activations.js';
import {Block, joinPath, type StoredWeight, type WeightSource} from '../../nn/block.js';
import {recordsGradients, runFused} from '../../runtime/kernels.js';

// B batch, h w height and width

const BATCH_NORM_PARTS = ['weight', 'bias', 'running_mean', 'running_var'] as const;

export interface ConvBatchNormConfig {
  /**
   * Names in the checkpoint, of the convolution and of its batch norm: 'conv1' and 'bn1', 'downsample.0' and
   * 'downsample.1'.
   */
  readonly conv: string;
  readonly norm: string;
  readonly inputs: number;
  readonly filters: number;
  readonly kernel: number;
  readonly stride: number;
  readonly epsilon: number;
  readonly relu: boolean;
  /** Keeps the batch norm apart, so that it can be trained; folded in by default. */
  readonly unfolded?: boolean;
}

/** Share of a batch in the running statistics after it, as PyTorch's. */
const MOMENTUM = 0.1;

/**
 * A convolution without bias, its batch norm folded in: y = conv(x)·s + (β − μ·s), s = γ/√(σ² + ε). Padding is explicit
 * and symmetric, (kernel − 1)/2 on each side; 'same' padding is asymmetric at stride 2 and gives other numbers
 * (docs/reference/ofa-mue.md 2.1). Files keep the five arrays unfolded, so that float16 ones stay exact; folding
 * happens here, in double precision, or, where the batch norm is kept apart, in every call.
 */
export class ConvBatchNorm extends Block<ConvBatchNormConfig> {
  static className = 'MueConvNorm';

  constructor(config: ConvBatchNormConfig) {
    super(config);
    const {kernel, inputs, filters, conv, norm, unfolded} = config;
    if (unfolded) {
      const ones = {initializer: tf.initializers.ones()};
      const zeros = {initializer: tf.initializers.zeros()};
      const kernelOf = {initializer: tf.initializers.heNormal({}), layout: 'conv'} as const;
      this.declare(`${conv}.weight`, [kernel, kernel, inputs, filters], kernelOf);
      this.declare(`${norm}.weight`, [filters], ones);
      this.declare(`${norm}.bias`, [filters], zeros);
      this.declare(`${norm}.running_mean`, [filters], {...zeros, statistic: true});
      this.declare(`${norm}.running_var`, [filters], {...ones, statistic: true});
      return;
    }
    // Several convolutions stand in one block: tfjs wants names that differ.
    this.declare(`${conv}.folded_weight`, [kernel, kernel, inputs, filters], {
      initializer: tf.initializers.heNormal({}),
    });
    this.declare(`${conv}.folded_bias`, [filters], {initializer: tf.initializers.zeros()});
  }

  /** The kernel and the four arrays of the batch norm, not what is folded of them. */
  override storedWeights(path = ''): StoredWeight[] {
    const {kernel, inputs, filters, conv, norm, unfolded} = this.config;
    if (unfolded) return super.storedWeights(path);
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
    const {conv, norm, filters, epsilon, unfolded} = this.config;
    if (unfolded) return super.ownValues(source, path);
    const kernel = await source.read(joinPath(path, `${conv}.weight`));
    const [gain, shift, mean, variance] = (await Promise.all(
      BATCH_NORM_PARTS.map((part) => source.read(joinPath(path, `${norm}.${part}`))),
    )) as [Float32Array, Float32Array, Float32Array, Float32Array];
    const scale = Float64Array.from(gain, (g, c) => g / Math.sqrt(variance[c]! + epsilon));
    // A call and a division for each of ten million numbers take longer than reading them.
    const folded = new Float32Array(kernel.length);
    for (let row = 0; row < kernel.length; row += filters)
      for (let c = 0; c < filters; c++) folded[row + c] = kernel[row + c]! * scale[c]!;
    return new Map([
      [`${conv}.folded_weight`, folded],
      [`${conv}.folded_bias`, shift.map((b, c) => b - mean[c]! * scale[c]!)],
    ]);
  }

  /**
   * @param x   [B, h, w, inputs]
   * @returns   [B, h', w', filters], the caller's
   */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    return tf.tidy(() => {
      if (!this.config.relu) return this.#run(x, 'linear');
      return recordsGradients() ? relu(this.#run(x, 'linear')) : this.#run(x, 'relu');
    });
  }

  /**
   * max(0, y + addend), where y is the output of `forward` without its activation.
   * @param addend   of the shape of y, borrowed
   * @returns        the same shape, the caller's
   */
  forwardAddRelu(x: tf.Tensor4D, addend: tf.Tensor4D): tf.Tensor4D {
    return tf.tidy(() => {
      const {kernel, stride} = this.config;
      const fused = runFused<tf.Tensor4D>(
        'MueConvAddRelu',
        {x, ...this.#folded(), addend},
        {strides: stride, pad: (kernel - 1) / 2},
      );
      return fused ?? relu(this.#run(x, 'linear').add(addend) as tf.Tensor4D);
    });
  }

  /**
   * By the statistics of the batch instead of the running ones, as in training. Without activation; only where the batch
   * norm is kept apart. Call it inside a tidy.
   * @param moments   gets mean and biased variance of the batch, [2, filters]
   * @returns         [B, h', w', filters]
   */
  forwardLive(x: tf.Tensor4D, moments?: (of: tf.Tensor2D) => void): tf.Tensor4D {
    const {conv, norm, kernel, stride, epsilon} = this.config;
    const filter = this.weight<tf.Tensor4D>(`${conv}.weight`);
    const y = tf.conv2d(x, filter, stride, (kernel - 1) / 2, 'NHWC', 1, 'floor');
    if (moments) {
      const {mean, variance} = channelMoments(y);
      moments(tf.stack([mean.flatten(), variance.flatten()]) as tf.Tensor2D);
    }
    return liveBatchNorm(y, this.weight(`${norm}.weight`), this.weight(`${norm}.bias`), epsilon);
  }

  /**
   * Moves the running statistics by a batch, as PyTorch does: a tenth of the way, the variance unbiased.
   * @param moments   mean and biased variance, [2, filters], borrowed
   * @param count     numbers of a channel that they are of
   */
  follow(moments: tf.Tensor2D, count: number): void {
    const {norm} = this.config;
    tf.tidy(() => {
      const [mean, variance] = tf.unstack(moments) as [tf.Tensor, tf.Tensor];
      const seen = {running_mean: mean, running_var: variance.mul(count / Math.max(1, count - 1))};
      for (const [part, value] of Object.entries(seen)) {
        const variable = this.variable(`${norm}.${part}`);
        variable.assign(variable.mul(1 - MOMENTUM).add(value.mul(MOMENTUM)));
      }
    });
  }

  /** Filter and bias with the batch norm in them; of the tidy around where it is kept apart. */
  #folded(): {filter: tf.Tensor4D; bias: tf.Tensor} {
    const {conv, norm, epsilon, unfolded} = this.config;
    if (!unfolded)
      return {filter: this.weight<tf.Tensor4D>(`${conv}.folded_weight`), bias: this.weight(`${conv}.folded_bias`)};
    const part = (name: string): tf.Tensor => this.weight(`${norm}.${name}`);
    const scale = part('weight').mul(part('running_var').add(epsilon).rsqrt());
    return {
      filter: this.weight<tf.Tensor4D>(`${conv}.weight`).mul(scale),
      bias: part('bias').sub(part('running_mean').mul(scale)),
    };
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

/** Mean and biased variance of each channel, [1, 1, 1, C]; of the tidy around. */
function channelMoments(x: tf.Tensor4D): {mean: tf.Tensor; variance: tf.Tensor} {
  const mean = x.mean([0, 1, 2], true);
  // Two passes: E[x²] − μ² loses digits.
  return {mean, variance: x.sub(mean).square().mean([0, 1, 2], true)};
}

/** Batch norm by the batch's own statistics, as one operation of the backward pass, which computes them again. */
function liveBatchNorm(x: tf.Tensor4D, gain: tf.Tensor, shift: tf.Tensor, epsilon: number): tf.Tensor4D {
  const normalised = (of: tf.Tensor4D): {rows: tf.Tensor; scale: tf.Tensor} => {
    const {mean, variance} = channelMoments(of);
    const scale = variance.add(epsilon).rsqrt();
    return {rows: of.sub(mean).mul(scale), scale};
  };
  return tf.customGrad((...given) => {
    const save = given.pop() as tf.GradSaveFunc;
    const [of, by, plus] = given as [tf.Tensor4D, tf.Tensor, tf.Tensor];
    save([of, by]);
    return {
      value: normalised(of).rows.mul(by).add(plus),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [of, by] = saved as [tf.Tensor4D, tf.Tensor];
        const {rows, scale} = normalised(of);
        const count = of.size / of.shape[3];
        const [ofShift, ofGain] = [dy.sum([0, 1, 2]), dy.mul(rows).sum([0, 1, 2])];
        const centred = dy.sub(ofShift.div(count)).sub(rows.mul(ofGain.div(count)));
        return [centred.mul(scale.mul(by)), ofGain, ofShift];
      },
    };
  })(x, gain, shift) as tf.Tensor4D;
}
