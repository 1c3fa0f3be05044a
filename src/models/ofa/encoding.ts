import * as tf from '@tensorflow/tfjs';
import type {ExitPolicy} from '../../exit/policy.js';
import {runStack} from '../../exit/run-stack.js';
import {addMacs, type Macs, type StackTrace} from '../../exit/trace.js';
import type {CrossMemory} from '../../nn/cross-memory.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Encoded, EncodeInput, RunOptions} from '../model.js';
import {ImageBias} from './bias-tables.js';
import type {OfaCost} from './cost.js';
import type {OfaEncoder} from './encoder.js';

// B pictures, P patches, S text tokens, M = P + S, D width, H heads

const PAD = 1;

/** A stream's tokens before its first layer, or after its last. */
export interface Stream {
  /** [B, T, D] */
  readonly x: tf.Tensor3D;
  /** [1, T, D] */
  readonly positions: tf.Tensor3D;
  /** −1e9 at padding, [B, 1, 1, T]; undefined without any. */
  readonly mask: tf.Tensor4D | undefined;
}

/** Output of the encoder, as the decoder reads it. Owns its tensors. */
export class OfaEncoded implements Encoded {
  /** @param states [B, M, D]; image first. @param positions [1, M, D]. @param mask [B, 1, 1, M] */
  constructor(
    readonly states: tf.Tensor3D,
    readonly positions: tf.Tensor3D,
    readonly mask: tf.Tensor4D | undefined,
    readonly traces: readonly StackTrace[],
    readonly macs: Macs,
    /** What a decoder layer's cross-attention reads, where it need not be computed from the states; the caller's. */
    readonly remember?: (layer: number) => CrossMemory,
  ) {}

  get pictures(): number {
    return this.states.shape[0];
  }

  [Symbol.dispose](): void {
    this.states.dispose();
    this.positions.dispose();
    this.mask?.dispose();
  }
}

/** Runs the encoder: embedding, then the streams with their exits, then the final norm. */
export class OfaEncoding {
  constructor(
    readonly encoder: OfaEncoder,
    readonly cost: OfaCost,
    /** For the picture size that the model expects; others are made for one call. */
    private readonly bias: ImageBias,
  ) {}

  async encode({pixels, prompts, patchMasks}: EncodeInput, policy: ExitPolicy, options: RunOptions = {}): Promise<OfaEncoded> {
    using scope = new TensorScope();
    const features = scope.hold(this.encoder.resnet.forward(pixels));
    const front = pixels.shape[0] * this.cost.resnet(pixels.shape[1], pixels.shape[2]);
    return await this.encodeFeatures(features, front, {prompts, ...(patchMasks ? {patchMasks} : {})}, policy, options);
  }

  /**
   * The encoder behind the ResNet, so that one picture's features can serve several prompts.
   * @param features [B, h, w, 1024], borrowed
   * @param front what they cost, in multiply-accumulates
   */
  async encodeFeatures(
    features: tf.Tensor4D,
    front: number,
    {prompts, patchMasks}: Omit<EncodeInput, 'pixels'>,
    policy: ExitPolicy,
    options: RunOptions = {},
  ): Promise<OfaEncoded> {
    using scope = new TensorScope();
    const [pictures, height, width] = features.shape;
    const bias = this.biasFor(height, width, scope);
    const image = this.image(features, bias, patchMasks, scope);
    const text = this.text(prompts, scope);
    const embedding = front + pictures * this.cost.patchProjection(height * width);
    const before = {run: embedding, full: embedding};
    if (!this.encoder.config.train_mue) {
      const joint = await this.runJoint(image, text, bias, policy, options);
      scope.hold(joint.x);
      return this.finish(joint.x, image, text, [joint.trace], addMacs(before, joint.macs));
    }
    // The authors' order: text first. The streams do not see each other.
    const ranText = await this.runText(text, policy, options);
    scope.hold(ranText.x);
    const ranImage = await this.runImage(image, bias, policy, options);
    scope.hold(ranImage.x);
    const x = scope.hold(tf.concat([ranImage.x, ranText.x], 1));
    return this.finish(x, image, text, [ranImage.trace, ranText.trace], addMacs(before, ranImage.macs, ranText.macs));
  }

  /** The kept biases, or new ones that `scope` owns. */
  biasFor(height: number, width: number, scope: TensorScope): ImageBias {
    return height === this.bias.height && width === this.bias.width ? this.bias : scope.hold(new ImageBias(this.encoder, height, width));
  }

  /** Embedded patches; those of absent pictures zeroed and masked. `scope` owns the tensors. */
  image(features: tf.Tensor4D, bias: ImageBias, patchMasks: readonly boolean[] | undefined, scope: TensorScope): Stream {
    const x = scope.hold(this.encoder.embedPatches(features));
    const [pictures, patches] = x.shape;
    const absent = Array.from({length: pictures}, (_, b) => new Array<boolean>(patches).fill(patchMasks?.[b] === false));
    return masked(x, bias.positions, absent, scope);
  }

  /** Embedded prompts, right-padded to the longest. `scope` owns the tensors. */
  text(prompts: readonly (readonly number[])[], scope: TensorScope): Stream {
    const length = Math.max(...prompts.map((p) => p.length));
    const ids = prompts.map((p) => [...p, ...new Array<number>(length - p.length).fill(PAD)]);
    const x = scope.hold(tf.tidy(() => this.encoder.embedTokens(tf.tensor2d(ids, [ids.length, length], 'int32'))));
    const positions = scope.hold(this.encoder.textPositions(length));
    return masked(
      x,
      positions,
      ids.map((row) => row.map((id) => id === PAD)),
      scope,
    );
  }

  /** The image stream of a MuE model. @returns its last state, the caller's. */
  async runImage(image: Stream, bias: ImageBias, policy: ExitPolicy, {signal}: RunOptions = {}): Promise<StreamRun> {
    const {layers} = this.encoder;
    const forward = (x: tf.Tensor3D, layer: number): tf.Tensor3D =>
      tf.tidy(() => layers[layer]!.forward(x, withMask(bias.layer(layer), image.mask)));
    return this.#run(image, forward, 'encoder.image', policy, signal);
  }

  /** The text stream of a MuE model. @returns its last state, the caller's. */
  async runText(text: Stream, policy: ExitPolicy, {signal}: RunOptions = {}): Promise<StreamRun> {
    using scope = new TensorScope();
    const length = text.x.shape[1];
    const absolute = scope.hold(this.encoder.absoluteBias(text.positions));
    const forward = (x: tf.Tensor3D, layer: number): tf.Tensor3D =>
      tf.tidy(() =>
        this.encoder.layers[layer]!.forward(x, withMask(absolute.add(this.encoder.textRelativeBias(layer, length)), text.mask)),
      );
    return await this.#run(text, forward, 'encoder.text', policy, signal);
  }

  /** Both as one sequence, as plain OFA does. @returns the last state [B, M, D], the caller's. */
  async runJoint(image: Stream, text: Stream, bias: ImageBias, policy: ExitPolicy, {signal}: RunOptions = {}): Promise<StreamRun> {
    using scope = new TensorScope();
    const joint = join(image, text, scope);
    const absolute = scope.hold(this.encoder.absoluteBias(joint.positions));
    const [patches, tokens] = [image.x.shape[1], text.x.shape[1]];
    const forward = (x: tf.Tensor3D, layer: number): tf.Tensor3D =>
      tf.tidy(() => {
        const none: [number, number] = [0, 0];
        const visual = bias.layer(layer).pad([none, none, [0, tokens], [0, tokens]]);
        const textual = this.encoder.textRelativeBias(layer, tokens).pad([none, none, [patches, 0], [patches, 0]]);
        return this.encoder.layers[layer]!.forward(x, withMask(absolute.add(visual).add(textual), joint.mask));
      });
    return await this.#run(joint, forward, 'encoder', policy, signal);
  }

  async #run(
    stream: Stream,
    forward: (x: tf.Tensor3D, layer: number) => tf.Tensor3D,
    stack: 'encoder' | 'encoder.image' | 'encoder.text',
    policy: ExitPolicy,
    signal?: AbortSignal,
  ): Promise<StreamRun> {
    const [pictures, length] = stream.x.shape;
    const depth = this.encoder.layers.length;
    const {x, trace} = await runStack(stream.x, forward, {stack, depth}, policy, {signal});
    const positions = this.cost.encoderPositions(length); // one for the batch
    const layer = pictures * this.cost.encoderLayer(length);
    const tests = trace.scores.filter((s) => s !== null).length * this.cost.exitTest(stream.x.size);
    return {x, trace, macs: {run: positions + trace.exitLayer * layer + tests, full: positions + depth * layer}};
  }

  /** The final norm over both streams, whatever depth each left at. @param x [B, M, D], borrowed. */
  finish(x: tf.Tensor3D, image: Stream, text: Stream, traces: readonly StackTrace[], macs: Macs): OfaEncoded {
    using scope = new TensorScope();
    const positions = scope.hold(tf.concat([image.positions, text.positions], 1));
    const mask = joinMasks(image, text, scope);
    const states = scope.hold(this.encoder.norm.forward(x));
    if (mask) scope.give(mask);
    return new OfaEncoded(scope.give(states), scope.give(positions), mask, traces, macs);
  }
}

/** A stream after its run. */
export interface StreamRun {
  readonly x: tf.Tensor3D;
  readonly trace: StackTrace;
  readonly macs: Macs;
}

/** Zeroes padded positions of x, which `scope` holds, and makes their mask. */
function masked(x: tf.Tensor3D, positions: tf.Tensor3D, absent: readonly (readonly boolean[])[], scope: TensorScope): Stream {
  if (!absent.some((row) => row.includes(true))) return {x, positions, mask: undefined};
  const [b, t] = x.shape;
  const flags = Float32Array.from(absent.flat(), Number);
  const zeroed = tf.tidy(() => x.mul(tf.scalar(1).sub(tf.tensor3d(flags, [b, t, 1]))) as tf.Tensor3D);
  scope.replace(x, zeroed);
  return {
    x: zeroed,
    positions,
    mask: scope.hold(
      tf.tensor4d(
        flags.map((f) => f * -1e9),
        [b, 1, 1, t],
      ),
    ),
  };
}

/** Image first, then text. */
function join(image: Stream, text: Stream, scope: TensorScope): Stream {
  return {
    x: scope.hold(tf.concat([image.x, text.x], 1)),
    positions: scope.hold(tf.concat([image.positions, text.positions], 1)),
    mask: joinMasks(image, text, scope),
  };
}

function joinMasks(image: Stream, text: Stream, scope: TensorScope): tf.Tensor4D | undefined {
  if (!image.mask && !text.mask) return undefined;
  const mask = (stream: Stream): tf.Tensor4D => stream.mask ?? tf.zeros([stream.x.shape[0], 1, 1, stream.x.shape[1]]);
  return scope.hold(tf.tidy(() => tf.concat([mask(image), mask(text)], 3)));
}

function withMask(bias: tf.Tensor, mask: tf.Tensor4D | undefined): tf.Tensor[] {
  return mask ? [bias, mask] : [bias];
}
