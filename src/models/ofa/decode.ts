import * as tf from '@tensorflow/tfjs';
import {decidingRows, decodingPolicies, stepUnits} from '../../exit/deciders.js';
import type {PolicyPerImage, ExitPolicy} from '../../exit/policy.js';
import {exitLogits, rowsOfUnits, type ActiveUnits, runStackBatched, type ExitUnit} from '../../exit/run-stack.js';
import {type SkippedKv, SkippedKvCache} from '../../exit/skipped-kv-cache.js';
import type {Macs, StackTrace} from '../../exit/trace.js';
import {causalMask} from '../../nn/attention.js';
import type {KvCache} from '../../nn/kv-cache.js';
import {gatherRows} from '../../nn/gather-rows.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {CrossAttentionCache} from '../../nn/cross-attention-cache.js';
import type {Decoding, RunOptions, StepOptions} from '../model.js';
import {prefillByStep} from '../prefill.js';
import {TargetBias} from './bias-tables.js';
import type {DecoderBias, OfaDecoder} from './decoder.js';
import type {OfaEncoded} from './encode.js';
import {DecodingCosts, type OfaCost} from './macs.js';

// B pictures, K beams each, R = B·K rows, M encoder length, n keys so far, D width, H heads

const PAD = 1;

/** One answer a picture, token by token, with caches (ofa_mue sections 4.4 and 10.7). */
export class OfaDecoding implements Decoding {
  readonly #scope = new TensorScope();
  readonly #cache: SkippedKvCache;
  readonly #memories: CrossAttentionCache;
  /** Of all pictures, by their first numbers, which they keep when others leave. */
  readonly #mask: tf.Tensor4D | undefined;
  readonly #costs: DecodingCosts;
  readonly #encoderPositions: tf.Tensor3D;
  #bias: TargetBias;
  /** [1, H, T, M], for as many targets as the biases are. */
  #crossBias: tf.Tensor4D;
  #pictures: readonly number[];
  #beams: number;
  #step = 0;

  /**
   * @param encoded borrowed, only during the call
   * @param beams K
   * @param bias borrowed; where more targets come than it has, the decoding makes its own
   */
  constructor(
    private readonly decoder: OfaDecoder,
    cost: OfaCost,
    encoded: OfaEncoded,
    beams: number,
    private readonly maxSteps: number,
    private readonly skipped: SkippedKv,
    bias: TargetBias,
  ) {
    const {layers} = decoder;
    this.#cache = this.#scope.hold(new SkippedKvCache(layers.length, skipped, 'history'));
    this.#memories = this.#scope.hold(decoder.memories(this.#scope.hold(encoded.states.clone()), encoded.remember));
    this.#mask = encoded.mask && this.#scope.hold(encoded.mask.clone());
    this.#encoderPositions = this.#scope.hold(encoded.positions.clone());
    this.#bias = bias;
    this.#crossBias = this.#scope.hold(decoder.crossBias(bias.positions, encoded.positions));
    this.#beams = beams;
    this.#pictures = range(0, encoded.pictures);
    const {d_model: width, vocab_size: words} = decoder.config;
    this.#costs = new DecodingCosts(cost, encoded.lengths, layers.length, {
      width,
      words,
      projects: skipped === 'project',
    });
  }

  /** Self-attention caches, one a layer. */
  get caches(): readonly KvCache[] {
    return this.#cache.caches;
  }

  get macs(): readonly Macs[] {
    return this.#costs.macs.map((macs) => ({...macs}));
  }

  async step(
    tokens: readonly number[],
    policy: PolicyPerImage,
    {rows, signal}: StepOptions = {},
  ): Promise<{logits: tf.Tensor2D; traces: readonly (readonly StackTrace[])[]}> {
    using scope = new TensorScope();
    const {decoder} = this;
    const policies = decodingPolicies(policy, this.skipped);
    this.#reserve(this.#step + 1);
    const embedded = scope.hold(tf.tidy(() => decoder.embed(tf.tensor2d([...tokens], [tokens.length, 1], 'int32'))));
    this.#cache.begin(tokens.map((token) => [token === PAD]));
    const logits = (x: tf.Tensor3D): tf.Tensor2D => tf.tidy(() => decoder.logits(x.squeeze([1]) as tf.Tensor2D));
    const {x, runs} = await runStackBatched(
      embedded,
      (state, layer, running) => this.#run(state, layer, running),
      {stack: 'decoder', depth: decoder.layers.length, step: this.#step, maxSteps: this.maxSteps},
      stepUnits(policies, tokens.length, rows, logits),
      {logits, signal},
    );
    scope.hold(x);
    this.#fillSkipped(x, Math.max(...runs.map(({trace}) => trace.exitLayer)));
    const beams = this.#beams;
    for (const [i, picture] of this.#pictures.entries())
      this.#costs.token(
        picture,
        runs[i] ?? runs[0]!,
        this.#step,
        beams,
        decidingRows(rows, i * beams, (i + 1) * beams).length,
      );
    this.#step++;
    return {logits: exitLogits(x, runs, logits), traces: this.#pictures.map((_, i) => [(runs[i] ?? runs[0]!).trace])};
  }

  async prefill(
    tokens: readonly (readonly number[])[],
    policy: PolicyPerImage,
    options: RunOptions = {},
  ): Promise<{logits: tf.Tensor2D; traces: readonly (readonly StackTrace[])[]}> {
    const policies = decodingPolicies(policy, this.skipped);
    const together =
      this.#step === 0 &&
      this.skipped === 'project' &&
      policies.length === this.#pictures.length &&
      policies.every((own) => own.observeEach) &&
      !tokens.some((row) => row.includes(PAD));
    return together
      ? await this.#prefill(tokens, policies, options)
      : await prefillByStep(this, tokens, policy, options);
  }

  /** Every token of every picture as a sample of its own. */
  async #prefill(
    tokens: readonly (readonly number[])[],
    policies: readonly ExitPolicy[],
    {signal}: RunOptions,
  ): Promise<{logits: tf.Tensor2D; traces: readonly (readonly StackTrace[])[]}> {
    using scope = new TensorScope();
    const {decoder} = this;
    const [pictures, length] = [tokens.length, tokens[0]!.length];
    this.#reserve(length);
    this.#cache.begin(tokens.map((row) => row.map(() => false)));
    const size = decoder.config.d_model;
    const embedded = scope.hold(
      tf.tidy(() => decoder.embed(tf.tensor2d(tokens.flat(), [pictures * length, 1], 'int32'))),
    );
    const samples = policies.flatMap((own) => Array.from({length}, (_, step): ExitUnit => ({policy: own, step})));
    const logits = (x: tf.Tensor3D): tf.Tensor2D => tf.tidy(() => decoder.logits(x.squeeze([1]) as tf.Tensor2D));
    const {x, runs} = await runStackBatched(
      embedded,
      (_, layer, running) => this.#runPrefix(layer, running, length),
      {stack: 'decoder', depth: decoder.layers.length, maxSteps: this.maxSteps},
      samples,
      {logits, signal},
    );
    scope.hold(x);
    const states = scope.hold(x.reshape([pictures, length, size])) as tf.Tensor3D;
    this.#fillSkipped(states, Math.max(...runs.map(({trace}) => trace.exitLayer)));
    for (const [s, run] of runs.entries())
      this.#costs.token(this.#pictures[Math.floor(s / length)]!, run, s % length, 1, 1);
    this.#step = length;
    const traces = runs.map(({trace}) => trace);
    return {
      logits: exitLogits(x, runs, logits),
      traces: tokens.map((_, b) => traces.slice(b * length, (b + 1) * length)),
    };
  }

  /** Biases for so many targets. */
  #reserve(length: number): void {
    if (length <= this.#bias.length) return;
    const bias = new TargetBias(this.decoder, Math.min(2 * length, this.maxSteps + 1));
    this.#scope.drop(this.#bias); // unless it is another's
    this.#bias = this.#scope.hold(bias);
    this.#crossBias = this.#scope.replace(
      this.#crossBias,
      this.decoder.crossBias(bias.positions, this.#encoderPositions),
    );
  }

  #run(x: tf.Tensor3D, layer: number, {indices: samples, total: of, states: state}: ActiveUnits): tf.Tensor3D {
    const whole = samples.length === of;
    const pictures = whole ? this.#pictures : samples.map((s) => this.#pictures[s]!);
    const memory = this.#memories.of(layer, pictures);
    const rows = rowsOfUnits(samples, this.#beams);
    return this.#cache.run(x, layer, (input, cache, padded) => {
      const tokens = input.shape[1];
      const output = this.decoder.layers[layer]!.forward(
        input,
        cache,
        memory,
        (keys) => this.#biases(layer, tokens, keys, pictures),
        padded,
        whole ? undefined : {all: state, part: (all) => gatherRows(all, rows), rows},
      );
      for (const picture of pictures) this.#costs.layer(layer, picture, this.#beams, tokens, cache.length);
      return output;
    });
  }

  /** One layer for tokens of a prefix, each a sample. @returns those that run, [·, 1, D] */
  #runPrefix(layer: number, {indices: samples, states: state}: ActiveUnits, length: number): tf.Tensor3D {
    using scope = new TensorScope();
    const {d_model: size, decoder_attention_heads: heads} = this.decoder.config;
    const picture = (sample: number): number => this.#pictures[Math.floor(sample / length)]!;
    // Positions at which some picture still runs; where others have left there, theirs are computed along.
    const at = [...new Set(samples.map((s) => s % length))].sort((a, b) => a - b);
    const part = <T extends tf.Tensor>(x: T, axis = 1): T => (at.length === length ? x : gatherRows(x, at, axis));
    const all = scope.hold(state.reshape([this.#pictures.length, length, size])) as tf.Tensor3D;
    const bias = (): DecoderBias => ({
      self: [
        part(tf.slice(this.#bias.self[layer]!, [0, 0, 0, 0], [1, heads, length, length]), 2),
        part(causalMask(length, length), 2),
      ],
      cross: [
        part(tf.slice(this.#crossBias, [0, 0, 0, 0], [1, heads, length, -1]), 2),
        ...this.#maskOf(this.#pictures),
      ],
    });
    const memory = this.#memories.of(layer, this.#pictures);
    const x = scope.hold(tf.tidy(() => part(all).clone()));
    const output = scope.hold(
      this.decoder.layers[layer]!.forward(x, this.caches[layer]!, memory, bias, undefined, {all, part}),
    );
    for (const s of samples) this.#costs.layer(layer, picture(s), 1, 1, (s % length) + 1);
    return tf.tidy(() => {
      const rows = output.reshape([-1, 1, size]) as tf.Tensor3D;
      const places = samples.map((s) => Math.floor(s / length) * at.length + at.indexOf(s % length));
      return places.length === rows.shape[0] ? rows : gatherRows(rows, places);
    });
  }

  #maskOf(pictures: readonly number[]): tf.Tensor4D[] {
    if (!this.#mask) return [];
    return [pictures.length === this.#mask.shape[0] ? this.#mask : gatherRows(this.#mask, pictures)];
  }

  /** Biases of the newest `tokens` rows. Called inside a tidy. */
  #biases(layer: number, tokens: number, keys: number, pictures: readonly number[]): DecoderBias {
    const first = this.#step + 1 - tokens;
    const heads = this.decoder.config.decoder_attention_heads;
    // A cache that skipped steps holds fewer keys than positions: the last columns are used (right-aligned, ofa_mue 10.12).
    const self = tf.slice(this.#bias.self[layer]!, [0, 0, first, this.#step + 1 - keys], [1, heads, tokens, keys]);
    const cross = tf.slice(this.#crossBias, [0, 0, first, 0], [1, heads, tokens, -1]);
    return {
      self: tokens > 1 ? [self, causalMask(tokens, keys)] : [self],
      cross: [tokens > 1 ? tf.tile(cross, [1, 1, this.#beams, 1]) : cross, ...this.#maskOf(pictures)],
    };
  }

  /** @param x exit states [R, T, D] */
  #fillSkipped(x: tf.Tensor3D, exitLayer: number): void {
    const {layers} = this.decoder;
    this.#cache.fill(x, exitLayer, (state, layer) => layers[layer]!.selfKeysValues(state));
    if (this.skipped !== 'copy') return;
    // The authors' branch copies what a layer's cross-attention reads along with its cache.
    for (let layer = exitLayer; layer < layers.length; layer++) {
      this.#memories.copy(exitLayer - 1, layer);
      this.#costs.copy(exitLayer - 1, layer);
    }
  }

  reorder(rows: readonly number[], beams: number = this.#beams): void {
    this.#cache.reorder(rows);
    const pictures = range(0, rows.length / beams).map(
      (b) => this.#pictures[Math.floor(rows[b * beams]! / this.#beams)]!,
    );
    if (pictures.length < this.#pictures.length) this.#memories.keep(pictures);
    this.#pictures = pictures;
    this.#beams = beams;
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}

function range(from: number, to: number): number[] {
  return Array.from({length: to - from}, (_, i) => from + i);
}
