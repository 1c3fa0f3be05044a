import * as tf from '@tensorflow/tfjs';
import {cosine} from '../../exit/policies/cosine.js';
import type {ExitPolicy, StackName} from '../../exit/policy.js';
import {type AdapterMacs, withoutTests} from '../../exit/trace.js';
import type {KeysValues} from '../../nn/attention.js';
import {CrossAttentionKv} from '../../nn/cross-attention-cache.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {ImageStates, MultiDepthEncoding, RunOptions} from '../model.js';
import type {OfaDecoder} from './decoder.js';
import type {ImageBias} from './bias-tables.js';
import {OfaEncoded, type OfaEncoding, type Stream} from './encode.js';

// L depths, P patches, S text tokens, T tokens of a stream, M those of all streams, D width, H heads, d head width,
// C combinations

/** The parts of a model that states at all depths are made with; borrowed. */
export interface ModelParts {
  readonly encoding: OfaEncoding;
  readonly decoder: OfaDecoder;
}

/** A stream's states after every layer, each through the encoder's final norm, which works token by token. */
interface StreamStates {
  readonly stack: StackName;
  /** Cosine between the states before and after each layer. */
  readonly similarity: readonly number[];
  /** [L, T, D] */
  readonly states: tf.Tensor3D;
  /** Position vectors [1, T, D]. */
  readonly positions: tf.Tensor3D;
  /** Cross-attention keys and values of a decoder layer for all depths at once, made when first asked for; borrowed. */
  readonly crossKv: (layer: number) => KeysValues;
}

/**
 * One image at every depth of what sees it alone: MuE's image stream; of a joint encoder, which reads image and prompt
 * together, nothing but the embedded patches. Owns its tensors.
 */
export class OfaImageStates implements ImageStates {
  private constructor(
    private readonly parts: ModelParts,
    private readonly image: Stream,
    private readonly bias: ImageBias,
    /** The image stream after every layer; undefined where there is none. */
    private readonly alone: StreamStates | undefined,
    private readonly stemMacs: number,
    private readonly scope: TensorScope,
  ) {}

  /** @internal */
  static async run(parts: ModelParts, pixels: tf.Tensor4D, options: RunOptions = {}): Promise<OfaImageStates> {
    using scope = new TensorScope();
    const {encoding} = parts;
    const {encoder} = encoding;
    const owned = scope.hold(new TensorScope());
    const features = scope.hold(encoder.resnet.forward(pixels));
    const [, height, width] = features.shape;
    const bias = encoding.biasFor(height, width, owned);
    const image = encoding.imageStream(features, bias, undefined, owned);
    const run = async (policy: ExitPolicy) => (await encoding.runImage(image, bias, policy, options)).x;
    const alone = encoder.config.train_mue
      ? await runAllLayers(parts, 'encoder.image', image.positions.clone(), owned, run)
      : undefined;
    const stemMacs = encoding.cost.stem(pixels.shape[1], pixels.shape[2]);
    return new OfaImageStates(parts, image, bias, alone, stemMacs, scope.give(owned));
  }

  async withPrompt(prompt: readonly number[], options: RunOptions = {}): Promise<OfaMultiDepthEncoding> {
    using scope = new TensorScope();
    const {parts, image, alone} = this;
    const {encoding} = parts;
    const text = encoding.textStream([prompt], scope);
    const owned = scope.hold(new TensorScope());
    const joint = async (policy: ExitPolicy) => (await encoding.runJoint(image, text, this.bias, policy, options)).x;
    const separate = async (policy: ExitPolicy) => (await encoding.runText(text, [], policy, options)).x;
    const streams = alone
      ? [alone, await runAllLayers(parts, 'encoder.text', text.positions.clone(), owned, separate)]
      : [await runAllLayers(parts, 'encoder', tf.concat([image.positions, text.positions], 1), owned, joint)];
    const embedded = {patches: image.x.shape[1], stemMacs: this.stemMacs};
    return new OfaMultiDepthEncoding(encoding, streams, embedded, scope.give(owned));
  }

  [Symbol.dispose](): void {
    this.scope[Symbol.dispose]();
  }
}

/** Sizes and costs of an image before the first layer. */
interface EmbeddedImage {
  /** P */
  readonly patches: number;
  /** Multiply-accumulates of the ResNet. */
  readonly stemMacs: number;
}

/** An image and a prompt at every combination of depths. Owns the prompt's tensors; those of the image are borrowed. */
export class OfaMultiDepthEncoding implements MultiDepthEncoding {
  /** @internal */
  constructor(
    private readonly encoding: OfaEncoding,
    /** In the order in which the decoder reads them: image and text, or both as one. */
    private readonly streams: readonly StreamStates[],
    private readonly image: EmbeddedImage,
    private readonly scope: TensorScope,
  ) {}

  get stacks(): MultiDepthEncoding['stacks'] {
    return this.streams.map(({stack, similarity, states}) => ({
      stack,
      similarity,
      testMacs: this.encoding.cost.exitTest(states.size / similarity.length),
    }));
  }

  combine(depths: readonly (readonly number[])[]): OfaEncoded {
    const {streams} = this;
    /** Rows of all streams, one behind the other along an axis. */
    const joined = (axis: number, ofStream: (stream: StreamStates) => tf.Tensor): tf.Tensor => {
      const rows = streams.map((stream, k) => {
        const which = depths.map((combination) => combination[k]! - 1);
        return tf.gather(ofStream(stream), tf.tensor1d(which, 'int32'));
      });
      return tf.concat(rows, axis);
    };
    const states = tf.tidy(() => joined(1, (stream) => stream.states) as tf.Tensor3D);
    const positions = tf.tidy(() =>
      tf.concat(
        streams.map((stream) => stream.positions),
        1,
      ),
    );
    const precomputedKv = (layer: number): CrossAttentionKv =>
      CrossAttentionKv.from(
        tf.tidy(() => ({
          keys: joined(3, (stream) => stream.crossKv(layer).keys) as tf.Tensor4D,
          values: joined(2, (stream) => stream.crossKv(layer).values) as tf.Tensor4D,
        })),
      );
    const full = this.#encoderMacs(streams.map(({similarity}) => similarity.length));
    const runs = depths.map((combination) => ({traces: [], macs: {run: this.#encoderMacs(combination), full}}));
    const lengths = depths.map(() => states.shape[1]);
    return new OfaEncoded(states, positions, undefined, lengths, runs, precomputedKv);
  }

  /**
   * @param depths   of the streams
   * @returns        without exit tests
   */
  #encoderMacs(depths: readonly number[]): number {
    const streams = this.streams.map(({states, similarity}, k) => ({
      ...withoutTests(depths[k]!, similarity.length),
      length: states.shape[1],
    }));
    return this.encoding.cost.encode(this.image.stemMacs, this.image.patches, streams).run;
  }

  scoringMacs(
    depths: readonly number[],
    decoderLayers: number,
    tokens: number,
    ids: number,
    adapters?: AdapterMacs,
  ): number {
    const {cost, encoder} = this.encoding;
    const memoryLength = this.streams.reduce((sum, {states}) => sum + states.shape[1], 0);
    const pass = {
      ...withoutTests(decoderLayers, encoder.config.decoder_layers),
      rows: 1,
      length: tokens,
      decidedOn: 0,
      positions: 1,
      ids,
    };
    const scoring = cost.score(memoryLength, pass, adapters);
    return this.#encoderMacs(depths) + scoring.run;
  }

  [Symbol.dispose](): void {
    this.scope[Symbol.dispose]();
  }
}

/**
 * Runs a stream to the end and keeps the state after every layer.
 * @param positions   taken over
 * @param scope       owns what is kept
 * @param run         runs the stream with a policy; its result is the caller's
 */
async function runAllLayers(
  {encoding, decoder}: ModelParts,
  stack: StackName,
  positions: tf.Tensor3D,
  scope: TensorScope,
  run: (policy: ExitPolicy) => Promise<tf.Tensor3D>,
): Promise<StreamStates> {
  using work = new TensorScope();
  scope.hold(positions);
  const similarity: number[] = [];
  const afterLayers: tf.Tensor3D[] = [];
  const watch: ExitPolicy = {
    name: 'every-depth',
    observe: async (before, after) => {
      afterLayers.push(work.hold(encoding.encoder.norm.forward(after)));
      similarity.push(await cosine(before, after));
      return {exit: false};
    },
  };
  work.hold(await run(watch));
  const states = scope.hold(tf.concat(afterLayers));
  const made = new Map<number, KeysValues>();
  const crossKv = (layer: number): KeysValues => {
    const known = made.get(layer);
    if (known) return known;
    const kv = decoder.layers[layer]!.crossAttention.keysValues(states);
    // They may be asked for inside a tidy, and outlive it.
    const kept = {keys: scope.hold(tf.keep(kv.keys)), values: scope.hold(tf.keep(kv.values))};
    made.set(layer, kept);
    return kept;
  };
  return {stack, similarity, states, positions, crossKv};
}
