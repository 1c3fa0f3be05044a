import * as tf from '@tensorflow/tfjs';
import type {ExitPolicy} from '../../exit/policy.js';
import {runStack} from '../../exit/run-stack.js';
import type {SkippedKv} from '../../exit/skipped-kv.js';
import {StackCache} from '../../exit/stack-cache.js';
import type {Macs, StackTrace} from '../../exit/trace.js';
import {causalMask} from '../../nn/causal-mask.js';
import type {CrossMemory} from '../../nn/cross-memory.js';
import type {KvCache} from '../../nn/kv-cache.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Decoding, StepOptions} from '../model.js';
import type {TargetBias} from './bias-tables.js';
import type {OfaCost} from './cost.js';
import type {OfaDecoder} from './decoder.js';
import type {DecoderBias} from './decoder-layer.js';
import type {OfaEncoded} from './encoding.js';

// B pictures, K beams each, R = B·K rows, M encoder length, n keys so far, D width, H heads

const PAD = 1;

/** One answer a picture, token by token, with caches (ofa_mue sections 4.4 and 10.7). */
export class OfaDecoding implements Decoding {
  readonly #scope = new TensorScope();
  readonly #cache: StackCache;
  /** Encoder states [B, M, D], for layers that have not run yet. */
  #states: tf.Tensor3D;
  #mask: tf.Tensor4D | undefined;
  #remember: OfaEncoded['remember'];
  /** What each layer's cross-attention reads, from the first time it runs. */
  readonly #memories: (CrossMemory | undefined)[];
  /** [1, H, T, M] */
  readonly #crossBias: tf.Tensor4D;
  #step = 0;
  #macs: {run: number; full: number};

  /**
   * @param encoded borrowed, only during the call
   * @param rows K, beams a picture
   * @param bias kept elsewhere, or owned if `ownsBias`
   */
  constructor(
    private readonly decoder: OfaDecoder,
    private readonly cost: OfaCost,
    encoded: OfaEncoded,
    private readonly rows: number,
    private readonly maxSteps: number,
    private readonly skipped: SkippedKv,
    private readonly bias: TargetBias,
    ownsBias: boolean,
  ) {
    const {layers} = decoder;
    this.#cache = this.#scope.hold(new StackCache(layers.length, skipped, 'history'));
    this.#memories = layers.map(() => undefined);
    this.#states = this.#scope.hold(encoded.states.clone());
    this.#mask = encoded.mask && this.#scope.hold(encoded.mask.clone());
    this.#remember = encoded.remember;
    this.#crossBias = this.#scope.hold(decoder.crossBias(bias.positions, encoded.positions));
    if (ownsBias) this.#scope.hold(bias);
    const positions = cost.crossPositions(this.#length);
    // A full answer runs every layer at its first step.
    this.#macs = {run: positions, full: positions + layers.length * encoded.pictures * cost.crossMemory(this.#length)};
  }

  get #length(): number {
    return this.#states.shape[1];
  }

  get #pictures(): number {
    return this.#states.shape[0];
  }

  /** Self-attention caches, one a layer. */
  get caches(): readonly KvCache[] {
    return this.#cache.caches;
  }

  get macs(): Macs {
    return {...this.#macs};
  }

  async step(
    tokens: readonly number[],
    policy: ExitPolicy,
    {rows, signal}: StepOptions = {},
  ): Promise<{logits: tf.Tensor2D; traces: readonly StackTrace[]}> {
    using scope = new TensorScope();
    const {decoder, cost} = this;
    const depth = decoder.layers.length;
    const step = this.#step;
    const embedded = scope.hold(tf.tidy(() => decoder.embed(tf.tensor2d([...tokens], [tokens.length, 1], 'int32'))));
    this.#cache.begin(tokens.map((token) => token === PAD));
    const logits = (x: tf.Tensor3D): tf.Tensor2D => tf.tidy(() => decoder.logits(x.squeeze([1]) as tf.Tensor2D));
    const view =
      rows && rows.length < tokens.length
        ? (x: tf.Tensor3D): tf.Tensor3D => tf.tidy(() => tf.gather(x, tf.tensor1d([...rows], 'int32')))
        : undefined;
    const {x, trace, asked} = await runStack(
      embedded,
      (state, layer) => this.#run(state, layer),
      {stack: 'decoder', depth, step, maxSteps: this.maxSteps},
      policy,
      {
        logits: (state) => (view ? tf.tidy(() => logits(view(state))) : logits(state)),
        signal,
        ...(view ? {view} : {}),
      },
    );
    scope.hold(x);
    this.#fillSkipped(x, trace.exitLayer);
    this.#step++;
    const deciding = rows?.length ?? tokens.length;
    this.#count(tokens.length, trace, deciding * decoder.config.d_model);
    this.#macs.run += asked * deciding * cost.logits(decoder.config.vocab_size);
    const fixed = cost.targetPositions(1, step + 1, this.#length) + tokens.length * cost.logits(decoder.config.vocab_size);
    this.#macs.run += fixed;
    this.#macs.full += fixed;
    return {logits: logits(x), traces: [trace]};
  }

  #count(rows: number, trace: StackTrace, tested: number): void {
    this.#macs.full += trace.depth * rows * this.cost.decoderLayer(1, this.#step, this.#length);
    this.#macs.run += trace.scores.filter((s) => s !== null).length * this.cost.exitTest(tested);
    if (this.skipped === 'project') this.#macs.run += (trace.depth - trace.exitLayer) * rows * this.cost.projectedKeysValues();
  }

  #run(x: tf.Tensor3D, layer: number): tf.Tensor3D {
    const memory = this.#memory(layer);
    return this.#cache.run(x, layer, (input, cache, padded) => {
      const [rows, tokens] = input.shape;
      const output = this.decoder.layers[layer]!.forward(input, cache, memory, (keys) => this.#biases(layer, tokens, keys), padded);
      this.#macs.run += rows * this.cost.decoderLayer(tokens, cache.length, this.#length);
      return output;
    });
  }

  /** Biases of the newest `tokens` rows. Called inside a tidy. */
  #biases(layer: number, tokens: number, keys: number): DecoderBias {
    const first = this.#step + 1 - tokens;
    const heads = this.decoder.config.decoder_attention_heads;
    // A cache that skipped steps holds fewer keys than positions: the last columns are used (right-aligned, ofa_mue 10.12).
    const self = tf.slice(this.bias.self[layer]!, [0, 0, first, this.#step + 1 - keys], [1, heads, tokens, keys]);
    const cross = tf.slice(this.#crossBias, [0, 0, first, 0], [1, heads, tokens, this.#length]);
    return {
      self: tokens > 1 ? [self, causalMask(tokens, keys)] : [self],
      cross: [tokens > 1 ? tf.tile(cross, [1, 1, this.rows, 1]) : cross, ...(this.#mask ? [this.#mask] : [])],
    };
  }

  #memory(layer: number): CrossMemory {
    const known = this.#memories[layer];
    if (known) return known;
    const made = this.#scope.hold(this.#remember?.(layer) ?? this.decoder.layers[layer]!.remember(this.#states));
    this.#memories[layer] = made;
    this.#macs.run += this.#pictures * this.cost.crossMemory(this.#length);
    return made;
  }

  /** @param x exit state [R, 1, D] */
  #fillSkipped(x: tf.Tensor3D, exitLayer: number): void {
    const {layers} = this.decoder;
    this.#cache.fill(x, exitLayer, (state, layer) => layers[layer]!.selfKeysValues(state));
    // The authors' branch copies what a layer's cross-attention reads along with its cache.
    if (this.skipped === 'copy')
      for (let layer = exitLayer; layer < layers.length; layer++) this.#memories[layer] = this.#memories[exitLayer - 1];
  }

  reorder(rows: readonly number[]): void {
    this.#cache.reorder(rows);
    this.#keepPictures(Array.from({length: rows.length / this.rows}, (_, b) => Math.floor(rows[b * this.rows]! / this.rows)));
  }

  /** Encoder-side tensors change only when pictures leave; beams of one picture share them. */
  #keepPictures(pictures: readonly number[]): void {
    if (pictures.length === this.#pictures) return;
    using scope = new TensorScope();
    const index = scope.hold(tf.tensor1d([...pictures], 'int32'));
    const gathered = new Map([...new Set(this.#memories)].map((memory) => [memory, memory && this.#scope.hold(memory.gather(index))]));
    this.#memories.forEach((memory, layer) => {
      this.#memories[layer] = gathered.get(memory);
    });
    for (const memory of gathered.keys()) if (memory) this.#scope.drop(memory);
    this.#states = this.#scope.replace(this.#states, tf.gather(this.#states, index));
    this.#remember = undefined; // it speaks of all pictures
    if (this.#mask) this.#mask = this.#scope.replace(this.#mask, tf.gather(this.#mask, index));
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}
