import * as tf from '@tensorflow/tfjs';
import {cosine} from '../../exit/policies/cosine.js';
import type {ExitPolicy, StackName} from '../../exit/policy.js';
import {type AdapterMacs, withoutTests} from '../../exit/trace.js';
import type {KeysValues} from '../../nn/attention.js';
import {CrossAttentionKv} from '../../nn/cross-attention-cache.js';
import {UsageError} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {ImageStates, MultiDepthEncoding, RunOptions} from '../model.js';
import type {OfaDecoder} from './decoder.js';
import {OfaEncoded, type OfaEncoding} from './encode.js';

// L depths, P patches, S text tokens, M = P + S, T tokens of a stream, D width, H heads, d head width, C combinations

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

/** The image stream of one image at every depth. Owns its tensors. */
export class OfaImageStates implements ImageStates {
  private constructor(
    private readonly parts: ModelParts,
    private readonly image: StreamStates,
    private readonly stemMacs: number,
    private readonly scope: TensorScope,
  ) {}

  /**
   * @throws UsageError for a plain model: its one stream sees image and prompt together, so nothing can be recombined
   * @internal
   */
  static async run(parts: ModelParts, pixels: tf.Tensor4D, options: RunOptions = {}): Promise<OfaImageStates> {
    using scope = new TensorScope();
    const {encoding} = parts;
    const {encoder} = encoding;
    if (!encoder.config.train_mue) {
      throw new UsageError(
        'record-joint',
        'this model encodes picture and text jointly: its depths cannot be recombined',
        {hint: 'Record with a model trained for MuE.'},
      );
    }
    const features = scope.hold(encoder.resnet.forward(pixels));
    const [, height, width] = features.shape;
    const bias = encoding.biasFor(height, width, scope);
    const stream = encoding.imageStream(features, bias, undefined, scope);
    const owned = scope.hold(new TensorScope());
    const run = async (policy: ExitPolicy) => (await encoding.runImage(stream, bias, policy, options)).x;
    const image = await runAllLayers(parts, 'encoder.image', stream.positions.clone(), owned, run);
    const stemMacs = encoding.cost.stem(pixels.shape[1], pixels.shape[2]);
    return new OfaImageStates(parts, image, stemMacs, scope.give(owned));
  }

  async withPrompt(prompt: readonly number[], options: RunOptions = {}): Promise<OfaMultiDepthEncoding> {
    using scope = new TensorScope();
    const {encoding} = this.parts;
    const stream = encoding.textStream([prompt], scope);
    const owned = scope.hold(new TensorScope());
    const run = async (policy: ExitPolicy) => (await encoding.runText(stream, [], policy, options)).x;
    const text = await runAllLayers(this.parts, 'encoder.text', stream.positions.clone(), owned, run);
    return new OfaMultiDepthEncoding(encoding, this.image, text, this.stemMacs, scope.give(owned));
  }

  [Symbol.dispose](): void {
    this.scope[Symbol.dispose]();
  }
}

/** An image and a prompt at every pair of depths. Owns the prompt's tensors; those of the image are borrowed. */
export class OfaMultiDepthEncoding implements MultiDepthEncoding {
  /** @internal */
  constructor(
    private readonly encoding: OfaEncoding,
    private readonly image: StreamStates,
    private readonly text: StreamStates,
    private readonly stemMacs: number,
    private readonly scope: TensorScope,
  ) {}

  get stacks(): MultiDepthEncoding['stacks'] {
    return [this.image, this.text].map(({stack, similarity, states}) => ({
      stack,
      similarity,
      testMacs: this.encoding.cost.exitTest(states.size / similarity.length),
    }));
  }

  combine(depths: readonly (readonly number[])[]): OfaEncoded {
    const [imageRows, textRows] = [0, 1].map((stack) => depths.map((pair) => pair[stack]! - 1)) as [number[], number[]];
    const rows = (x: tf.Tensor, which: readonly number[]): tf.Tensor => tf.gather(x, tf.tensor1d([...which], 'int32'));
    /** Rows of both streams, one behind the other along an axis. */
    const both = (axis: number, image: tf.Tensor, text: tf.Tensor): tf.Tensor =>
      tf.concat([rows(image, imageRows), rows(text, textRows)], axis);
    const states = tf.tidy(() => both(1, this.image.states, this.text.states) as tf.Tensor3D);
    const positions = tf.tidy(() => tf.concat([this.image.positions, this.text.positions], 1));
    const precomputedKv = (layer: number): CrossAttentionKv => {
      const [image, text] = [this.image.crossKv(layer), this.text.crossKv(layer)];
      return CrossAttentionKv.from(
        tf.tidy(() => ({
          keys: both(3, image.keys, text.keys) as tf.Tensor4D,
          values: both(2, image.values, text.values) as tf.Tensor4D,
        })),
      );
    };
    const full = this.#encoderMacs([this.image.similarity.length, this.text.similarity.length]);
    const runs = depths.map((pair) => ({traces: [], macs: {run: this.#encoderMacs(pair), full}}));
    const lengths = depths.map(() => states.shape[1]);
    return new OfaEncoded(states, positions, undefined, lengths, runs, precomputedKv);
  }

  /**
   * @param depths   of image and text
   * @returns        without exit tests
   */
  #encoderMacs(depths: readonly number[]): number {
    const streams = [this.image, this.text].map(({states, similarity}, i) => ({
      ...withoutTests(depths[i]!, similarity.length),
      length: states.shape[1],
    }));
    return this.encoding.cost.encode(this.stemMacs, this.image.states.shape[1], streams).run;
  }

  scoringMacs(
    depths: readonly number[],
    decoderLayers: number,
    tokens: number,
    ids: number,
    adapters?: AdapterMacs,
  ): number {
    const {cost, encoder} = this.encoding;
    const memoryLength = this.image.states.shape[1] + this.text.states.shape[1];
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
