import * as tf from '@tensorflow/tfjs';
import {Block, joinPath, type StoredWeight, type WeightSource} from '../../nn/block.js';
import {joined, shapeKey} from '../../runtime/joined.js';
import {runFused} from '../../runtime/kernels.js';

// OFA's image front end: a ResNet without its last stage (docs/reference/ofa-mue.md 2.1).   B batch, h w height and
// width

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
}

/**
 * A convolution without bias, its batch norm folded in: y = conv(x)·s + (β − μ·s), s = γ/√(σ² + ε). Padding is explicit
 * and symmetric, (kernel − 1)/2 on each side; 'same' padding is asymmetric at stride 2 and gives other numbers
 * (docs/reference/ofa-mue.md 2.1). Files keep the five arrays unfolded, so that float16 ones stay exact; folding
 * happens here, in double precision.
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

interface BottleneckConfig {
  readonly inputs: number;
  /** Planes of the 3×3 convolution; the block gives four times as many. */
  readonly planes: number;
  readonly stride: number;
  readonly epsilon: number;
}

/** 1×1, 3×3 (the stride is here: torchvision's v1.5), 1×1, and a projection shortcut where the shape changes. */
export class Bottleneck extends Block<BottleneckConfig> {
  static className = 'MueBottleneck';
  readonly convs: readonly [ConvBatchNorm, ConvBatchNorm, ConvBatchNorm];
  readonly shortcut: ConvBatchNorm | undefined;

  constructor(config: BottleneckConfig) {
    super(config);
    const {inputs, planes, stride, epsilon} = config;
    const outputs = 4 * planes;
    const conv = (conv: string, norm: string, sizes: Omit<ConvBatchNormConfig, 'conv' | 'norm' | 'epsilon'>) =>
      this.child('', new ConvBatchNorm({conv, norm, epsilon, ...sizes}));
    this.convs = [
      conv('conv1', 'bn1', {inputs, filters: planes, kernel: 1, stride: 1, relu: true}),
      conv('conv2', 'bn2', {inputs: planes, filters: planes, kernel: 3, stride, relu: true}),
      conv('conv3', 'bn3', {inputs: planes, filters: outputs, kernel: 1, stride: 1, relu: false}),
    ];
    this.shortcut =
      inputs !== outputs || stride > 1
        ? conv('downsample.0', 'downsample.1', {inputs, filters: outputs, kernel: 1, stride, relu: false})
        : undefined;
  }

  /**
   * @param x   [B, h, w, inputs]
   * @returns   [B, h/stride, w/stride, 4·planes], the caller's
   */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    return tf.tidy(() => {
      const [first, second, third] = this.convs;
      return third.forwardAddRelu(second.forward(first.forward(x)), this.shortcut?.forward(x) ?? x);
    });
  }

  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return (this.shortcut ?? this.convs[2]).computeOutputShape(shape);
  }
}
tf.serialization.registerClass(Bottleneck);

/** Blocks in each of the three stages, and the ε of the batch norms. */
export interface ResNetConfig {
  readonly blocks: readonly [number, number, number];
  readonly epsilon: number;
}

/** Features of an image at a sixteenth of its side. */
export class ResNet extends Block<ResNetConfig> {
  static className = 'MueResNet';
  readonly stem: ConvBatchNorm;
  readonly stages: readonly Bottleneck[];

  constructor(config: ResNetConfig) {
    super(config);
    const {epsilon} = config;
    const sizes = {inputs: 3, filters: 64, kernel: 7, stride: 2};
    this.stem = this.child('', new ConvBatchNorm({conv: 'conv1', norm: 'bn1', ...sizes, epsilon, relu: true}));
    this.stages = bottlenecks(config.blocks).map(({name, ...block}) =>
      this.child(name, new Bottleneck({...block, epsilon})),
    );
  }

  /** Blocks of the last stage behind its first: they keep the shape of their input, so that any may be the last. */
  get patchLayers(): number {
    return this.config.blocks[2] - 1;
  }

  /**
   * @param pixels   normalised, [B, h, w, 3]
   * @returns        [B, ⌈h/16⌉, ⌈w/16⌉, 1024], the caller's
   */
  forward(pixels: tf.Tensor4D): tf.Tensor4D {
    return this.#blocks(pixels, this.stages);
  }

  /** Everything before the patch layers: what `forward` gives without them. */
  forwardFront(pixels: tf.Tensor4D): tf.Tensor4D {
    return this.#blocks(pixels, this.stages.slice(0, this.stages.length - this.patchLayers));
  }

  /**
   * One of the patch layers.
   * @param x       [B, h, w, 1024], borrowed
   * @param layer   from 0
   * @returns       [B, h, w, 1024], the caller's
   */
  patchLayer(x: tf.Tensor4D, layer: number): tf.Tensor4D {
    return this.stages[this.stages.length - this.patchLayers + layer]!.forward(x);
  }

  #blocks(pixels: tf.Tensor4D, blocks: readonly Bottleneck[]): tf.Tensor4D {
    const key = `${blocks.length} blocks of ${shapeKey([pixels])}`;
    const [features] = joined(this, key, [pixels], () => {
      // Padded explicitly: values are ≥ 0 after the ReLU, so zeros do as well as −∞.
      const padded = this.stem.forward(pixels).pad([
        [0, 0],
        [1, 1],
        [1, 1],
        [0, 0],
      ]) as tf.Tensor4D;
      return [blocks.reduce((x, block) => block.forward(x), tf.maxPool(padded, 3, 2, 'valid'))];
    });
    return features;
  }

  override computeOutputShape(shape: tf.Shape): tf.Shape {
    const side = (n: number | null | undefined): number | null => (n == null ? null : Math.ceil(n / 16));
    return [shape[0] ?? null, side(shape[1]), side(shape[2]), 1024];
  }
}
tf.serialization.registerClass(ResNet);

/** Name and shape of every bottleneck, in order; the cost model walks the same list. */
export function bottlenecks(
  blocks: readonly [number, number, number],
): readonly {name: string; inputs: number; planes: number; stride: number}[] {
  let inputs = 64;
  return blocks.flatMap((count, stage) => {
    const planes = 64 << stage;
    return Array.from({length: count}, (_, b) => {
      const block = {name: `layer${stage + 1}.${b}`, inputs, planes, stride: b === 0 && stage > 0 ? 2 : 1};
      inputs = 4 * planes;
      return block;
    });
  });
}
