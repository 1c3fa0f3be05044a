import * as tf from '@tensorflow/tfjs';
import {decidingRows, decodingPolicies, stepUnits} from '../../exit/deciders.js';
import type {PolicyPerImage, ExitPolicy} from '../../exit/policy.js';
import {exitLogits, rowsOfUnits, type ActiveUnits, runStackBatched, type UnitPass} from '../../exit/run-stack.js';
import {type SkippedKv, SkippedKvCache} from '../../exit/skipped-kv-cache.js';
import type {Macs, StackTrace} from '../../exit/trace.js';
import {causalMask} from '../../nn/attention.js';
import {gatherRows} from '../../nn/gather-rows.js';
import type {PartialRows} from '../../nn/kv-cache.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {CrossAttentionCache} from '../../nn/cross-attention-cache.js';
import type {Decoding, RunOptions, StepOptions} from '../model.js';
import {prefillByStep} from '../prefill.js';
import type {CocaEncoded} from './encode.js';
import {type CocaCost, CocaDecodingCosts} from './macs.js';
import type {CocaModule} from './model.js';
import {paddedKeys} from './text.js';

// B pictures, K beams each, R = B·K rows, n keys so far, d width, S image tokens

/** One caption a picture, token by token, with caches in both halves of the decoder (coca section 10). */
export class CocaDecoding implements Decoding {
  readonly #scope = new TensorScope();
  readonly #text: SkippedKvCache;
  readonly #multimodal: SkippedKvCache;
  readonly #memories: CrossAttentionCache;
  readonly #costs: CocaDecodingCosts;
  /** By their first numbers, which they keep when others leave. */
  #pictures: readonly number[];
  #beams: number;
  /** What each row was fed last. */
  #before: readonly number[] | undefined;
  #step = 0;

  /**
   * @param encoded borrowed, only during the call
   * @param beams K, rows a picture
   * @throws UsageError for `gap`: caches with holes are a quirk of another model's release
   */
  constructor(
    private readonly module: CocaModule,
    cost: CocaCost,
    encoded: CocaEncoded,
    beams: number,
    private readonly maxSteps: number,
    private readonly skipped: SkippedKv,
  ) {
    if (skipped === 'gap')
      throw new UsageError(
        'skipped-kv',
        "this model fills the caches of skipped layers: 'gap' is not one of its modes",
        {
          hint: 'Use project, copy or just-in-time.',
        },
      );
    const {text, multimodal} = module;
    this.#text = this.#scope.hold(new SkippedKvCache(text.layers.length, skipped, 'newest'));
    this.#multimodal = this.#scope.hold(new SkippedKvCache(multimodal.layers.length, skipped, 'newest'));
    this.#memories = this.#scope.hold(multimodal.memories(this.#scope.hold(encoded.tokens.clone())));
    this.#costs = new CocaDecodingCosts(cost, module.config, encoded.pictures, skipped === 'project');
    this.#pictures = Array.from({length: encoded.pictures}, (_, b) => b);
    this.#beams = beams;
  }

  get macs(): readonly Macs[] {
    return this.#costs.macs.map((macs) => ({...macs}));
  }

  /** Keys that each layer has, of the text half and of the multimodal half: of one length but for `just-in-time`. */
  get cacheLengths(): {readonly text: readonly number[]; readonly multimodal: readonly number[]} {
    const lengths = ({caches}: SkippedKvCache): number[] => caches.map((cache) => cache.length);
    return {text: lengths(this.#text), multimodal: lengths(this.#multimodal)};
  }

  async step(
    tokens: readonly number[],
    policy: PolicyPerImage,
    options: StepOptions = {},
  ): Promise<{logits: tf.Tensor2D; traces: readonly (readonly StackTrace[])[]}> {
    using scope = new TensorScope();
    const {text, multimodal, config} = this.module;
    const policies = decodingPolicies(policy, this.skipped);
    this.#check(tokens);
    // Before each text, nothing: the first key is always seen. The published mask shuts out the key behind a pad.
    const padded = tokens.map((token, r) =>
      paddedKeys(this.#before ? [this.#before[r]!, token] : [token], config).slice(-1),
    );
    this.#text.begin(padded);
    this.#multimodal.begin(tokens.map(() => [false]));
    const embedded = scope.hold(
      tf.tidy(() => text.embed(tf.tensor2d([...tokens], [tokens.length, 1], 'int32'), this.#step)),
    );
    const ranText = await this.#stack('text', embedded, (...of) => this.#textLayer(...of), policies, options);
    scope.hold(ranText.x);
    this.#text.fill(ranText.x, deepest(ranText.runs), (x, layer) => text.layers[layer]!.selfKeysValues(x));
    const logits = (x: tf.Tensor3D): tf.Tensor2D => tf.tidy(() => multimodal.logits(x.squeeze([1]) as tf.Tensor2D));
    const ran = await this.#stack(
      'multimodal',
      ranText.x,
      (...of) => this.#multimodalLayer(...of),
      policies,
      options,
      logits,
    );
    scope.hold(ran.x);
    this.#multimodal.fill(ran.x, deepest(ran.runs), (x, layer) => multimodal.layers[layer]!.self.selfKeysValues(x));
    const traces = this.#pictures.map((picture, i) => {
      const last = ran.runs[i] ?? ran.runs[0]!;
      this.#costs.token(picture, this.#step, this.#beams, last.logits !== undefined);
      return [(ranText.runs[i] ?? ranText.runs[0]!).trace, last.trace];
    });
    this.#step++;
    this.#before = [...tokens];
    return {logits: exitLogits(ran.x, ran.runs, logits), traces};
  }

  /** Step by step: what a token is to the multimodal half depends on where it left the text half. */
  prefill(
    tokens: readonly (readonly number[])[],
    policy: PolicyPerImage,
    options: RunOptions = {},
  ): ReturnType<Decoding['prefill']> {
    return prefillByStep(this, tokens, policy, options);
  }

  /** Runs one half for the newest token and counts what the decisions cost. */
  async #stack(
    stack: 'text' | 'multimodal',
    x: tf.Tensor3D,
    forward: (x: tf.Tensor3D, layer: number, running: ActiveUnits) => tf.Tensor3D,
    policies: readonly ExitPolicy[],
    {rows, signal}: StepOptions,
    logits?: (x: tf.Tensor3D) => tf.Tensor2D,
  ): Promise<{x: tf.Tensor3D; runs: readonly UnitPass[]}> {
    const depth = this.module[stack].layers.length;
    const samples = stepUnits(policies, x.shape[0], rows, logits);
    const at = {stack, depth, step: this.#step, maxSteps: this.maxSteps};
    const ran = await runStackBatched(x, forward, at, samples, {signal, ...(logits ? {logits} : {})});
    const beams = this.#beams;
    for (const [i, picture] of this.#pictures.entries())
      this.#costs.half(
        picture,
        ran.runs[i] ?? ran.runs[0]!,
        beams,
        decidingRows(rows, i * beams, (i + 1) * beams).length,
      );
    return ran;
  }

  #textLayer(x: tf.Tensor3D, layer: number, running: ActiveUnits): tf.Tensor3D {
    return this.#text.run(x, layer, (input, cache, padded) => {
      const tokens = input.shape[1];
      const output = withCausal(tokens, cache.length + tokens, (bias) =>
        this.module.text.layers[layer]!.forwardCached(input, cache, bias, padded, this.#among(running)),
      );
      for (const picture of this.#picturesOf(running))
        this.#costs.textLayer(picture, this.#beams, tokens, cache.length);
      return output;
    });
  }

  #multimodalLayer(x: tf.Tensor3D, layer: number, running: ActiveUnits): tf.Tensor3D {
    const pictures = this.#picturesOf(running);
    const memory = this.#memories.of(layer, pictures);
    return this.#multimodal.run(x, layer, (input, cache) => {
      const tokens = input.shape[1];
      const {self, cross} = this.module.multimodal.layers[layer]!;
      const between = withCausal(tokens, cache.length + tokens, (bias) =>
        self.forwardCached(input, cache, bias, undefined, this.#among(running)),
      );
      const output = cross.forwardCross(between, memory);
      between.dispose();
      for (const picture of pictures) this.#costs.multimodalLayer(layer, picture, this.#beams, tokens, cache.length);
      return output;
    });
  }

  #picturesOf({indices: samples, total: of}: ActiveUnits): readonly number[] {
    return samples.length === of ? this.#pictures : samples.map((s) => this.#pictures[s]!);
  }

  #among({indices: samples, total: of, states: state}: ActiveUnits): PartialRows | undefined {
    if (samples.length === of) return undefined;
    const rows = rowsOfUnits(samples, this.#beams);
    return {all: state, part: (all) => gatherRows(all, rows), rows};
  }

  #check(tokens: readonly number[]): void {
    const {context_length, vocab_size} = this.module.config.text;
    if (this.#step >= context_length)
      throw new InputError(
        'text-too-long',
        `the caption has ${this.#step} tokens already, but the model has positions for ${context_length}`,
      );
    const rows = this.#pictures.length * this.#beams;
    if (tokens.length !== rows)
      throw new UsageError('decoding-rows', `a step takes ${rows} tokens, one a row, but got ${tokens.length}`);
    const bad = tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= vocab_size);
    if (bad !== undefined)
      throw new InputError('token-invalid', `a row has the token ${bad}, but the vocabulary has ${vocab_size}`);
  }

  reorder(rows: readonly number[], beams: number = this.#beams): void {
    this.#text.reorder(rows);
    this.#multimodal.reorder(rows);
    this.#before = this.#before && rows.map((r) => this.#before![r]!);
    const pictures = Array.from(
      {length: rows.length / beams},
      (_, b) => this.#pictures[Math.floor(rows[b * beams]! / this.#beams)]!,
    );
    if (pictures.length < this.#pictures.length) this.#memories.keep(pictures);
    this.#pictures = pictures;
    this.#beams = beams;
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}

/** With the causal mask of several new tokens; a single one sees all keys. */
function withCausal(tokens: number, keys: number, run: (bias: readonly tf.Tensor[]) => tf.Tensor3D): tf.Tensor3D {
  if (tokens === 1) return run([]);
  const mask = causalMask(tokens, keys);
  try {
    return run([mask]);
  } finally {
    mask.dispose();
  }
}

function deepest(runs: readonly UnitPass[]): number {
  return Math.max(...runs.map(({trace}) => trace.exitLayer));
}
