import * as tf from '@tensorflow/tfjs';
import {lastLogits} from '../../exit/last-logits.js';
import type {Deciders, ExitPolicy, Position} from '../../exit/policy.js';
import {type Running, runSamples, type Sample} from '../../exit/run-stack.js';
import {rowsOf, takeRows} from '../../exit/sample-rows.js';
import type {SkippedKv} from '../../exit/skipped-kv.js';
import type {Macs, StackTrace} from '../../exit/trace.js';
import {KvCache} from '../../nn/kv-cache.js';
import {UsageError} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Decoding, RunOptions, StepOptions} from '../model.js';
import {causalMask, TargetBias} from './bias-tables.js';
import type {OfaCost} from './cost.js';
import {CrossMemories} from './cross-memories.js';
import {DecodingCosts} from './decoding-costs.js';
import type {OfaDecoder} from './decoder.js';
import type {DecoderBias} from './decoder-layer.js';
import type {OfaEncoded} from './encoding.js';

// B pictures, K beams each, R = B·K rows, M encoder length, n keys so far, D width, H heads

const PAD = 1;

/** One answer a picture, token by token, with caches (ofa_mue sections 4.4 and 10.7). */
export class OfaDecoding implements Decoding {
  /** Self-attention caches, one a layer. */
  readonly caches: readonly KvCache[];
  readonly #scope = new TensorScope();
  readonly #memories: CrossMemories;
  /** Of all pictures, by their first numbers, which they keep when others leave. */
  readonly #mask: tf.Tensor4D | undefined;
  readonly #costs: DecodingCosts;
  /** Mode `just-in-time`: states [R, k, D] of the newest k tokens, which left before this layer. */
  readonly #pending: (tf.Tensor3D | undefined)[];
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
    this.caches = layers.map(() => this.#scope.hold(new KvCache()));
    this.#pending = layers.map(() => undefined);
    this.#memories = this.#scope.hold(new CrossMemories(decoder, this.#scope.hold(encoded.states.clone()), encoded.remember));
    this.#mask = encoded.mask && this.#scope.hold(encoded.mask.clone());
    this.#encoderPositions = this.#scope.hold(encoded.positions.clone());
    this.#bias = bias;
    this.#crossBias = this.#scope.hold(decoder.crossBias(bias.positions, encoded.positions));
    this.#beams = beams;
    this.#pictures = range(0, encoded.pictures);
    const {d_model: width, vocab_size: words} = decoder.config;
    this.#costs = new DecodingCosts(cost, encoded.lengths, layers.length, {width, words, projects: skipped === 'project'});
  }

  get macs(): readonly Macs[] {
    return this.#costs.macs.map((macs) => ({...macs}));
  }

  async step(
    tokens: readonly number[],
    policy: Deciders,
    {rows, signal}: StepOptions = {},
  ): Promise<{logits: tf.Tensor2D; traces: readonly StackTrace[]}> {
    using scope = new TensorScope();
    const {decoder} = this;
    this.#reserve(this.#step + 1);
    const embedded = scope.hold(tf.tidy(() => decoder.embed(tf.tensor2d([...tokens], [tokens.length, 1], 'int32'))));
    const padded = tokens.includes(PAD) ? tokens.map((token) => [token === PAD]) : undefined;
    const deciding = (from: number, to: number): number[] => rows?.filter((r) => r >= from && r < to) ?? range(from, to);
    const logits = (x: tf.Tensor3D): tf.Tensor2D => tf.tidy(() => decoder.logits(x.squeeze([1]) as tf.Tensor2D));
    const samples = this.#samples(policy).map((own, s, all): Sample => {
      const size = tokens.length / all.length;
      const mine = deciding(s * size, (s + 1) * size).map((row) => row - s * size);
      const view = (x: tf.Tensor3D): tf.Tensor3D => takeRows(x, mine);
      return mine.length === size ? {policy: own} : {policy: own, view, logits: (x) => tf.tidy(() => logits(view(x)))};
    });
    const {x, runs} = await runSamples(
      embedded,
      (state, layer, running) => this.#run(state, layer, running, padded),
      this.#stack,
      samples,
      {logits, signal},
    );
    scope.hold(x);
    this.#fillSkipped(x, Math.max(...runs.map(({trace}) => trace.exitLayer)), padded);
    const beams = this.#beams;
    for (const [i, picture] of this.#pictures.entries())
      this.#costs.token(picture, runs[i] ?? runs[0]!, this.#step, beams, deciding(i * beams, (i + 1) * beams).length);
    this.#step++;
    return {logits: lastLogits(x, runs, logits), traces: this.#pictures.map((_, i) => (runs[i] ?? runs[0]!).trace)};
  }

  async prefill(
    tokens: readonly (readonly number[])[],
    policy: Deciders,
    options: RunOptions = {},
  ): Promise<{logits: tf.Tensor2D; traces: readonly (readonly StackTrace[])[]}> {
    const policies = this.#samples(policy);
    const together =
      this.#step === 0 &&
      this.skipped === 'project' &&
      policies.length === this.#pictures.length &&
      policies.every((own) => own.observeEach) &&
      !tokens.some((row) => row.includes(PAD));
    return together ? await this.#prefill(tokens, policies, options) : await this.#prefillByStep(tokens, policy, options);
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
    const size = decoder.config.d_model;
    const embedded = scope.hold(tf.tidy(() => decoder.embed(tf.tensor2d(tokens.flat(), [pictures * length, 1], 'int32'))));
    const samples = policies.flatMap((own) => Array.from({length}, (_, step): Sample => ({policy: own, step})));
    const logits = (x: tf.Tensor3D): tf.Tensor2D => tf.tidy(() => decoder.logits(x.squeeze([1]) as tf.Tensor2D));
    const {x, runs} = await runSamples(
      embedded,
      (_, layer, running) => this.#runPrefix(layer, running, length),
      {stack: 'decoder', depth: decoder.layers.length, maxSteps: this.maxSteps},
      samples,
      {logits, signal},
    );
    scope.hold(x);
    const states = scope.hold(x.reshape([pictures, length, size])) as tf.Tensor3D;
    this.#fillSkipped(states, Math.max(...runs.map(({trace}) => trace.exitLayer)), undefined);
    for (const [s, run] of runs.entries()) this.#costs.token(this.#pictures[Math.floor(s / length)]!, run, s % length, 1, 1);
    this.#step = length;
    const traces = runs.map(({trace}) => trace);
    return {logits: lastLogits(x, runs, logits), traces: tokens.map((_, b) => traces.slice(b * length, (b + 1) * length))};
  }

  async #prefillByStep(
    tokens: readonly (readonly number[])[],
    policy: Deciders,
    options: RunOptions,
  ): Promise<{logits: tf.Tensor2D; traces: readonly (readonly StackTrace[])[]}> {
    using scope = new TensorScope();
    const length = tokens[0]!.length;
    const logits: tf.Tensor2D[] = [];
    const traces: StackTrace[][] = tokens.map(() => []);
    for (let t = 0; t < length; t++) {
      const result = await this.step(
        tokens.map((row) => row[t]!),
        policy,
        options,
      );
      logits.push(scope.hold(result.logits));
      for (const [b, trace] of result.traces.entries()) traces[b]!.push(trace);
    }
    // Steps come step by step, and are wanted picture by picture.
    const order = tokens.flatMap((_, b) => range(0, length).map((t) => t * tokens.length + b));
    return {logits: tf.tidy(() => takeRows(tf.concat(logits), order)), traces};
  }

  get #stack(): Omit<Position, 'layer'> {
    return {stack: 'decoder', depth: this.decoder.layers.length, step: this.#step, maxSteps: this.maxSteps};
  }

  /** @throws UsageError where pictures that decide for themselves cannot share caches */
  #samples(policy: Deciders): readonly ExitPolicy[] {
    const policies = Array.isArray(policy) ? (policy as readonly ExitPolicy[]) : [policy as ExitPolicy];
    if (policies.length > 1 && this.skipped !== 'project') {
      throw new UsageError(
        'batch-skipped-kv',
        `several pictures that leave each for itself need keys and values of skipped layers by 'project', not '${this.skipped}'`,
        {hint: 'Answer one picture at a time, or leave skippedKv out.'},
      );
    }
    return policies;
  }

  /** Biases for so many targets. */
  #reserve(length: number): void {
    if (length <= this.#bias.length) return;
    const bias = new TargetBias(this.decoder, Math.min(2 * length, this.maxSteps + 1));
    this.#scope.drop(this.#bias); // unless it is another's
    this.#bias = this.#scope.hold(bias);
    this.#crossBias = this.#scope.replace(this.#crossBias, this.decoder.crossBias(bias.positions, this.#encoderPositions));
  }

  /** One layer for the newest token, and before it for tokens that left earlier and are needed exactly now. */
  #run(x: tf.Tensor3D, layer: number, {samples, of, state}: Running, padded: readonly (readonly boolean[])[] | undefined): tf.Tensor3D {
    const pending = this.#pending[layer];
    const late = pending?.shape[1] ?? 0;
    const whole = samples.length === of;
    const pictures = whole ? this.#pictures : samples.map((s) => this.#pictures[s]!);
    const memory = this.#memories.of(layer, pictures);
    const input = pending ? tf.concat([pending, x], 1) : x;
    const flags = padded?.map((row) => [...new Array<boolean>(late).fill(false), ...row]);
    const rows = rowsOf(samples, this.#beams);
    const output = this.decoder.layers[layer]!.forward(
      input,
      this.caches[layer]!,
      memory,
      (keys) => this.#biases(layer, late + 1, keys, pictures),
      flags,
      whole ? undefined : {all: state, part: (all) => takeRows(all, rows), rows},
    );
    for (const picture of pictures) this.#costs.layer(layer, picture, this.#beams, late + 1, this.caches[layer]!.length);
    if (!pending) return output;
    input.dispose();
    this.#setPending(layer, undefined);
    this.#addPending(layer + 1, tf.slice(output, [0, 0, 0], [-1, late, -1]));
    const newest = tf.slice(output, [0, late, 0], [-1, 1, -1]);
    output.dispose();
    return newest;
  }

  /** One layer for tokens of a prefix, each a sample. @returns those that run, [·, 1, D] */
  #runPrefix(layer: number, {samples, state}: Running, length: number): tf.Tensor3D {
    using scope = new TensorScope();
    const {d_model: size, decoder_attention_heads: heads} = this.decoder.config;
    const picture = (sample: number): number => this.#pictures[Math.floor(sample / length)]!;
    // Positions at which some picture still runs; where others have left there, theirs are computed along.
    const at = [...new Set(samples.map((s) => s % length))].sort((a, b) => a - b);
    const part = <T extends tf.Tensor>(x: T, axis = 1): T => (at.length === length ? x : takeRows(x, at, axis));
    const all = scope.hold(state.reshape([this.#pictures.length, length, size])) as tf.Tensor3D;
    const bias = (): DecoderBias => ({
      self: [part(tf.slice(this.#bias.self[layer]!, [0, 0, 0, 0], [1, heads, length, length]), 2), part(causalMask(length, length), 2)],
      cross: [part(tf.slice(this.#crossBias, [0, 0, 0, 0], [1, heads, length, -1]), 2), ...this.#maskOf(this.#pictures)],
    });
    const memory = this.#memories.of(layer, this.#pictures);
    const x = scope.hold(tf.tidy(() => part(all).clone()));
    const output = scope.hold(this.decoder.layers[layer]!.forward(x, this.caches[layer]!, memory, bias, undefined, {all, part}));
    for (const s of samples) this.#costs.layer(layer, picture(s), 1, 1, (s % length) + 1);
    return tf.tidy(() => {
      const rows = output.reshape([-1, 1, size]) as tf.Tensor3D;
      const places = samples.map((s) => Math.floor(s / length) * at.length + at.indexOf(s % length));
      return places.length === rows.shape[0] ? rows : takeRows(rows, places);
    });
  }

  #maskOf(pictures: readonly number[]): tf.Tensor4D[] {
    if (!this.#mask) return [];
    return [pictures.length === this.#mask.shape[0] ? this.#mask : takeRows(this.#mask, pictures)];
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

  /** Gives the layers that did not run what their mode says they get for these tokens. @param x exit states [R, T, D]. */
  #fillSkipped(x: tf.Tensor3D, exitLayer: number, padded: readonly (readonly boolean[])[] | undefined): void {
    const {layers} = this.decoder;
    if (this.skipped === 'just-in-time' && exitLayer < layers.length) this.#addPending(exitLayer, x.clone());
    for (let layer = exitLayer; layer < layers.length; layer++) {
      if (this.skipped === 'project') {
        const {keys, values} = layers[layer]!.selfKeysValues(x);
        this.caches[layer]!.append({keys, values}, padded);
        keys.dispose();
        values.dispose();
      } else if (this.skipped === 'copy') {
        this.caches[layer]!.copyFrom(this.caches[exitLayer - 1]!);
        this.#memories.copy(exitLayer - 1, layer);
        this.#costs.copy(exitLayer - 1, layer);
      }
    }
  }

  #addPending(layer: number, states: tf.Tensor3D): void {
    if (layer >= this.#pending.length) {
      states.dispose();
      return;
    }
    const before = this.#pending[layer];
    this.#setPending(layer, before ? tf.concat([before, states], 1) : states.clone());
    states.dispose();
  }

  #setPending(layer: number, states: tf.Tensor3D | undefined): void {
    const before = this.#pending[layer];
    if (before) this.#scope.drop(before);
    this.#pending[layer] = states && this.#scope.hold(states);
  }

  reorder(rows: readonly number[], beams: number = this.#beams): void {
    for (const cache of this.caches) cache.reorder(rows);
    this.#pending.forEach((states, layer) => {
      if (states) this.#setPending(layer, takeRows(states, rows));
    });
    const pictures = range(0, rows.length / beams).map((b) => this.#pictures[Math.floor(rows[b * beams]! / this.#beams)]!);
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
