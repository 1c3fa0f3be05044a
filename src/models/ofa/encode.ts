import * as tf from '@tensorflow/tfjs';
import {toPolicyList} from '../../exit/deciders.js';
import type {PolicyPerImage} from '../../exit/policy.js';
import {type ActiveUnits, type ExitUnit, type RunLayer, runStackBatched} from '../../exit/run-stack.js';
import type {ImageRun, StackTrace} from '../../exit/trace.js';
import type {CrossAttentionKv} from '../../nn/cross-attention-cache.js';
import {gatherRows} from '../../nn/gather-rows.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Encoded, EncodeInput, RunOptions} from '../model.js';
import {ImageBias} from './bias-tables.js';
import {PAD} from './config.js';
import type {EncoderLayer, OfaEncoder} from './encoder.js';
import type {OfaMacs, StreamPass} from './macs.js';
import {PromptCache} from './prompt-cache.js';
import {largest} from '../../runtime/extremes.js';

// B images, P patches, S text tokens, T tokens of a stream, M = P + S, D width, H heads

const PATCH = 'encoder.patch';

/** The ResNet's part of the cost and traces of images. */
interface StemRun {
  /** Multiply-accumulates of the whole ResNet for one image. */
  readonly macs: number;
  /** Of the stack at its end, one for each image; none where it did not run as a stack. */
  readonly patches: readonly StackTrace[];
}

/** The tokens of one stream before its first layer: embedded patches, an embedded prompt, or both as one sequence. */
export interface Stream {
  /** [B, T, D] */
  readonly x: tf.Tensor3D;
  /** Position vectors [1, T, D]. */
  readonly positions: tf.Tensor3D;
  /** Additive attention mask [B, 1, 1, T], −1e9 at padding; undefined where there is none. */
  readonly mask: tf.Tensor4D | undefined;
  /** Tokens of each image or prompt, without padding. */
  readonly lengths: readonly number[];
}

/** A stream after its last layer. */
export interface StreamRun {
  /** Exit states [B, T, D], the caller's. */
  readonly x: tf.Tensor3D;
  /** One an image. */
  readonly passes: readonly (StreamPass & {readonly trace: StackTrace})[];
}

/** How a layer of the encoder is run: as it is, or so that a backward pass runs it again. */
export type RunEncoderLayer = (layer: EncoderLayer, x: tf.Tensor3D, bias: readonly tf.Tensor[]) => tf.Tensor3D;
const RUN_LAYER: RunEncoderLayer = (layer, x, bias) => layer.forward(x, bias);

/** How the encoder runs without exits. */
export interface WholeOptions {
  /** Number of each prompt's image; prompts and images stand for each other by default, or all share the one image. */
  readonly imageOf?: readonly number[];
  /** After which layer each image's stream and each prompt's end, from 1; after the last one by default. */
  readonly cuts?: {readonly image?: readonly number[]; readonly text?: readonly number[]};
  readonly run?: RunEncoderLayer;
}

/** What the decoder reads of the encoder. */
export interface EncoderOutput {
  /** [B, M, D], image first */
  readonly states: tf.Tensor3D;
  /** Position vectors [1, M, D]. */
  readonly positions: tf.Tensor3D;
  /** Additive attention mask [B, 1, 1, M]; undefined where nothing is padding. */
  readonly mask: tf.Tensor4D | undefined;
}

/** Encoder states as the decoder reads them. Owns its tensors. */
export class OfaEncoded implements Encoded, EncoderOutput {
  /**
   * @param states              [B, M, D], image first
   * @param positions           position vectors [1, M, D]
   * @param mask                [B, 1, 1, M]
   * @param lengths             M of each image, without padding
   * @param precomputedKv       a decoder layer's cross-attention keys and values, where they need not be computed from
   *   the states; the caller's
   * @internal
   */
  constructor(
    readonly states: tf.Tensor3D,
    readonly positions: tf.Tensor3D,
    readonly mask: tf.Tensor4D | undefined,
    readonly lengths: readonly number[],
    readonly runs: readonly ImageRun[],
    /** @internal */ readonly precomputedKv?: (layer: number) => CrossAttentionKv,
  ) {}

  get images(): number {
    return this.states.shape[0];
  }

  [Symbol.dispose](): void {
    this.states.dispose();
    this.positions.dispose();
    this.mask?.dispose();
  }
}

/** Runs the encoder: ResNet and embedding, then the streams with their exits, then the final norm. */
export class OfaEncoding {
  readonly #prompts = new PromptCache();

  constructor(
    readonly encoder: OfaEncoder,
    readonly cost: OfaMacs,
    /** Biases for the image size that the model expects; those of another size are made for one call. */
    private readonly bias: ImageBias,
  ) {}

  async encode(input: EncodeInput, policy: PolicyPerImage, options: RunOptions = {}): Promise<OfaEncoded> {
    using scope = new TensorScope();
    const {pixels} = input;
    const {features, traces} = await this.#features(pixels, policy, options);
    scope.hold(features);
    const stemMacs = this.cost.stem(pixels.shape[1], pixels.shape[2]);
    return await this.encodeFeatures(features, stemMacs, input, policy, options, traces);
  }

  /**
   * Runs the ResNet; its last blocks as the stack `encoder.patch`, if a policy names it.
   * @returns   features [B, h, w, 1024], the caller's, and the stack's trace of every image
   */
  async #features(
    pixels: tf.Tensor4D,
    policy: PolicyPerImage,
    {signal}: RunOptions,
  ): Promise<{features: tf.Tensor4D; traces?: readonly StackTrace[]}> {
    const {resnet} = this.encoder;
    const policies = toPolicyList(policy);
    const depth = resnet.patchLayers;
    if (depth === 0 || !policies.some(({stacks}) => stacks?.includes(PATCH))) return {features: resnet.forward(pixels)};
    using scope = new TensorScope();
    const front = scope.hold(resnet.forwardFront(pixels));
    const [images, height, width, channels] = front.shape;
    const patches = height * width;
    const forward: RunLayer = (x, layer) =>
      tf.tidy(() =>
        resnet.patchLayer(x.reshape([-1, height, width, channels]), layer).reshape([-1, patches, channels]),
      );
    // One image that several prompts are about decides once.
    const units = policies.slice(0, images).map((own): ExitUnit => ({policy: own}));
    const x = scope.hold(front.reshape([images, patches, channels]) as tf.Tensor3D);
    const ran = await runStackBatched(x, forward, {stack: PATCH, depth}, units, {signal});
    scope.hold(ran.x);
    const features = ran.x.reshape([images, height, width, channels]) as tf.Tensor4D;
    return {features, traces: Array.from({length: images}, (_, b) => (ran.passes[b] ?? ran.passes[0]!).trace)};
  }

  /**
   * The encoder behind the ResNet, so that one image's features can serve several prompts.
   * @param features   [B, h, w, 1024], or those of one image that all prompts are about; borrowed
   * @param stemMacs   multiply-accumulates of the whole ResNet for one image
   * @param patches    traces of `encoder.patch`, one for each image of `features`, if its blocks ran as a stack
   */
  async encodeFeatures(
    features: tf.Tensor4D,
    stemMacs: number,
    {prompts, patchMasks}: Omit<EncodeInput, 'pixels'>,
    policy: PolicyPerImage,
    options: RunOptions = {},
    patches: readonly StackTrace[] = [],
  ): Promise<OfaEncoded> {
    using scope = new TensorScope();
    const stem = {macs: stemMacs, patches};
    const [images, height, width] = features.shape;
    const bias = this.biasFor(height, width, scope);
    const shared = images === 1 && prompts.length > 1;
    const ofPrompts = shared ? scope.hold(tf.tile(features, [prompts.length, 1, 1, 1])) : features;
    const image = this.imageStream(ofPrompts, bias, patchMasks, scope);
    const text = this.textStream(prompts, scope);
    if (!this.encoder.config.train_mue) {
      const joint = await this.runJoint(image, text, bias, policy, options);
      scope.hold(joint.x);
      return this.finish(joint.x, image, text, stem, [joint]);
    }
    // The authors' order: text first. The streams do not see each other.
    const ranText = await this.runText(text, prompts, policy, options);
    scope.hold(ranText.x);
    const ranImage = await this.runImage(image, bias, policy, options);
    scope.hold(ranImage.x);
    const x = scope.hold(tf.concat([ranImage.x, ranText.x], 1));
    return this.finish(x, image, text, stem, [ranImage, ranText]);
  }

  /**
   * Every layer of the encoder, without exits and kept biases: synchronous, so that gradients of all its weights can be
   * taken through it.
   * @param features   [B, h, w, 1024], borrowed
   * @returns          of each prompt, the caller's
   */
  encodeWhole(
    features: tf.Tensor4D,
    prompts: readonly (readonly number[])[],
    {imageOf, cuts = {}, run = RUN_LAYER}: WholeOptions = {},
  ): EncoderOutput {
    using scope = new TensorScope();
    const [images, height, width] = features.shape;
    const bias = scope.hold(new ImageBias(this.encoder, height, width));
    const of = imageOf ?? (images === 1 && prompts.length > 1 ? prompts.map(() => 0) : undefined);
    const spread = (x: tf.Tensor3D): tf.Tensor3D => (of ? scope.hold(gatherRows(x, of)) : x);
    const one = this.imageStream(features, bias, undefined, scope);
    const text = this.textStream(prompts, scope);
    const whole = ({x}: Stream, forward: RunLayer, depths?: readonly number[]): tf.Tensor3D =>
      scope.hold(this.#runWhole(x, forward, depths));
    const {norm} = this.encoder;
    let states: tf.Tensor3D;
    if (this.encoder.config.train_mue) {
      // The norm works token by token: once an image, not once a prompt.
      const ofImages = scope.hold(norm.forward(whole(one, this.#imageLayer(one, bias, run), cuts.image)));
      const ofTexts = scope.hold(norm.forward(whole(text, this.#textLayer(text, scope, run), cuts.text)));
      states = tf.concat([spread(ofImages), ofTexts], 1);
    } else {
      const image = {...one, x: spread(one.x)};
      const joint = joinStreams(image, text, scope);
      states = norm.forward(whole(joint, this.#jointLayer(joint, image, text, bias, scope, run), cuts.text));
    }
    const mask = joinMasks(one, text, scope);
    const positions = scope.hold(tf.concat([one.positions, text.positions], 1));
    return {states, positions: scope.give(positions), mask: mask && scope.give(mask)};
  }

  /**
   * @param depths   after which layer each row ends; after the last one by default
   * @returns        [B, T, D], the caller's
   */
  #runWhole(before: tf.Tensor3D, forward: RunLayer, depths?: readonly number[]): tf.Tensor3D {
    const indices = Array.from({length: before.shape[0]}, (_, b) => b);
    return tf.tidy(() => {
      let states = before;
      const after = this.encoder.layers.map((_, layer) => {
        states = forward(states, layer, {indices, total: indices.length, states});
        return states;
      });
      return depths ? stateAt(after, depths) : states;
    });
  }

  /** The kept biases, or new ones that `scope` owns. */
  biasFor(height: number, width: number, scope: TensorScope): ImageBias {
    const kept = height === this.bias.height && width === this.bias.width;
    return kept ? this.bias : scope.hold(new ImageBias(this.encoder, height, width));
  }

  /** Embedded patches; those of absent images are zeroed and masked. `scope` owns the tensors. */
  imageStream(
    features: tf.Tensor4D,
    bias: ImageBias,
    patchMasks: readonly boolean[] | undefined,
    scope: TensorScope,
  ): Stream {
    const x = scope.hold(this.encoder.embedPatches(features));
    const [images, patches] = x.shape;
    const padding = Array.from({length: images}, (_, b) => new Array<boolean>(patches).fill(patchMasks?.[b] === false));
    return maskPadding({x, positions: bias.positions, lengths: padding.map((row) => row.length)}, padding, scope);
  }

  /** Embedded prompts, right-padded to the longest. `scope` owns the tensors. */
  textStream(prompts: readonly (readonly number[])[], scope: TensorScope): Stream {
    const lengths = prompts.map((prompt) => prompt.length);
    const longest = largest(lengths);
    const ids = prompts.map((prompt) => [...prompt, ...new Array<number>(longest - prompt.length).fill(PAD)]);
    const x = scope.hold(tf.tidy(() => this.encoder.embedTokens(tf.tensor2d(ids, [ids.length, longest], 'int32'))));
    const positions = scope.hold(this.encoder.textPositions(longest));
    const padding = ids.map((row) => row.map((id) => id === PAD));
    return maskPadding({x, positions, lengths}, padding, scope);
  }

  /** Runs the image stream of a MuE model. */
  async runImage(image: Stream, bias: ImageBias, policy: PolicyPerImage, options: RunOptions = {}): Promise<StreamRun> {
    return await this.#run(image, this.#imageLayer(image, bias), 'encoder.image', policy, options);
  }

  #imageLayer({mask}: Stream, bias: ImageBias, run = RUN_LAYER): RunLayer {
    return (x, layer, active) =>
      tf.tidy(() => run(this.encoder.layers[layer]!, x, withMask(bias.layer(layer), mask, active)));
  }

  /**
   * Runs the text stream of a MuE model.
   * @param prompts   token ids that the stream was made of: a prompt that comes again need not be computed again
   */
  async runText(
    text: Stream,
    prompts: readonly (readonly number[])[],
    policy: PolicyPerImage,
    options: RunOptions = {},
  ): Promise<StreamRun> {
    using scope = new TensorScope();
    using known = this.#prompts.lookup(prompts);
    const compute = this.#textLayer(text, scope);
    const forward: RunLayer = (x, layer, active) =>
      known ? known.after(layer, x.shape[0], () => compute(x, layer, active)) : compute(x, layer, active);
    const ran = await this.#run(text, forward, 'encoder.text', policy, options);
    await known?.keep();
    return ran;
  }

  #textLayer({x: {shape}, positions, mask}: Stream, scope: TensorScope, run = RUN_LAYER): RunLayer {
    const absolute = scope.hold(this.encoder.absoluteBias(positions));
    return (x, layer, active) =>
      tf.tidy(() => {
        const bias = absolute.add(this.encoder.textRelativeBias(layer, shape[1]));
        return run(this.encoder.layers[layer]!, x, withMask(bias, mask, active));
      });
  }

  /** Runs image and text of a plain model, as one sequence. */
  async runJoint(
    image: Stream,
    text: Stream,
    bias: ImageBias,
    policy: PolicyPerImage,
    options: RunOptions,
  ): Promise<StreamRun> {
    using scope = new TensorScope();
    const joint = joinStreams(image, text, scope);
    const forward = this.#jointLayer(joint, image, text, bias, scope);
    return await this.#run(joint, forward, 'encoder', policy, options);
  }

  #jointLayer(
    joint: Stream,
    image: Stream,
    text: Stream,
    bias: ImageBias,
    scope: TensorScope,
    run = RUN_LAYER,
  ): RunLayer {
    const absolute = scope.hold(this.encoder.absoluteBias(joint.positions));
    const [patches, tokens] = [image.x.shape[1], text.x.shape[1]];
    const none: [number, number] = [0, 0];
    return (x, layer, active) =>
      tf.tidy(() => {
        const visual = bias.layer(layer).pad([none, none, [0, tokens], [0, tokens]]);
        const textual = this.encoder.textRelativeBias(layer, tokens).pad([none, none, [patches, 0], [patches, 0]]);
        return run(this.encoder.layers[layer]!, x, withMask(absolute.add(visual).add(textual), joint.mask, active));
      });
  }

  async #run(
    {x: before, lengths}: Stream,
    forward: RunLayer,
    stack: 'encoder' | 'encoder.image' | 'encoder.text',
    policy: PolicyPerImage,
    {signal}: RunOptions,
  ): Promise<StreamRun> {
    const [, longest, size] = before.shape;
    const unpadded = (length: number) => (x: tf.Tensor3D) => tf.slice(x, [0, 0, 0], [1, length, size]);
    const eachDecides = Array.isArray(policy);
    const units = toPolicyList(policy).map((own, b): ExitUnit => {
      const padded = eachDecides && lengths[b]! < longest;
      return padded ? {policy: own, view: unpadded(lengths[b]!)} : {policy: own};
    });
    const depth = this.encoder.layers.length;
    const {x, passes} = await runStackBatched(before, forward, {stack, depth}, units, {signal});
    return {x, passes: lengths.map((length, b) => ({trace: (passes[b] ?? passes[0]!).trace, length}))};
  }

  /** The final norm over both streams, whatever depth each left at. @param x [B, M, D], borrowed */
  finish(x: tf.Tensor3D, image: Stream, text: Stream, stem: StemRun, streams: readonly StreamRun[]): OfaEncoded {
    using scope = new TensorScope();
    const positions = scope.hold(tf.concat([image.positions, text.positions], 1));
    const mask = joinMasks(image, text, scope);
    const states = scope.hold(this.encoder.norm.forward(x));
    if (mask) scope.give(mask);
    const patches = image.x.shape[1];
    const lengths = image.lengths.map((length, b) => length + text.lengths[b]!);
    const runs = lengths.map((_, b): ImageRun => {
      const passes = streams.map((stream) => stream.passes[b]!);
      const macs = this.cost.encode(stem.macs, patches, passes);
      const traces = passes.map(({trace}) => trace);
      const ofResNet = stem.patches[b] ?? stem.patches[0];
      if (!ofResNet) return {traces, macs};
      const {run, full} = this.cost.patchStack(patches, ofResNet);
      return {traces: [ofResNet, ...traces], macs: {run: macs.run - full + run, full: macs.full}};
    });
    return new OfaEncoded(scope.give(states), scope.give(positions), mask, lengths, runs);
  }
}

/**
 * Zeroes the padded positions of a stream and makes their mask.
 * @param stream    its x is held by `scope`
 * @param padding   per image and position
 */
function maskPadding(
  stream: Omit<Stream, 'mask'>,
  padding: readonly (readonly boolean[])[],
  scope: TensorScope,
): Stream {
  if (!padding.some((row) => row.includes(true))) return {...stream, mask: undefined};
  const [b, t] = stream.x.shape;
  const flags = Float32Array.from(padding.flat(), Number);
  const zeroed = tf.tidy(() => stream.x.mul(tf.scalar(1).sub(tf.tensor3d(flags, [b, t, 1]))) as tf.Tensor3D);
  const added = flags.map((flag) => flag * -1e9);
  return {...stream, x: scope.replace(stream.x, zeroed), mask: scope.hold(tf.tensor4d(added, [b, 1, 1, t]))};
}

/** Image first, then text. */
function joinStreams(image: Stream, text: Stream, scope: TensorScope): Stream {
  return {
    x: scope.hold(tf.concat([image.x, text.x], 1)),
    positions: scope.hold(tf.concat([image.positions, text.positions], 1)),
    mask: joinMasks(image, text, scope),
    lengths: image.lengths.map((length, b) => length + text.lengths[b]!),
  };
}

function joinMasks(image: Stream, text: Stream, scope: TensorScope): tf.Tensor4D | undefined {
  if (!image.mask && !text.mask) return undefined;
  const mask = (stream: Stream): tf.Tensor4D => stream.mask ?? tf.zeros([stream.x.shape[0], 1, 1, stream.x.shape[1]]);
  return scope.hold(tf.tidy(() => tf.concat([mask(image), mask(text)], 3)));
}

/** Bias and mask of the active images; the mask has a row for every image. */
function withMask(bias: tf.Tensor, mask: tf.Tensor4D | undefined, {indices, total}: ActiveUnits): tf.Tensor[] {
  if (!mask) return [bias];
  return [bias, indices.length === total ? mask : gatherRows(mask, indices)];
}

/**
 * The state of each row after a layer of its own. Call it inside a tidy.
 * @param after    [B, ...] after each layer
 * @param depths   a layer each, from 1
 */
export function stateAt<T extends tf.Tensor>(after: readonly T[], depths: readonly number[]): T {
  const flags = (layer: number): tf.Tensor => {
    const values = depths.map((depth) => Number(depth === layer + 1));
    return tf.tensor(values, [values.length, ...new Array<number>(after[0]!.rank - 1).fill(1)]);
  };
  const used = [...after.keys()].filter((layer) => depths.includes(layer + 1));
  return used.map((layer) => after[layer]!.mul(flags(layer))).reduce((sum, each) => sum.add(each)) as T;
}
