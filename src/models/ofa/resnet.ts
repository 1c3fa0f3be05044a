import * as tf from '@tensorflow/tfjs';
import {Block, input} from '../../nn/block.js';
import {ConvBatchNorm} from '../../nn/conv-batch-norm.js';

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
    const conv = (
      i: number,
      from: number,
      filters: number,
      kernel: number,
      step: number,
      relu: boolean,
    ): ConvBatchNorm =>
      this.child(
        '',
        new ConvBatchNorm({
          conv: `conv${i}`,
          norm: `bn${i}`,
          inputs: from,
          filters,
          kernel,
          stride: step,
          epsilon,
          relu,
        }),
        `conv${i}`,
      );
    this.convs = [
      conv(1, inputs, planes, 1, 1, true),
      conv(2, planes, planes, 3, stride, true),
      conv(3, planes, 4 * planes, 1, 1, false),
    ];
    this.shortcut =
      inputs !== 4 * planes || stride > 1
        ? this.child(
            '',
            new ConvBatchNorm({
              conv: 'downsample.0',
              norm: 'downsample.1',
              inputs,
              filters: 4 * planes,
              kernel: 1,
              stride,
              epsilon,
              relu: false,
            }),
            'downsample',
          )
        : undefined;
  }

  /** @param x [B, h, w, inputs]. @returns [B, h/stride, w/stride, 4·planes], the caller's. */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    return tf.tidy(() => {
      const [first, second, third] = this.convs;
      return third.forwardAddRelu(second.forward(first.forward(x)), this.shortcut?.forward(x) ?? x);
    });
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.forward(input(inputs));
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
    this.stem = this.child(
      '',
      new ConvBatchNorm({
        conv: 'conv1',
        norm: 'bn1',
        inputs: 3,
        filters: 64,
        kernel: 7,
        stride: 2,
        epsilon,
        relu: true,
      }),
      'stem',
    );
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

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.forward(input(inputs));
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
