import * as tf from '@tensorflow/tfjs';
import type {ExitPolicy} from '../../exit/policy.js';
import {runStack} from '../../exit/run-stack.js';
import type {SkippedKv} from '../../exit/skipped-kv.js';
import {StackCache} from '../../exit/stack-cache.js';
import type {Macs, StackTrace} from '../../exit/trace.js';
import {causalMask} from '../../nn/causal-mask.js';
import type {CrossMemory} from '../../nn/cross-memory.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Decoding, StepOptions} from '../model.js';
import type {CocaCost} from './cost.js';
import type {CocaEncoded} from './encoding.js';
import type {CocaModule} from './module.js';
import {paddedKeys} from './text-mask.js';

// B pictures, K beams each, R = B·K rows, n keys so far, d width, S image tokens

/** One caption a picture, token by token, with caches in both halves of the decoder (coca section 10). */
export class CocaDecoding implements Decoding {
  readonly #scope = new TensorScope();
  readonly #text: StackCache;
  readonly #multimodal: StackCache;
  /** Image tokens [B, S, d], for layers that have not run yet. */
  #tokens: tf.Tensor3D;
  /** What each layer's cross block reads, from the first time it runs. */
  readonly #memories: (CrossMemory | undefined)[];
  /** What each row was fed last. */
  #before: readonly number[] | undefined;
  #step = 0;
  #macs: {run: number; full: number};

  /**
   * @param encoded borrowed, only during the call
   * @param rows K, beams a picture
   * @throws UsageError for `gap`: caches with holes are a quirk of another model's release
   */
  constructor(
    private readonly module: CocaModule,
    private readonly cost: CocaCost,
    encoded: CocaEncoded,
    private readonly rows: number,
    private readonly maxSteps: number,
    private readonly skipped: SkippedKv,
  ) {
    if (skipped === 'gap')
      throw new UsageError('skipped-kv', "this model fills the caches of skipped layers: 'gap' is not one of its modes", {
        hint: 'Use project, copy or just-in-time.',
      });
    const {text, multimodal} = module;
    this.#text = this.#scope.hold(new StackCache(text.layers.length, skipped, 'newest'));
    this.#multimodal = this.#scope.hold(new StackCache(multimodal.layers.length, skipped, 'newest'));
    this.#memories = multimodal.layers.map(() => undefined);
    this.#tokens = this.#scope.hold(encoded.tokens.clone());
    this.#macs = {run: 0, full: multimodal.layers.length * encoded.pictures * cost.crossMemory()};
  }

  get #pictures(): number {
    return this.#tokens.shape[0];
  }

  get macs(): Macs {
    return {...this.#macs};
  }

  /** Keys that each layer has, of the text half and of the multimodal half: of one length but for `just-in-time`. */
  get cacheLengths(): {readonly text: readonly number[]; readonly multimodal: readonly number[]} {
    const lengths = ({caches}: StackCache): number[] => caches.map((cache) => cache.length);
    return {text: lengths(this.#text), multimodal: lengths(this.#multimodal)};
  }

  async step(
    tokens: readonly number[],
    policy: ExitPolicy,
    options: StepOptions = {},
  ): Promise<{logits: tf.Tensor2D; traces: readonly StackTrace[]}> {
    using scope = new TensorScope();
    const {module, cost} = this;
    this.#check(tokens);
    const {text, multimodal, config} = module;
    // Before each text, nothing: the first key is always seen. The published mask shuts out the key behind a pad.
    const padded = tokens.map((token, r) => paddedKeys(this.#before ? [this.#before[r]!, token] : [token], config).at(-1)!);
    this.#text.begin(padded);
    this.#multimodal.begin(tokens.map(() => false));
    const embedded = scope.hold(tf.tidy(() => text.embed(tf.tensor2d([...tokens], [tokens.length, 1], 'int32'), this.#step)));
    const ranText = await this.#stack('text', embedded, (x, layer) => this.#textLayer(x, layer), policy, options);
    const state = scope.hold(ranText.x);
    this.#text.fill(state, ranText.trace.exitLayer, (x, layer) => text.layers[layer]!.selfKeysValues(x));
    const logits = (x: tf.Tensor3D): tf.Tensor2D => tf.tidy(() => multimodal.logits(x.squeeze([1]) as tf.Tensor2D));
    const ran = await this.#stack('multimodal', state, (x, layer) => this.#multimodalLayer(x, layer), policy, options, logits);
    scope.hold(ran.x);
    this.#multimodal.fill(ran.x, ran.trace.exitLayer, (x, layer) => multimodal.layers[layer]!.self.selfKeysValues(x));
    this.#step++;
    this.#before = [...tokens];
    this.#macs.run += tokens.length * cost.logits();
    this.#macs.full += tokens.length * (cost.logits() + text.layers.length * cost.textLayer(1, this.#step));
    this.#macs.full += tokens.length * multimodal.layers.length * cost.multimodalLayer(1, this.#step);
    return {logits: logits(ran.x), traces: [ranText.trace, ran.trace]};
  }

  /** Runs one half for the newest token and counts what the decision cost. */
  async #stack(
    stack: 'text' | 'multimodal',
    x: tf.Tensor3D,
    forward: (x: tf.Tensor3D, layer: number) => tf.Tensor3D,
    policy: ExitPolicy,
    {rows, signal}: StepOptions,
    logits?: (x: tf.Tensor3D) => tf.Tensor2D,
  ): Promise<{x: tf.Tensor3D; trace: StackTrace}> {
    const count = x.shape[0];
    const depth = this.module[stack].layers.length;
    const view =
      rows && rows.length < count
        ? (state: tf.Tensor3D): tf.Tensor3D => tf.tidy(() => tf.gather(state, tf.tensor1d([...rows], 'int32')))
        : undefined;
    const ran = await runStack(x, forward, {stack, depth, step: this.#step, maxSteps: this.maxSteps}, policy, {
      signal,
      ...(logits ? {logits: (state: tf.Tensor3D) => (view ? tf.tidy(() => logits(view(state))) : logits(state))} : {}),
      ...(view ? {view} : {}),
    });
    const deciding = view ? rows!.length : count;
    const tests = ran.trace.scores.filter((s) => s !== null).length * this.cost.exitTest(deciding * this.module.config.text.width);
    const filled = this.skipped === 'project' ? (depth - ran.trace.exitLayer) * count * this.cost.projectedKeysValues() : 0;
    this.#macs.run += tests + filled + ran.asked * deciding * this.cost.logits();
    return ran;
  }

  #textLayer(x: tf.Tensor3D, layer: number): tf.Tensor3D {
    return this.#text.run(x, layer, (input, cache, padded) => {
      const [rows, tokens] = input.shape;
      const output = withCausal(tokens, cache.length + tokens, (bias) =>
        this.module.text.layers[layer]!.forwardCached(input, cache, bias, padded),
      );
      this.#macs.run += rows * this.cost.textLayer(tokens, cache.length);
      return output;
    });
  }

  #multimodalLayer(x: tf.Tensor3D, layer: number): tf.Tensor3D {
    const memory = this.#memory(layer);
    return this.#multimodal.run(x, layer, (input, cache) => {
      const [rows, tokens] = input.shape;
      const {self, cross} = this.module.multimodal.layers[layer]!;
      const between = withCausal(tokens, cache.length + tokens, (bias) => self.forwardCached(input, cache, bias));
      const output = cross.forwardCross(between, memory);
      between.dispose();
      this.#macs.run += rows * this.cost.multimodalLayer(tokens, cache.length);
      return output;
    });
  }

  /** Depends on the picture alone: computed when the layer first runs, and never copied. */
  #memory(layer: number): CrossMemory {
    const known = this.#memories[layer];
    if (known) return known;
    const made = this.#scope.hold(this.module.multimodal.layers[layer]!.cross.remember(this.#tokens));
    this.#memories[layer] = made;
    this.#macs.run += this.#pictures * this.cost.crossMemory();
    return made;
  }

  #check(tokens: readonly number[]): void {
    const {context_length, vocab_size} = this.module.config.text;
    if (this.#step >= context_length)
      throw new InputError(
        'text-too-long',
        `the caption has ${this.#step} tokens already, but the model has positions for ${context_length}`,
      );
    if (tokens.length !== this.#pictures * this.rows)
      throw new UsageError('decoding-rows', `a step takes ${this.#pictures * this.rows} tokens, one a row, but got ${tokens.length}`);
    const bad = tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= vocab_size);
    if (bad !== undefined) throw new InputError('token-invalid', `a row has the token ${bad}, but the vocabulary has ${vocab_size}`);
  }

  reorder(rows: readonly number[]): void {
    this.#text.reorder(rows);
    this.#multimodal.reorder(rows);
    this.#before = this.#before && rows.map((r) => this.#before![r]!);
    this.#keepPictures(Array.from({length: rows.length / this.rows}, (_, b) => Math.floor(rows[b * this.rows]! / this.rows)));
  }

  /** Pictures' tensors change only when pictures leave; beams of one picture share them. */
  #keepPictures(pictures: readonly number[]): void {
    if (pictures.length === this.#pictures) return;
    const index = tf.tensor1d([...pictures], 'int32');
    this.#memories.forEach((memory, layer) => {
      if (memory) this.#memories[layer] = this.#scope.replace(memory, memory.gather(index));
    });
    this.#tokens = this.#scope.replace(this.#tokens, tf.gather(this.#tokens, index));
    index.dispose();
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
