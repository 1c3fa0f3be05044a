import * as tf from '@tensorflow/tfjs';
import {type ExitPolicy, never} from '../../exit/policy.js';
import {runStack} from '../../exit/run-stack.js';
import type {Macs, StackTrace} from '../../exit/trace.js';
import {causalMask} from '../../nn/causal-mask.js';
import type {CrossMemory} from '../../nn/cross-memory.js';
import {KvCache} from '../../nn/kv-cache.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {RunOptions, Scored, ScoreInput} from '../model.js';
import {TargetBias} from './bias-tables.js';
import type {OfaCost} from './cost.js';
import type {OfaDecoder, Target} from './decoder.js';
import type {DecoderBias} from './decoder-layer.js';
import type {OfaEncoded} from './encoding.js';

// B pictures, K targets each, R = B·K rows, T positions, M encoder length, D width, H heads

const PAD = 1;

/** What one teacher-forced pass needs besides its targets; lets several passes share a picture's memory. */
export interface TargetPass {
  readonly encoded: OfaEncoded;
  /** At least as long as the targets; borrowed. */
  readonly bias: TargetBias;
  /** A layer's cross memory, borrowed; made when first asked for. */
  readonly memory: (layer: number) => CrossMemory;
}

/** Whole targets in one pass: all positions of all rows through each layer, one exit decision for all. */
export class OfaScoring {
  constructor(
    private readonly decoder: OfaDecoder,
    private readonly cost: OfaCost,
  ) {}

  async score(pass: TargetPass, {targets, at, words, decideOn}: ScoreInput, policy: ExitPolicy, options: RunOptions = {}): Promise<Scored> {
    using scope = new TensorScope();
    const logits = (x: tf.Tensor3D): tf.Tensor2D => this.logits(x, at, words);
    const {x, trace, macs, asked} = await this.run(pass, targets, policy, {...options, logits, ...(decideOn ? {decideOn} : {})});
    scope.hold(x);
    const last = at.length * this.cost.logits(words?.length ?? this.decoder.config.vocab_size);
    return {logits: logits(x), traces: [trace], macs: {run: macs.run + (asked + 1) * last, full: macs.full + last}};
  }

  /** @param x [R, T, D], not yet normed. @returns [at.length, V or words], the caller's. */
  logits(x: tf.Tensor3D, at: ScoreInput['at'], words?: readonly number[]): tf.Tensor2D {
    return tf.tidy(() => {
      const [, t, d] = x.shape;
      const rows = tf.gather(
        x.reshape([-1, d]),
        tf.tensor1d(
          at.map(({row, position}) => row * t + position),
          'int32',
        ),
      );
      return this.decoder.logits(rows as tf.Tensor2D, words);
    });
  }

  /**
   * Logits at every position where some rows write the codes of a picture instead of words (ofa_mue section 4.2): those
   * have their own norm, positions and relative biases. One row a picture, full depth.
   * @param code whether each row is of codes. @returns [R·T, V], the caller's
   */
  async codeLogits({encoded, memory}: TargetPass, targets: readonly (readonly number[])[], code: readonly boolean[]): Promise<tf.Tensor2D> {
    using scope = new TensorScope();
    const {decoder} = this;
    const length = targets[0]!.length;
    const biases = {text: scope.hold(new TargetBias(decoder, length, 'text')), code: scope.hold(new TargetBias(decoder, length, 'code'))};
    const byRow = (of: (target: Target) => tf.Tensor): tf.Tensor =>
      scope.hold(tf.tidy(() => tf.concat(code.map((isCode) => of(isCode ? 'code' : 'text')))));
    const embedded = scope.hold(
      tf.tidy(() =>
        tf.concat(targets.map((row, r) => decoder.embed(tf.tensor2d([...row], [1, length], 'int32'), code[r] ? 'code' : 'text'))),
      ),
    ) as tf.Tensor3D;
    const cross = byRow((target) => decoder.crossBias(biases[target].positions, encoded.positions));
    const self = decoder.layers.map((_, layer) => byRow((target) => biases[target].self[layer]!));
    const causal = scope.hold(causalMask(length, length));
    const bias = (layer: number): DecoderBias => ({self: [self[layer]!, causal], cross: encoded.mask ? [cross, encoded.mask] : [cross]});
    const forward = (state: tf.Tensor3D, layer: number): tf.Tensor3D => this.#layer(state, layer, memory(layer), bias);
    const {x: last} = await runStack(embedded, forward, {stack: 'decoder', depth: decoder.layers.length}, never);
    scope.hold(last);
    return tf.tidy(() => decoder.logits(last.reshape([-1, decoder.config.d_model]) as tf.Tensor2D));
  }

  /** One layer over whole targets: a cache that lives as long as the call. @param bias called inside a tidy */
  #layer(
    x: tf.Tensor3D,
    layer: number,
    memory: CrossMemory,
    bias: (layer: number) => DecoderBias,
    padded?: readonly (readonly boolean[])[],
  ): tf.Tensor3D {
    using cache = new KvCache();
    return this.decoder.layers[layer]!.forward(x, cache, memory, () => bias(layer), padded);
  }

  /** @returns the exit state [R, T, D], the caller's, and how many decisions asked for logits; those are not in the costs. */
  async run(
    {encoded, bias, memory}: TargetPass,
    targets: readonly (readonly number[])[],
    policy: ExitPolicy,
    {logits, signal, decideOn}: RunOptions & {logits?: (x: tf.Tensor3D) => tf.Tensor2D; decideOn?: number} = {},
  ): Promise<{x: tf.Tensor3D; trace: StackTrace; macs: Macs; asked: number}> {
    using scope = new TensorScope();
    const {decoder, cost} = this;
    const rows = targets.length;
    const perPicture = rows / encoded.pictures;
    const length = Math.max(...targets.map((t) => t.length));
    const ids = targets.map((t) => [...t, ...new Array<number>(length - t.length).fill(PAD)]);
    const padded = ids.some((row) => row.includes(PAD)) ? ids.map((row) => row.map((id) => id === PAD)) : undefined;
    const memoryLength = encoded.states.shape[1];
    const heads = decoder.config.decoder_attention_heads;
    const embedded = scope.hold(tf.tidy(() => decoder.embed(tf.tensor2d(ids, [rows, length], 'int32'))));
    const causal = scope.hold(causalMask(length, length));
    const positions = scope.hold(tf.slice(bias.positions, [0, 0, 0], [1, length, -1]));
    const one = scope.hold(decoder.crossBias(positions, encoded.positions));
    const cross = perPicture > 1 ? scope.hold(tf.tile(one, [1, 1, perPicture, 1])) : one; // [1, H, K·T, M]
    const biases = (layer: number): DecoderBias => ({
      self: [tf.slice(bias.self[layer]!, [0, 0, 0, 0], [1, heads, length, length]), causal],
      cross: encoded.mask ? [cross, encoded.mask] : [cross],
    });
    const forward = (x: tf.Tensor3D, layer: number): tf.Tensor3D => this.#layer(x, layer, memory(layer), biases, padded);
    const depth = decoder.layers.length;
    const {x, trace, asked} = await runStack(embedded, forward, {stack: 'decoder', depth}, policy, {
      signal,
      ...(logits ? {logits} : {}),
      ...(decideOn ? {view: (state: tf.Tensor3D) => tf.slice(state, [0, 0, 0], [1, decideOn, -1])} : {}),
    });
    const shared = cost.crossPositions(memoryLength) + cost.targetPositions(length, length, memoryLength); // by the batch
    const layer = rows * cost.decoderLayer(length, length, memoryLength) + encoded.pictures * cost.crossMemory(memoryLength);
    const tests =
      trace.scores.filter((s) => s !== null).length * cost.exitTest(decideOn ? decideOn * decoder.config.d_model : embedded.size);
    return {x, trace, asked, macs: {run: shared + trace.exitLayer * layer + tests, full: shared + depth * layer}};
  }
}
