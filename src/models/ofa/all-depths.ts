import * as tf from '@tensorflow/tfjs';
import {cosine} from '../../exit/policies/cosine.js';
import type {ExitPolicy, StackName} from '../../exit/policy.js';
import type {KeysValues} from '../../nn/attention.js';
import {CrossAttentionKv} from '../../nn/cross-attention-cache.js';
import {UsageError} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {ImageStates, MultiDepthEncoding, RunOptions} from '../model.js';
import {OfaEncoded} from './encode.js';
import type {OfaModel} from './model.js';

// L depths, P patches, S text tokens, M = P + S, D width, H heads, d head width, C combinations

/** A stream's states after every layer, each through the encoder's final norm, which works token by token. */
interface StreamDepths {
  readonly stack: StackName;
  readonly similarity: readonly number[];
  /** [L, T, D] */
  readonly states: tf.Tensor3D;
  /** [1, T, D] */
  readonly positions: tf.Tensor3D;
  /** Keys and values of a decoder layer's cross-attention for all depths at once; made when first asked for. */
  readonly memory: (layer: number) => KeysValues;
}

/** The image stream of a picture at every depth. Owns its tensors. */
export class OfaImageStates implements ImageStates {
  private constructor(
    private readonly model: OfaModel,
    private readonly image: StreamDepths,
    private readonly front: number,
    private readonly scope: TensorScope,
  ) {}

  /** @throws UsageError for a plain model: its one stream sees picture and prompt together, so nothing can be recombined */
  static async run(model: OfaModel, pixels: tf.Tensor4D, {signal}: RunOptions = {}): Promise<OfaImageStates> {
    using scope = new TensorScope();
    const {encoder, encoding, cost} = model;
    if (!model.config.train_mue) {
      throw new UsageError(
        'record-joint',
        'this model encodes picture and text jointly: its depths cannot be recombined',
        {
          hint: 'Record with a model trained for MuE.',
        },
      );
    }
    const features = scope.hold(encoder.resnet.forward(pixels));
    const [, height, width] = features.shape;
    const bias = encoding.biasFor(height, width, scope);
    const stream = encoding.image(features, bias, undefined, scope);
    const owned = scope.hold(new TensorScope());
    const depths = await runAllLayers(
      model,
      'encoder.image',
      stream.positions.clone(),
      owned,
      async (policy) => (await encoding.runImage(stream, bias, policy, {signal})).x,
    );
    const front = cost.resnet(pixels.shape[1], pixels.shape[2]) + cost.patchProjection(height * width);
    return new OfaImageStates(model, depths, front, scope.give(owned));
  }

  async withPrompt(prompt: readonly number[], {signal}: RunOptions = {}): Promise<OfaMultiDepthEncoding> {
    using scope = new TensorScope();
    const stream = this.model.encoding.text([prompt], scope);
    const owned = scope.hold(new TensorScope());
    const text = await runAllLayers(
      this.model,
      'encoder.text',
      stream.positions.clone(),
      owned,
      async (policy) => (await this.model.encoding.runText(stream, policy, {signal})).x,
    );
    return new OfaMultiDepthEncoding(this.model, this.image, text, this.front, scope.give(owned));
  }

  [Symbol.dispose](): void {
    this.scope[Symbol.dispose]();
  }
}

/** A picture and a prompt at every pair of depths. Owns what is the prompt's; the picture's part is borrowed. */
export class OfaMultiDepthEncoding implements MultiDepthEncoding {
  constructor(
    private readonly model: OfaModel,
    private readonly image: StreamDepths,
    private readonly text: StreamDepths,
    private readonly front: number,
    private readonly scope: TensorScope,
  ) {}

  get stacks(): MultiDepthEncoding['stacks'] {
    // Of one picture's states.
    return [this.image, this.text].map(({stack, similarity, states}) => ({
      stack,
      similarity,
      testMacs: this.model.cost.exitTest(states.size / similarity.length),
    }));
  }

  combine(depths: readonly (readonly number[])[]): OfaEncoded {
    const [image, text] = [0, 1].map((stack) => depths.map((pair) => pair[stack]! - 1)) as [number[], number[]];
    const rows = (of: tf.Tensor, which: readonly number[]): tf.Tensor =>
      tf.gather(of, tf.tensor1d([...which], 'int32'));
    const both = (axis: number, a: tf.Tensor, b: tf.Tensor): tf.Tensor =>
      tf.concat([rows(a, image), rows(b, text)], axis);
    const states = tf.tidy(() => both(1, this.image.states, this.text.states) as tf.Tensor3D);
    const positions = tf.tidy(() => tf.concat([this.image.positions, this.text.positions], 1));
    const full = this.#encoderMacs([this.image.similarity.length, this.text.similarity.length]);
    const remember = (layer: number): CrossAttentionKv => {
      const [a, b] = [this.image.memory(layer), this.text.memory(layer)];
      return CrossAttentionKv.from(
        tf.tidy(() => ({
          keys: both(3, a.keys, b.keys) as tf.Tensor4D,
          values: both(2, a.values, b.values) as tf.Tensor4D,
        })),
      );
    };
    const runs = depths.map((pair) => ({traces: [], macs: {run: this.#encoderMacs(pair), full}}));
    const lengths = depths.map(() => states.shape[1]);
    return new OfaEncoded(states, positions, undefined, lengths, runs, remember);
  }

  #encoderMacs([image, text]: readonly number[]): number {
    const {cost} = this.model;
    const [patches, tokens] = [this.image.states.shape[1], this.text.states.shape[1]];
    const streams = image! * cost.encoderLayer(patches) + text! * cost.encoderLayer(tokens);
    return this.front + cost.encoderPositions(patches) + cost.encoderPositions(tokens) + streams;
  }

  scoringMacs(depths: readonly number[], decoderLayers: number, tokens: number, words: number): number {
    const {cost} = this.model;
    const length = this.image.states.shape[1] + this.text.states.shape[1];
    const shared = cost.crossPositions(length) + cost.targetPositions(tokens, tokens, length) + cost.logits(words);
    return (
      this.#encoderMacs(depths) +
      shared +
      decoderLayers * (cost.decoderLayer(tokens, tokens, length) + cost.crossMemory(length))
    );
  }

  [Symbol.dispose](): void {
    this.scope[Symbol.dispose]();
  }
}

/** Runs a stream to the end and keeps every state. `scope` owns what is kept, `positions` included. */
async function runAllLayers(
  model: OfaModel,
  stack: StackName,
  positions: tf.Tensor3D,
  scope: TensorScope,
  run: (policy: ExitPolicy) => Promise<tf.Tensor3D>,
): Promise<StreamDepths> {
  using work = new TensorScope();
  scope.hold(positions);
  const similarity: number[] = [];
  const states: tf.Tensor3D[] = [];
  const watch: ExitPolicy = {
    name: 'every-depth',
    observe: async (before, after) => {
      states.push(work.hold(model.encoder.norm.forward(after)));
      similarity.push(await cosine(before, after));
      return {exit: false};
    },
  };
  work.hold(await run(watch));
  const all = scope.hold(tf.concat(states)); // [L, T, D]
  const memories = new Map<number, KeysValues>();
  const memory = (layer: number): KeysValues => {
    const known = memories.get(layer);
    if (known) return known;
    const made = model.decoder.layers[layer]!.crossAttention.keysValues(all);
    // It may be asked for inside a tidy, and outlives it.
    const kept = {keys: scope.hold(tf.keep(made.keys)), values: scope.hold(tf.keep(made.values))};
    memories.set(layer, kept);
    return kept;
  };
  return {stack, similarity, states: all, positions, memory};
}
