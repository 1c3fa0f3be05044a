import * as tf from '@tensorflow/tfjs';
import {decidingRows, decodingPolicies, stepUnits} from '../../exit/deciders.js';
import {type ExitPolicy, never, type PolicyPerImage} from '../../exit/policy.js';
import {
  type ActiveUnits,
  type ExitUnit,
  exitLogits,
  rowsOfUnits,
  runStackBatched,
  type UnitLogits,
  type UnitPass,
} from '../../exit/run-stack.js';
import {type SkippedKv, SkippedKvCache} from '../../exit/skipped-kv-cache.js';
import {type Macs, type StackTrace, type StepPass, takeBack, withoutAdapters} from '../../exit/trace.js';
import {causalMask} from '../../nn/attention.js';
import type {CrossAttentionCache} from '../../nn/cross-attention-cache.js';
import type {ExitAdapters} from '../../nn/exit-adapters.js';
import {gatherRows} from '../../nn/gather-rows.js';
import type {KvCache, PartialRows} from '../../nn/kv-cache.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Decoded, DraftableDecoding, RunOptions, StepOptions} from '../model.js';
import {prefillByStep} from '../prefill.js';
import {TargetBias} from './bias-tables.js';
import {PAD} from './config.js';
import type {DecoderBias, OfaDecoder} from './decoder.js';
import type {OfaEncoded} from './encode.js';
import type {OfaMacs} from './macs.js';
import {largest} from '../../runtime/extremes.js';

// B images still decoding, K beams each, R = B·K rows, T tokens, M encoder length, n keys, D width, H heads, V words.
// An image keeps its number in the encoded batch when others finish.

/** Writes one answer an image, token by token, with caches (docs/reference/ofa-mue.md 4.4, 10.7). */
export class OfaDecoding implements DraftableDecoding {
  readonly #scope = new TensorScope();
  readonly #cache: SkippedKvCache;
  readonly #crossAttention: CrossAttentionCache;
  /** Padding mask [images, 1, 1, M] of the encoded batch: finished images keep their row. */
  readonly #mask: tf.Tensor4D | undefined;
  readonly #encoderPositions: tf.Tensor3D;
  /** M of each image of the encoded batch. */
  readonly #lengths: readonly number[];
  /** Passes through the stack of each image of the encoded batch, one a token. */
  readonly #passes: readonly StepPass[][];
  /** Passes of the newest tokens that left early in mode `just-in-time`. */
  #late: readonly UnitPass[] = [];
  #bias: TargetBias;
  /** [1, H, T, M], for as many targets as `#bias` has. */
  #crossBias: tf.Tensor4D;
  /** Rows of `#crossBias` from a position on, as the last layer needed them. */
  #stepCrossBias: {readonly first: number; readonly bias: tf.Tensor4D} | undefined;
  /** Numbers of the B images that still decode. */
  #images: readonly number[];
  #beams: number;
  #step = 0;

  /**
   * @param encoded   borrowed, only during the call
   * @param beams     K
   * @param bias      borrowed; where more targets come than it has, the decoding makes its own
   * @param adapters   borrowed as long as the decoding lives
   * @internal
   */
  constructor(
    private readonly decoder: OfaDecoder,
    private readonly cost: OfaMacs,
    encoded: OfaEncoded,
    beams: number,
    private readonly maxSteps: number,
    private readonly skipped: SkippedKv,
    bias: TargetBias,
    private readonly adapters?: ExitAdapters,
  ) {
    const hold = this.#scope.hold.bind(this.#scope);
    this.#cache = hold(new SkippedKvCache(decoder.layers.length, skipped, 'wholeCache'));
    this.#crossAttention = hold(decoder.crossAttentionCache(hold(encoded.states.clone()), encoded.precomputedKv));
    this.#mask = encoded.mask && hold(encoded.mask.clone());
    this.#encoderPositions = hold(encoded.positions.clone());
    this.#lengths = encoded.lengths;
    this.#passes = encoded.lengths.map(() => []);
    this.#bias = bias;
    this.#crossBias = hold(decoder.crossBias(bias.positions, encoded.positions));
    this.#images = encoded.lengths.map((_, image) => image);
    this.#beams = beams;
  }

  /**
   * Self-attention caches, one a layer.
   * @internal
   */
  get caches(): readonly KvCache[] {
    return this.#cache.caches;
  }

  get macs(): readonly Macs[] {
    const adapters = this.adapters ? (layer: number): number => this.adapters!.macs(layer) : withoutAdapters;
    return this.#lengths.map((length, image) => this.cost.decode(length, this.skipped, this.#passes[image]!, adapters));
  }

  async step(tokens: readonly number[], policy: PolicyPerImage, options: StepOptions = {}): Promise<Decoded> {
    using scope = new TensorScope();
    const {rows, signal} = options;
    const policies = decodingPolicies(policy, this.skipped);
    this.#reserve(this.#step + 1);
    const embedded = scope.hold(this.#embed(tokens));
    this.#cache.begin(tokens.map((token) => [token === PAD]));
    const logits: UnitLogits = (x, _units, layers) => this.#logits(x, layers);
    const {x, passes} = await runStackBatched(
      embedded,
      (state, layer, active) => this.#runLayer(state, layer, active),
      {stack: 'decoder', depth: this.decoder.layers.length, step: this.#step, maxSteps: this.maxSteps},
      stepUnits(policies, tokens.length, rows, logits),
      {logits, signal},
    );
    scope.hold(x);
    this.#fillSkipped(x, passes);
    const ofImages = this.#images.map((_, i) => passes[i] ?? passes[0]!);
    const beams = this.#beams;
    for (const [i, image] of this.#images.entries())
      this.#record(image, ofImages[i]!, beams, decidingRows(rows, i * beams, (i + 1) * beams).length);
    this.#late = ofImages[0]!.trace.exitLayer < this.decoder.layers.length ? [...this.#late, ofImages[0]!] : [];
    this.#step++;
    return {logits: exitLogits(x, passes, logits), traces: ofImages.map(({trace}) => [trace])};
  }

  async verify({signal}: RunOptions = {}): Promise<{logits: tf.Tensor2D; traces: readonly StackTrace[][]}> {
    using scope = new TensorScope();
    const begun = this.#late;
    const {exitLayer} = begun[0]!.trace;
    const states = scope.hold(this.#cache.takeLate(exitLayer)!);
    const [, tokens, size] = states.shape;
    const logits: UnitLogits = (x, _units, layers) => this.#logits(x, layers);
    const {x, passes} = await runStackBatched(
      scope.hold(states.reshape([tokens, 1, size]) as tf.Tensor3D),
      (state, layer) => this.#runTokens(state, layer),
      {stack: 'decoder', depth: this.decoder.layers.length, maxSteps: this.maxSteps},
      begun.map((pass): ExitUnit => ({policy: never, step: pass.trace.step, begun: pass})),
      {signal},
    );
    scope.hold(x);
    const first = this.#step - tokens;
    const verified = passes.map(({trace, logitsAt}, i): StepPass => {
      const drafted = {layers: exitLayer, position: first + i, keys: this.#step, kept: true};
      return {trace, logitsAt, logitsKnown: false, rows: 1, decidingRows: 1, drafted};
    });
    this.#passes[this.#images[0]!]!.splice(-tokens, tokens, ...verified);
    this.#late = [];
    return {logits: exitLogits(x, passes, logits), traces: passes.map(({trace}) => [trace])};
  }

  cut(length: number): void {
    this.#cache.cut(length);
    this.#step = length;
    takeBack(this.#passes[this.#images[0]!]!, length);
  }

  async prefill(
    tokens: readonly (readonly number[])[],
    policy: PolicyPerImage,
    options: RunOptions = {},
  ): Promise<Decoded> {
    const policies = decodingPolicies(policy, this.skipped);
    const together =
      this.#step === 0 &&
      policies.length === this.#images.length &&
      (policies.every((own) => own === never) ||
        (this.skipped === 'project' && policies.every((own) => own.observeEach))) &&
      !tokens.some((row) => row.includes(PAD));
    if (!together) return await prefillByStep(this, tokens, policy, options);
    return await this.#prefillTogether(tokens, policies, options);
  }

  /** Feeds a prefix of T tokens in one pass, in which unit u is position u % T of image ⌊u / T⌋. */
  async #prefillTogether(
    tokens: readonly (readonly number[])[],
    policies: readonly ExitPolicy[],
    {signal}: RunOptions,
  ): Promise<Decoded> {
    using scope = new TensorScope();
    const {decoder} = this;
    const [images, length] = [tokens.length, tokens[0]!.length];
    this.#reserve(length);
    this.#cache.begin(tokens.map((row) => row.map(() => false)));
    const embedded = scope.hold(this.#embed(tokens.flat()));
    const units = policies.flatMap((own) => Array.from({length}, (_, step): ExitUnit => ({policy: own, step})));
    const logits: UnitLogits = (x, _units, layers) => this.#logits(x, layers);
    const {x, passes} = await runStackBatched(
      embedded,
      (_, layer, active) => this.#runPrefixLayer(layer, active, length),
      {stack: 'decoder', depth: decoder.layers.length, maxSteps: this.maxSteps},
      units,
      {logits, signal},
    );
    scope.hold(x);
    this.#fillSkipped(scope.hold(x.reshape([images, length, -1]) as tf.Tensor3D), passes);
    for (const [unit, pass] of passes.entries()) this.#record(this.#images[Math.floor(unit / length)]!, pass, 1, 1);
    this.#step = length;
    const traces = passes.map(({trace}) => trace);
    return {
      logits: exitLogits(x, passes, logits),
      traces: tokens.map((_, b) => traces.slice(b * length, (b + 1) * length)),
    };
  }

  /**
   * @param tokens   one a row
   * @returns        [R, 1, D], the caller's
   */
  #embed(tokens: readonly number[]): tf.Tensor3D {
    return tf.tidy(() => this.decoder.embed(tf.tensor2d([...tokens], [tokens.length, 1], 'int32')));
  }

  /**
   * @param x        [N, 1, D]
   * @param layers   how many layers gave them, equal shares of the rows
   * @returns        [N, V], the caller's
   */
  #logits(x: tf.Tensor3D, layers: readonly number[]): tf.Tensor2D {
    return tf.tidy(() => {
      const states = x.squeeze([1]) as tf.Tensor2D;
      return this.decoder.logits(this.adapters?.adapt(states, layers) ?? states);
    });
  }

  #record(image: number, {trace, logitsAt, logitsKnown}: UnitPass, rows: number, deciding: number): void {
    this.#passes[image]!.push({trace, logitsAt, logitsKnown, rows, decidingRows: deciding});
  }

  /** Makes sure that there are biases for so many targets. */
  #reserve(length: number): void {
    if (length <= this.#bias.length) return;
    const bias = new TargetBias(this.decoder, Math.min(2 * length, this.maxSteps + 1));
    this.#scope.drop(this.#bias); // Does nothing if the bias is borrowed.
    this.#bias = this.#scope.hold(bias);
    const crossBias = this.decoder.crossBias(bias.positions, this.#encoderPositions);
    this.#crossBias = this.#scope.replace(this.#crossBias, crossBias);
  }

  /** One layer for the newest T tokens of a row, which are the units. @param x [T, 1, D] @returns [T, 1, D] */
  #runTokens(x: tf.Tensor3D, layer: number): tf.Tensor3D {
    using scope = new TensorScope();
    const states = scope.hold(x.reshape([1, x.shape[0], -1]) as tf.Tensor3D);
    const row = {indices: [0], total: 1, states};
    return scope.hold(this.#runLayer(states, layer, row, this.#step)).reshape(x.shape) as tf.Tensor3D;
  }

  /**
   * One layer for the newest token of the active units, or for several of all rows.
   * @param fed   tokens that a row was fed, the newest included
   */
  #runLayer(x: tf.Tensor3D, layer: number, active: ActiveUnits, fed: number = this.#step + 1): tf.Tensor3D {
    const {indices, total} = active;
    const everyone = indices.length === total;
    const images = everyone ? this.#images : indices.map((unit) => this.#images[unit]!);
    using scope = new TensorScope();
    const rows = (): number[] => rowsOfUnits(indices, this.#beams);
    const partial: PartialRows | undefined = everyone
      ? undefined
      : {all: active.states, index: scope.hold(tf.tensor1d(rows(), 'int32')), axis: 0};
    const memory = this.#crossAttention.of(layer, images);
    return this.#cache.run(x, layer, (input, cache, padded) => {
      const tokens = input.shape[1];
      const bias = this.#stepBias(layer, tokens, cache.length + tokens, fed, images, scope);
      return this.decoder.layers[layer]!.forwardCached(input, {cache, memory, bias, padded, partial});
    });
  }

  /**
   * Biases of the newest `tokens` positions.
   * @param keys    of self-attention, the new ones included
   * @param fed     positions in all
   * @param scope   owns what is made
   */
  #stepBias(
    layer: number,
    tokens: number,
    keys: number,
    fed: number,
    images: readonly number[],
    scope: TensorScope,
  ): DecoderBias {
    const heads = this.decoder.config.decoder_attention_heads;
    const first = fed - tokens;
    // A cache that skipped steps holds fewer keys than positions: the last columns are used (docs/reference/ofa-mue.md
    // 10.12).
    const firstKey = fed - keys;
    const self = tf.slice(this.#bias.self[layer]!, [0, 0, first, firstKey], [1, heads, tokens, keys]);
    const cross = this.#crossBiasOf(first, tokens);
    const mask = this.#maskOf(images, scope);
    if (tokens === 1) return {self: [scope.hold(self)], cross: [cross, ...mask]};
    return {
      self: [scope.hold(self), scope.hold(causalMask(tokens, keys))],
      cross: [scope.hold(tf.tile(cross, [1, 1, this.#beams, 1])), ...mask],
    };
  }

  /** Cross-attention bias of some positions [1, H, T, M], the same for every layer; borrowed until others are asked for. */
  #crossBiasOf(first: number, tokens: number): tf.Tensor {
    const last = this.#stepCrossBias;
    if (last?.first === first && last.bias.shape[2] === tokens) return last.bias;
    const heads = this.decoder.config.decoder_attention_heads;
    const bias = this.#scope.hold(tf.slice(this.#crossBias, [0, 0, first, 0], [1, heads, tokens, -1]));
    if (last) this.#scope.drop(last.bias);
    this.#stepCrossBias = {first, bias};
    return bias;
  }

  /**
   * One layer for the active units of a prefix. It runs at every position where some image is active; what it gives for
   * units that have left there is dropped.
   * @returns   [active units, 1, D]
   */
  #runPrefixLayer(layer: number, {indices, states}: ActiveUnits, length: number): tf.Tensor3D {
    using scope = new TensorScope();
    const {d_model: size, decoder_attention_heads: heads} = this.decoder.config;
    const images = this.#images.length;
    const positions = [...new Set(indices.map((unit) => unit % length))].sort((a, b) => a - b);
    const everywhere = positions.length === length;
    const index = everywhere ? undefined : scope.hold(tf.tensor1d(positions, 'int32'));
    const atPositions = <T extends tf.Tensor>(x: T, axis = 1): T => (index ? tf.gather(x, index, axis) : x);
    const make = <T extends tf.Tensor>(tensor: () => T): T => scope.hold(tf.tidy(tensor));
    const all = make(() => states.reshape([images, length, size]) as tf.Tensor3D);
    const self = this.#bias.self[layer]!;
    const bias: DecoderBias = {
      self: [
        make(() => atPositions(tf.slice(self, [0, 0, 0, 0], [1, heads, length, length]), 2)),
        make(() => atPositions(causalMask(length, length), 2)),
      ],
      cross: [
        make(() => atPositions(tf.slice(this.#crossBias, [0, 0, 0, 0], [1, heads, length, -1]), 2)),
        ...this.#maskOf(this.#images, scope),
      ],
    };
    const output = scope.hold(
      this.decoder.layers[layer]!.forwardCached(
        make(() => atPositions(all).clone()),
        {
          cache: this.caches[layer]!,
          memory: this.#crossAttention.of(layer, this.#images),
          bias,
          partial: index && {all, index, axis: 1},
        },
      ),
    );
    return tf.tidy(() => {
      const rows = output.reshape([-1, 1, size]) as tf.Tensor3D;
      const active = indices.map(
        (unit) => Math.floor(unit / length) * positions.length + positions.indexOf(unit % length),
      );
      return active.length === rows.shape[0] ? rows : gatherRows(rows, active);
    });
  }

  /** Padding mask of some images, as a list of one or none. @param scope owns it if it is new */
  #maskOf(images: readonly number[], scope: TensorScope): tf.Tensor4D[] {
    if (!this.#mask) return [];
    return [images.length === this.#mask.shape[0] ? this.#mask : scope.hold(gatherRows(this.#mask, images))];
  }

  /**
   * Fills the caches of the layers that no unit reached.
   * @param x   exit states [R, T, D], borrowed
   */
  #fillSkipped(x: tf.Tensor3D, passes: readonly UnitPass[]): void {
    const {layers} = this.decoder;
    const deepest = largest(passes.map(({trace}) => trace.exitLayer));
    this.#cache.fill(x, deepest, (states, layer, ...cache) => layers[layer]!.growSkipped(states, ...cache));
    if (this.skipped !== 'copy') return;
    // The authors' branch copies the keys and values of cross-attention along with the cache.
    for (let layer = deepest; layer < layers.length; layer++) this.#crossAttention.copy(deepest - 1, layer);
  }

  reorder(rows: readonly number[], beams: number = this.#beams): void {
    this.#cache.reorder(rows);
    const images = Array.from(
      {length: rows.length / beams},
      (_, b) => this.#images[Math.floor(rows[b * beams]! / this.#beams)]!,
    );
    if (images.length < this.#images.length) this.#crossAttention.keep(images);
    this.#images = images;
    this.#beams = beams;
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}
