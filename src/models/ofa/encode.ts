import * as tf from '@tensorflow/tfjs';
import type {PolicyPerImage, ExitPolicy} from '../../exit/policy.js';
import {type RunLayer, type ActiveUnits, runStackBatched} from '../../exit/run-stack.js';
import {addMacs, exitTestCount, type ImageRun} from '../../exit/trace.js';
import type {CrossAttentionKv} from '../../nn/cross-attention-cache.js';
import {gatherRows} from '../../nn/gather-rows.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Encoded, EncodeInput, RunOptions} from '../model.js';
import {ImageBias} from './bias-tables.js';
import type {OfaEncoder} from './encoder.js';
import type {OfaCost} from './macs.js';

// B pictures, S tokens, D width

/** States of a text after each layer, of one row. */
type Layers = Map<number, {readonly shape: [number, number, number]; readonly values: Float32Array}>;

/**
 * The text stream of the latest prompt, if it came twice in a row: captions all ask the same, entailments never do. States are the same
 * whatever exits, so that a policy sees what it would have seen; they are kept as plain numbers, which no backend owns. Multiply-accumulates
 * are counted as of a prompt that is new.
 */
export class PromptCache {
  #latest = '';
  #layers: Layers = new Map();

  /** @returns what is known of the prompt of all pictures; undefined where they differ or it is new. Dispose of it. */
  lookup(prompts: readonly (readonly number[])[]): PromptStates | undefined {
    const [key, ...others] = prompts.map((prompt) => prompt.join());
    if (key === undefined || others.some((other) => other !== key)) return undefined;
    if (key === this.#latest) return new PromptStates(this.#layers);
    this.#latest = key;
    this.#layers = new Map();
    return undefined;
  }
}

/** One pass through the text stream. */
export class PromptStates implements Disposable {
  readonly #scope = new TensorScope();
  readonly #fresh = new Map<number, tf.Tensor3D>();

  constructor(private readonly layers: Layers) {}

  /** The state after a layer, [B, S, D], the caller's: remembered, or computed and from now on to be remembered. */
  after(layer: number, rows: number, compute: () => tf.Tensor3D): tf.Tensor3D {
    const known = this.layers.get(layer);
    if (known) return tf.tidy(() => tf.tile(tf.tensor3d(known.values, known.shape), [rows, 1, 1]));
    const state = compute();
    const [, tokens, width] = state.shape;
    this.#fresh.set(layer, this.#scope.hold(tf.slice(state, [0, 0, 0], [1, tokens, width])));
    return state;
  }

  /** Remembers what this pass computed. */
  async keep(): Promise<void> {
    for (const [layer, state] of this.#fresh)
      this.layers.set(layer, {shape: state.shape, values: (await state.data()) as Float32Array});
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}

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
  /** Tokens of each picture, without padding. */
  readonly lengths: readonly number[];
}

/** Output of the encoder, as the decoder reads it. Owns its tensors. */
export class OfaEncoded implements Encoded {
  /** @param states [B, M, D]; image first. @param positions [1, M, D]. @param mask [B, 1, 1, M] */
  constructor(
    readonly states: tf.Tensor3D,
    readonly positions: tf.Tensor3D,
    readonly mask: tf.Tensor4D | undefined,
    /** M of each picture, without padding. */
    readonly lengths: readonly number[],
    readonly runs: readonly ImageRun[],
    /** What a decoder layer's cross-attention reads, where it need not be computed from the states; the caller's. */
    readonly remember?: (layer: number) => CrossAttentionKv,
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
  readonly #prompts = new PromptCache();

  constructor(
    readonly encoder: OfaEncoder,
    readonly cost: OfaCost,
    /** For the picture size that the model expects; others are made for one call. */
    private readonly bias: ImageBias,
  ) {}

  async encode(
    {pixels, prompts, patchMasks}: EncodeInput,
    policy: PolicyPerImage,
    options: RunOptions = {},
  ): Promise<OfaEncoded> {
    using scope = new TensorScope();
    const features = scope.hold(this.encoder.resnet.forward(pixels));
    const front = this.cost.resnet(pixels.shape[1], pixels.shape[2]);
    return await this.encodeFeatures(features, front, {prompts, ...(patchMasks ? {patchMasks} : {})}, policy, options);
  }

  /**
   * The encoder behind the ResNet, so that one picture's features can serve several prompts.
   * @param features [B, h, w, 1024], borrowed
   * @param front what those of one picture cost, in multiply-accumulates
   */
  async encodeFeatures(
    features: tf.Tensor4D,
    front: number,
    {prompts, patchMasks}: Omit<EncodeInput, 'pixels'>,
    policy: PolicyPerImage,
    options: RunOptions = {},
  ): Promise<OfaEncoded> {
    using scope = new TensorScope();
    const [, height, width] = features.shape;
    const bias = this.biasFor(height, width, scope);
    const image = this.image(features, bias, patchMasks, scope);
    const text = this.text(prompts, scope);
    const embedding = front + this.cost.patchProjection(height * width);
    if (!this.encoder.config.train_mue) {
      const joint = await this.runJoint(image, text, bias, policy, options);
      scope.hold(joint.x);
      return this.finish(joint.x, image, text, embedding, [joint]);
    }
    // The authors' order: text first. The streams do not see each other.
    const ranText = await this.runText(text, policy, {...options, prompts});
    scope.hold(ranText.x);
    const ranImage = await this.runImage(image, bias, policy, options);
    scope.hold(ranImage.x);
    const x = scope.hold(tf.concat([ranImage.x, ranText.x], 1));
    return this.finish(x, image, text, embedding, [ranImage, ranText]);
  }

  /** The kept biases, or new ones that `scope` owns. */
  biasFor(height: number, width: number, scope: TensorScope): ImageBias {
    return height === this.bias.height && width === this.bias.width
      ? this.bias
      : scope.hold(new ImageBias(this.encoder, height, width));
  }

  /** Embedded patches; those of absent pictures zeroed and masked. `scope` owns the tensors. */
  image(
    features: tf.Tensor4D,
    bias: ImageBias,
    patchMasks: readonly boolean[] | undefined,
    scope: TensorScope,
  ): Stream {
    const x = scope.hold(this.encoder.embedPatches(features));
    const [pictures, patches] = x.shape;
    const absent = Array.from({length: pictures}, (_, b) =>
      new Array<boolean>(patches).fill(patchMasks?.[b] === false),
    );
    const lengths = absent.map((row) => row.length);
    return masked(x, bias.positions, absent, lengths, scope);
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
      prompts.map((p) => p.length),
      scope,
    );
  }

  /** The image stream of a MuE model. @returns its last state, the caller's. */
  async runImage(
    image: Stream,
    bias: ImageBias,
    policy: PolicyPerImage,
    {signal}: RunOptions = {},
  ): Promise<StreamRun> {
    const forward: RunLayer = (x, layer, running) =>
      tf.tidy(() => this.encoder.layers[layer]!.forward(x, withMask(bias.layer(layer), image.mask, running)));
    return this.#run(image, forward, 'encoder.image', policy, signal);
  }

  /**
   * The text stream of a MuE model.
   * @param prompts what the stream was made of, if it may come again
   * @returns its last state, the caller's
   */
  async runText(
    text: Stream,
    policy: PolicyPerImage,
    {signal, prompts = []}: RunOptions & {readonly prompts?: readonly (readonly number[])[]} = {},
  ): Promise<StreamRun> {
    using scope = new TensorScope();
    using known = this.#prompts.lookup(prompts);
    const length = text.x.shape[1];
    const absolute = scope.hold(this.encoder.absoluteBias(text.positions));
    const compute: RunLayer = (x, layer, running) =>
      tf.tidy(() => {
        const bias = absolute.add(this.encoder.textRelativeBias(layer, length));
        return this.encoder.layers[layer]!.forward(x, withMask(bias, text.mask, running));
      });
    const forward: RunLayer = (x, layer, running) =>
      known ? known.after(layer, x.shape[0], () => compute(x, layer, running)) : compute(x, layer, running);
    const ran = await this.#run(text, forward, 'encoder.text', policy, signal);
    await known?.keep();
    return ran;
  }

  /** Both as one sequence, as plain OFA does. @returns the last state [B, M, D], the caller's. */
  async runJoint(
    image: Stream,
    text: Stream,
    bias: ImageBias,
    policy: PolicyPerImage,
    {signal}: RunOptions = {},
  ): Promise<StreamRun> {
    using scope = new TensorScope();
    const joint = join(image, text, scope);
    const absolute = scope.hold(this.encoder.absoluteBias(joint.positions));
    const [patches, tokens] = [image.x.shape[1], text.x.shape[1]];
    const forward: RunLayer = (x, layer, running) =>
      tf.tidy(() => {
        const none: [number, number] = [0, 0];
        const visual = bias.layer(layer).pad([none, none, [0, tokens], [0, tokens]]);
        const textual = this.encoder.textRelativeBias(layer, tokens).pad([none, none, [patches, 0], [patches, 0]]);
        return this.encoder.layers[layer]!.forward(x, withMask(absolute.add(visual).add(textual), joint.mask, running));
      });
    return await this.#run(joint, forward, 'encoder', policy, signal);
  }

  async #run(
    {x: before, lengths}: Stream,
    forward: RunLayer,
    stack: 'encoder' | 'encoder.image' | 'encoder.text',
    policy: PolicyPerImage,
    signal?: AbortSignal,
  ): Promise<StreamRun> {
    const depth = this.encoder.layers.length;
    const [, longest, size] = before.shape;
    const unpadded = (length: number) => (x: tf.Tensor3D) => tf.slice(x, [0, 0, 0], [1, length, size]);
    const samples = Array.isArray(policy)
      ? (policy as readonly ExitPolicy[]).map((own, b) => ({
          policy: own,
          ...(lengths[b]! < longest ? {view: unpadded(lengths[b]!)} : {}),
        }))
      : [{policy: policy as ExitPolicy}];
    const {x, runs} = await runStackBatched(before, forward, {stack, depth}, samples, {signal});
    const pictures = lengths.map((length, b) => {
      const {trace} = runs[b] ?? runs[0]!;
      const positions = this.cost.encoderPositions(length);
      const layer = this.cost.encoderLayer(length);
      const tests = exitTestCount(trace) * this.cost.exitTest(length * size);
      return {
        traces: [trace],
        macs: {run: positions + trace.exitLayer * layer + tests, full: positions + depth * layer},
      };
    });
    return {x, runs: pictures};
  }

  /**
   * The final norm over both streams, whatever depth each left at. @param x [B, M, D], borrowed.
   * @param embedding cost of a picture's patches
   */
  finish(x: tf.Tensor3D, image: Stream, text: Stream, embedding: number, streams: readonly StreamRun[]): OfaEncoded {
    using scope = new TensorScope();
    const positions = scope.hold(tf.concat([image.positions, text.positions], 1));
    const mask = joinMasks(image, text, scope);
    const states = scope.hold(this.encoder.norm.forward(x));
    if (mask) scope.give(mask);
    const lengths = image.lengths.map((length, b) => length + text.lengths[b]!);
    const runs = lengths.map((_, b) => ({
      traces: streams.flatMap((stream) => stream.runs[b]!.traces),
      macs: addMacs({run: embedding, full: embedding}, ...streams.map((stream) => stream.runs[b]!.macs)),
    }));
    return new OfaEncoded(scope.give(states), scope.give(positions), mask, lengths, runs);
  }
}

/** A stream after its run. */
export interface StreamRun {
  readonly x: tf.Tensor3D;
  /** One a picture. */
  readonly runs: readonly ImageRun[];
}

/** Zeroes padded positions of x, which `scope` holds, and makes their mask. */
function masked(
  x: tf.Tensor3D,
  positions: tf.Tensor3D,
  absent: readonly (readonly boolean[])[],
  lengths: readonly number[],
  scope: TensorScope,
): Stream {
  if (!absent.some((row) => row.includes(true))) return {x, positions, mask: undefined, lengths};
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
    lengths,
  };
}

/** Image first, then text. */
function join(image: Stream, text: Stream, scope: TensorScope): Stream {
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

/** The mask has every picture, the state those that run. */
function withMask(
  bias: tf.Tensor,
  mask: tf.Tensor4D | undefined,
  {indices: samples, total: of}: ActiveUnits,
): tf.Tensor[] {
  if (!mask) return [bias];
  return [bias, samples.length === of ? mask : gatherRows(mask, samples)];
}
