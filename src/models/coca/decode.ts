import * as tf from '@tensorflow/tfjs';
import {decidingRows, decodingPolicies, stepUnits} from '../../exit/deciders.js';
import {type ExitPolicy, never, type PolicyPerImage} from '../../exit/policy.js';
import {
  type ActiveUnits,
  type ExitUnit,
  exitLogits,
  type RunLayer,
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
import type {PartialRows} from '../../nn/kv-cache.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Decoded, DraftableDecoding, RunOptions, StepOptions} from '../model.js';
import {prefillByStep} from '../prefill.js';
import type {CocaEncoded} from './encode.js';
import type {CocaMacs, TokenPasses} from './macs.js';
import type {DecoderHalves} from './multimodal.js';
import {paddedKeys} from './text.js';
import {largest} from '../../runtime/extremes.js';

// B images still decoding, K beams each, R = B·K rows, n keys so far, d width, S image tokens, V words.
// An image keeps its number in the encoded batch when others finish.

/**
 * Writes one caption an image, token by token, with caches in both halves of the decoder (docs/reference/coca.md 10).
 */
export class CocaDecoding implements DraftableDecoding {
  readonly #scope = new TensorScope();
  readonly #text: SkippedKvCache;
  readonly #multimodal: SkippedKvCache;
  readonly #crossAttention: CrossAttentionCache;
  /** Passes of each image of the encoded batch, one entry a token. */
  readonly #passes: readonly TokenPasses[][];
  /** Numbers of the B images that still decode. */
  #images: readonly number[];
  #beams: number;
  /** Tokens that each row was fed, one list a step. */
  #fed: readonly (readonly number[])[] = [];
  /** Passes of the newest tokens that left the multimodal half early in mode `just-in-time`. */
  #late: readonly Readonly<Record<'text' | 'multimodal', UnitPass>>[] = [];
  #step = 0;

  /**
   * @param encoded   borrowed, only during the call
   * @param beams     K
   * @param adapters   borrowed as long as the decoding lives
   * @throws          UsageError for `gap`: caches with holes are a quirk of another model's release
   * @internal
   */
  constructor(
    private readonly halves: DecoderHalves,
    private readonly cost: CocaMacs,
    encoded: CocaEncoded,
    beams: number,
    private readonly maxSteps: number,
    private readonly skipped: SkippedKv,
    private readonly adapters?: ExitAdapters,
  ) {
    if (skipped === 'gap')
      throw new UsageError(
        'skipped-kv',
        "this model fills the caches of skipped layers: 'gap' is not one of its modes",
        {hint: 'Use project, copy or just-in-time.'},
      );
    const hold = this.#scope.hold.bind(this.#scope);
    const {text, multimodal} = halves;
    this.#text = hold(new SkippedKvCache(text.layers.length, skipped, 'lastToken'));
    this.#multimodal = hold(new SkippedKvCache(multimodal.layers.length, skipped, 'lastToken'));
    this.#crossAttention = hold(multimodal.crossAttentionCache(hold(encoded.tokens.clone())));
    this.#passes = encoded.runs.map(() => []);
    this.#images = encoded.runs.map((_, image) => image);
    this.#beams = beams;
  }

  get macs(): readonly Macs[] {
    const adapters = this.adapters ? (layer: number): number => this.adapters!.macs(layer) : withoutAdapters;
    return this.#passes.map((passes) => this.cost.decode(this.skipped, passes, adapters));
  }

  /** Keys in each layer's cache, of the text half and of the multimodal half: of one length but for `just-in-time`. */
  get cacheLengths(): {readonly text: readonly number[]; readonly multimodal: readonly number[]} {
    const lengths = ({caches}: SkippedKvCache): number[] => caches.map((cache) => cache.length);
    return {text: lengths(this.#text), multimodal: lengths(this.#multimodal)};
  }

  async step(tokens: readonly number[], policy: PolicyPerImage, options: StepOptions = {}): Promise<Decoded> {
    using scope = new TensorScope();
    const {text, multimodal, config} = this.halves;
    const policies = decodingPolicies(policy, this.skipped);
    this.#check(tokens);
    // The published mask shuts out the key behind a pad. Nothing stands before the first token: its key is always seen.
    const padded = tokens.map((token, row) => {
      const before = this.#fed.slice(-1).map((last) => last[row]!);
      return paddedKeys([...before, token], config).slice(-1);
    });
    this.#text.begin(padded);
    this.#multimodal.begin(tokens.map(() => [false]));
    const ids = scope.hold(tf.tensor2d([...tokens], [tokens.length, 1], 'int32'));
    const embedded = scope.hold(text.embed(ids, this.#step));

    const textLayer: RunLayer = (x, layer, active) => this.#textLayer(x, layer, active);
    const ofText = await this.#runHalf('text', embedded, textLayer, policies, options);
    scope.hold(ofText.x);
    this.#text.fill(ofText.x, deepest(ofText.passes), (x, layer, ...cache) =>
      text.layers[layer]!.growSkipped(x, ...cache),
    );

    const logits: UnitLogits = (x, _units, layers) => this.#logits(x, layers);
    const crossLayer: RunLayer = (x, layer, active) => this.#multimodalLayer(x, layer, active);
    const last = await this.#runHalf('multimodal', ofText.x, crossLayer, policies, options, logits);
    scope.hold(last.x);
    this.#multimodal.fill(last.x, deepest(last.passes), (x, layer, ...cache) =>
      multimodal.layers[layer]!.self.growSkipped(x, ...cache),
    );

    const ofImages = this.#images.map((_, i) => ({
      text: ofText.passes[i] ?? ofText.passes[0]!,
      multimodal: last.passes[i] ?? last.passes[0]!,
    }));
    for (const [i, image] of this.#images.entries()) this.#record(image, i, ofImages[i]!, options.rows);
    const early = ofImages[0]!.multimodal.trace.exitLayer < multimodal.layers.length;
    this.#late = early ? [...this.#late, ofImages[0]!] : [];
    this.#step++;
    this.#fed = [...this.#fed, [...tokens]];
    return {
      logits: exitLogits(last.x, last.passes, logits),
      traces: ofImages.map((passes) => [passes.text.trace, passes.multimodal.trace]),
    };
  }

  /** The text half runs in full for every token: the tokens are late in the multimodal half alone. */
  async verify({signal}: RunOptions = {}): Promise<{logits: tf.Tensor2D; traces: readonly StackTrace[][]}> {
    using scope = new TensorScope();
    const begun = this.#late;
    const {exitLayer} = begun[0]!.multimodal.trace;
    const states = scope.hold(this.#multimodal.takeLate(exitLayer)!);
    const [, tokens, size] = states.shape;
    const logits: UnitLogits = (x, _units, layers) => this.#logits(x, layers);
    const {x, passes} = await runStackBatched(
      scope.hold(states.reshape([tokens, 1, size]) as tf.Tensor3D),
      (state, layer) => this.#runTokens(state, layer),
      {stack: 'multimodal', depth: this.halves.multimodal.layers.length, maxSteps: this.maxSteps},
      begun.map(({multimodal}): ExitUnit => ({policy: never, step: multimodal.trace.step, begun: multimodal})),
      {signal},
    );
    scope.hold(x);
    const first = this.#step - tokens;
    const own = this.#passes[this.#images[0]!]!;
    const verified = own.slice(-tokens).map(({text}, i): TokenPasses => {
      const {trace, logitsAt} = passes[i]!;
      const multimodal = {trace, logitsAt, logitsKnown: false, rows: 1, decidingRows: 1};
      return {text, multimodal, drafted: {layers: exitLayer, position: first + i, keys: this.#step, kept: true}};
    });
    own.splice(-tokens, tokens, ...verified);
    this.#late = [];
    return {
      logits: exitLogits(x, passes, logits),
      traces: passes.map(({trace}, i) => [begun[i]!.text.trace, trace]),
    };
  }

  cut(length: number): void {
    this.#text.cut(length);
    this.#multimodal.cut(length);
    this.#step = length;
    this.#fed = this.#fed.slice(0, length);
    takeBack(this.#passes[this.#images[0]!]!, length);
  }

  /**
   * @param x        [N, 1, d]
   * @param layers   how many layers of the multimodal half gave them, equal shares of the rows
   * @returns        [N, V], the caller's
   */
  #logits(x: tf.Tensor3D, layers: readonly number[]): tf.Tensor2D {
    return tf.tidy(() => {
      const states = x.squeeze([1]) as tf.Tensor2D;
      return this.halves.multimodal.logits(this.adapters?.adapt(states, layers) ?? states);
    });
  }

  /** Step by step: a token's state in the multimodal half depends on where it left the text half. */
  prefill(tokens: readonly (readonly number[])[], policy: PolicyPerImage, options: RunOptions = {}): Promise<Decoded> {
    return prefillByStep(this, tokens, policy, options);
  }

  /** Runs one half of the decoder for the newest token. @param logits left out where the half has none */
  async #runHalf(
    stack: 'text' | 'multimodal',
    x: tf.Tensor3D,
    forward: RunLayer,
    policies: readonly ExitPolicy[],
    {rows, signal}: StepOptions,
    logits?: UnitLogits,
  ): Promise<{x: tf.Tensor3D; passes: readonly UnitPass[]}> {
    const depth = this.halves[stack].layers.length;
    const units = stepUnits(policies, x.shape[0], rows, logits);
    const position = {stack, depth, step: this.#step, maxSteps: this.maxSteps};
    return await runStackBatched(x, forward, position, units, {signal, logits});
  }

  /** @param i place of the image among those that still decode */
  #record(
    image: number,
    i: number,
    passes: Readonly<Record<'text' | 'multimodal', UnitPass>>,
    rows: readonly number[] | undefined,
  ): void {
    const beams = this.#beams;
    const deciding = decidingRows(rows, i * beams, (i + 1) * beams).length;
    const of = ({trace, logitsAt, logitsKnown}: UnitPass): StepPass => ({
      trace,
      logitsAt,
      logitsKnown,
      rows: beams,
      decidingRows: deciding,
    });
    this.#passes[image]!.push({text: of(passes.text), multimodal: of(passes.multimodal)});
  }

  #textLayer(x: tf.Tensor3D, layer: number, active: ActiveUnits): tf.Tensor3D {
    return this.#text.run(x, layer, (input, cache, padded) => {
      using scope = new TensorScope();
      const bias = causalBias(input.shape[1], cache.length, scope);
      return this.halves.text.layers[layer]!.forwardCached(input, cache, bias, padded, this.#partial(active, scope));
    });
  }

  /** One multimodal layer for the newest T tokens of a row, which are the units. @param x [T, 1, d] @returns [T, 1, d] */
  #runTokens(x: tf.Tensor3D, layer: number): tf.Tensor3D {
    using scope = new TensorScope();
    const states = scope.hold(x.reshape([1, x.shape[0], -1]) as tf.Tensor3D);
    const row = {indices: [0], total: 1, states};
    return scope.hold(this.#multimodalLayer(states, layer, row)).reshape(x.shape) as tf.Tensor3D;
  }

  #multimodalLayer(x: tf.Tensor3D, layer: number, active: ActiveUnits): tf.Tensor3D {
    const {indices, total} = active;
    const images = indices.length === total ? this.#images : indices.map((unit) => this.#images[unit]!);
    const memory = this.#crossAttention.of(layer, images);
    return this.#multimodal.run(x, layer, (input, cache) => {
      using scope = new TensorScope();
      const {self, cross} = this.halves.multimodal.layers[layer]!;
      const bias = causalBias(input.shape[1], cache.length, scope);
      const between = scope.hold(self.forwardCached(input, cache, bias, undefined, this.#partial(active, scope)));
      return cross.forwardCross(between, memory);
    });
  }

  /** Where only some units are active, a layer's input holds some of the rows of its cache. `scope` owns the tensors. */
  #partial(active: ActiveUnits, scope: TensorScope): PartialRows | undefined {
    const {indices, total} = active;
    if (indices.length === total) return undefined;
    const index = scope.hold(tf.tensor1d(rowsOfUnits(indices, this.#beams), 'int32'));
    return {all: active.states, index, axis: 0};
  }

  #check(tokens: readonly number[]): void {
    const {context_length, vocab_size} = this.halves.config.text;
    if (this.#step >= context_length)
      throw new InputError(
        'text-too-long',
        `the caption has ${this.#step} tokens already, but the model has positions for ${context_length}`,
      );
    const rows = this.#images.length * this.#beams;
    if (tokens.length !== rows)
      throw new UsageError('decoding-rows', `a step takes ${rows} tokens, one a row, but got ${tokens.length}`);
    const bad = tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= vocab_size);
    if (bad !== undefined)
      throw new InputError('token-invalid', `a row has the token ${bad}, but the vocabulary has ${vocab_size}`);
  }

  reorder(rows: readonly number[], beams: number = this.#beams): void {
    this.#text.reorder(rows);
    this.#multimodal.reorder(rows);
    this.#fed = this.#fed.map((tokens) => rows.map((row) => tokens[row]!));
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

/** Causal mask of several new tokens, held by `scope`; a single one sees all keys. @param before keys in the cache */
function causalBias(tokens: number, before: number, scope: TensorScope): readonly tf.Tensor[] {
  return tokens === 1 ? [] : [scope.hold(causalMask(tokens, before + tokens))];
}

function deepest(passes: readonly UnitPass[]): number {
  return largest(passes.map(({trace}) => trace.exitLayer));
}
