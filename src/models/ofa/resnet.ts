import * as tf from '@tensorflow/tfjs';
import {Block} from '../../nn/block.js';
import {ConvBatchNorm, type ConvBatchNormConfig} from '../../nn/conv-batch-norm.js';

// OFA's picture front end: a ResNet without its last stage (ofa_mue section 2.1).   B batch, h w height and width

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

  /** @param x [B, h, w, inputs]. @returns [B, h/stride, w/stride, 4·planes], the caller's. */
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

/** Features of a picture at a sixteenth of its side. */
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

  /** @param pixels normalised, [B, h, w, 3]. @returns [B, ⌈h/16⌉, ⌈w/16⌉, 1024], the caller's. */
  forward(pixels: tf.Tensor4D): tf.Tensor4D {
    return tf.tidy(() => {
      // Padded explicitly: values are ≥ 0 after the ReLU, so zeros do as well as −∞.
      const padded = this.stem.forward(pixels).pad([
        [0, 0],
        [1, 1],
        [1, 1],
        [0, 0],
      ]) as tf.Tensor4D;
      return this.stages.reduce((x, block) => block.forward(x), tf.maxPool(padded, 3, 2, 'valid'));
    });
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
