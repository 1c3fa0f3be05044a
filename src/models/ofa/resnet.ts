import * as tf from '@tensorflow/tfjs';
import {relu} from '../../nn/activations.js';
import {Block} from '../../nn/block.js';
import {checkpointed} from '../../nn/checkpointed.js';
import {joined, shapeKey} from '../../runtime/joined.js';
import {ConvBatchNorm, type ConvBatchNormConfig} from './conv-batch-norm.js';

// OFA's image front end: a ResNet without its last stage (docs/reference/ofa-mue.md 2.1).   B batch, h w height and
// width

interface BottleneckConfig {
  readonly inputs: number;
  /** Planes of the 3×3 convolution; the block gives four times as many. */
  readonly planes: number;
  readonly stride: number;
  readonly epsilon: number;
  readonly unfolded?: boolean;
}

/** 1×1, 3×3 (the stride is here: torchvision's v1.5), 1×1, and a projection shortcut where the shape changes. */
export class Bottleneck extends Block<BottleneckConfig> {
  static className = 'MueBottleneck';
  readonly convs: readonly [ConvBatchNorm, ConvBatchNorm, ConvBatchNorm];
  readonly shortcut: ConvBatchNorm | undefined;

  constructor(config: BottleneckConfig) {
    super(config);
    const {inputs, planes, stride, epsilon, unfolded} = config;
    const outputs = 4 * planes;
    const conv = (
      conv: string,
      norm: string,
      sizes: Omit<ConvBatchNormConfig, 'conv' | 'norm' | 'epsilon' | 'unfolded'>,
    ) => this.child('', new ConvBatchNorm({conv, norm, epsilon, unfolded, ...sizes}));
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

  /**
   * By the statistics of the batch (`ConvBatchNorm.forwardLive`). Call it inside a tidy.
   * @param moments   gets those of each convolution, by its place in `all`
   */
  forwardLive(x: tf.Tensor4D, moments: ((of: tf.Tensor2D) => void) | undefined): tf.Tensor4D {
    const [first, second, third] = this.convs;
    const y = third.forwardLive(relu(second.forwardLive(relu(first.forwardLive(x, moments)), moments)), moments);
    return relu(y.add(this.shortcut?.forwardLive(x, moments) ?? x) as tf.Tensor4D);
  }

  /** The convolutions in the order in which they run. */
  get all(): readonly ConvBatchNorm[] {
    return [...this.convs, ...(this.shortcut ? [this.shortcut] : [])];
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
  /** Keeps batch norms apart, so that they can be trained. */
  readonly unfolded?: boolean;
}

/** Statistics that a training pass met, by the convolution. */
export type MetMoments = readonly {readonly of: ConvBatchNorm; readonly moments: tf.Tensor2D; readonly count: number}[];

/** Features of an image at a sixteenth of its side. */
export class ResNet extends Block<ResNetConfig> {
  static className = 'MueResNet';
  readonly stem: ConvBatchNorm;
  readonly stages: readonly Bottleneck[];

  constructor(config: ResNetConfig) {
    super(config);
    const {epsilon, unfolded} = config;
    const sizes = {inputs: 3, filters: 64, kernel: 7, stride: 2};
    const stem = {conv: 'conv1', norm: 'bn1', ...sizes, epsilon, unfolded, relu: true};
    this.stem = this.child('', new ConvBatchNorm(stem));
    this.stages = bottlenecks(config.blocks).map(({name, ...block}) =>
      this.child(name, new Bottleneck({...block, epsilon, unfolded})),
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
      return [blocks.reduce((x, block) => block.forward(x), pooled(this.stem.forward(pixels)))];
    });
    return features;
  }

  /**
   * As `forward`, for the backward pass: every block is run again there instead of being kept. Call it inside the tidy
   * that takes gradients.
   * @param met     where batch norms go by the batch: gets their statistics, the caller's to dispose
   * @param after   gets the features after the first block of the last stage and after each that follows; gives the output
   */
  forwardTraining(
    pixels: tf.Tensor4D,
    met?: (of: MetMoments) => void,
    after: (features: readonly tf.Tensor4D[]) => tf.Tensor4D = (features) => features.at(-1)!,
  ): tf.Tensor4D {
    const name = met ? 'live' : 'frozen';
    type Live = (x: tf.Tensor4D, moments: (of: tf.Tensor2D) => void) => tf.Tensor4D;
    const run = (owner: Block, of: readonly ConvBatchNorm[], x: tf.Tensor4D, live: Live): tf.Tensor4D => {
      const compute = (inputs: readonly tf.Tensor[]): [tf.Tensor4D, ...tf.Tensor[]] =>
        tf.tidy(() => {
          const moments: tf.Tensor2D[] = [];
          const y = live(inputs[0] as tf.Tensor4D, (each) => moments.push(each));
          return [y, ...moments];
        });
      const aside = met && ((tensors: readonly tf.Tensor[]) => met(metMoments(of, tensors, x.shape)));
      return checkpointed(owner, name, [x], compute, {aside});
    };
    const stem = run(this.stem, [this.stem], pixels, (x, moments) =>
      pooled(met ? relu(this.stem.forwardLive(x, moments)) : this.stem.forward(x)),
    );
    let x = stem;
    const last: tf.Tensor4D[] = [];
    for (const [i, block] of this.stages.entries()) {
      x = run(block, block.all, x, (y, moments) => (met ? block.forwardLive(y, moments) : block.forward(y)));
      if (i >= this.stages.length - 1 - this.patchLayers) last.push(x);
    }
    return after(last);
  }

  override computeOutputShape(shape: tf.Shape): tf.Shape {
    const side = (n: number | null | undefined): number | null => (n == null ? null : Math.ceil(n / 16));
    return [shape[0] ?? null, side(shape[1]), side(shape[2]), 1024];
  }
}
tf.serialization.registerClass(ResNet);

/** Padded explicitly: values are ≥ 0 after the ReLU, so zeros do as well as −∞. */
function pooled(x: tf.Tensor4D): tf.Tensor4D {
  const one: [number, number] = [1, 1];
  return tf.maxPool(x.pad([[0, 0], one, one, [0, 0]]) as tf.Tensor4D, 3, 2, 'valid');
}

/** @param input shape of the block's input */
function metMoments(of: readonly ConvBatchNorm[], tensors: readonly tf.Tensor[], input: readonly number[]): MetMoments {
  let shape: tf.Shape = [...input];
  return of.map((conv, i) => {
    // A shortcut reads what the first convolution does.
    shape = conv.computeOutputShape(conv.config.conv.startsWith('downsample') ? [...input] : shape);
    const [b, h, w] = shape;
    return {of: conv, moments: tensors[i] as tf.Tensor2D, count: b! * h! * w!};
  });
}

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
