import * as tf from '@tensorflow/tfjs';
import {type PolicyPerImage, never} from '../../exit/policy.js';
import {
  exitLogits,
  rowsOfUnits,
  type RunLayer,
  runStackBatched,
  runStack,
  type UnitPass,
} from '../../exit/run-stack.js';
import {exitTestCount, type ImageRun} from '../../exit/trace.js';
import {causalMask} from '../../nn/attention.js';
import type {CrossAttentionCache, CrossAttentionKv} from '../../nn/cross-attention-cache.js';
import {gatherRows} from '../../nn/gather-rows.js';
import {KvCache} from '../../nn/kv-cache.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {RunOptions, Scored, ScoreInput} from '../model.js';
import {decidedOn, ofPicture, scoredRows, scoringUnits, statesAt, targetLengths} from '../scoring-samples.js';
import {TargetBias} from './bias-tables.js';
import type {DecoderBias, OfaDecoder, Target} from './decoder.js';
import type {OfaEncoded} from './encode.js';
import type {OfaCost} from './macs.js';

// B pictures, K targets each, R = B·K rows, T positions, M encoder length, D width, H heads

const PAD = 1;

/** What one teacher-forced pass needs besides its targets; lets several passes share a picture's memory. */
export interface TargetPass {
  readonly encoded: OfaEncoded;
  /** At least as long as the targets; borrowed. */
  readonly bias: TargetBias;
  /** Cross memory of the layers, borrowed. */
  readonly memories: CrossAttentionCache;
}

/** Whole targets in one pass: all positions of all rows through each layer, one exit decision for all. */
export class OfaScoring {
  constructor(
    private readonly decoder: OfaDecoder,
    private readonly cost: OfaCost,
  ) {}

  async score(
    pass: TargetPass,
    {targets, at, words, decideOn}: ScoreInput,
    policy: PolicyPerImage,
    options: RunOptions = {},
  ): Promise<Scored> {
    using scope = new TensorScope();
    const {pictures} = pass.encoded;
    const perPicture = targets.length / pictures;
    const logits = (x: tf.Tensor3D, samples: readonly number[]): tf.Tensor2D =>
      this.logits(x, scoredRows(policy, at, perPicture, samples), words);
    const {x, runs, samples} = await this.run(pass, targets, policy, {
      ...options,
      logits,
      ...(decideOn ? {decideOn} : {}),
    });
    scope.hold(x);
    const word = this.cost.logits(words?.length ?? this.decoder.config.vocab_size);
    const whole = runs.map(({traces, macs}, b) => {
      const {asked, logits: known} = samples[b] ?? samples[0]!;
      const last = ofPicture(at, perPicture, b).length * word;
      return {traces, macs: {run: macs.run + (asked + (known ? 0 : 1)) * last, full: macs.full + last}};
    });
    const scores = exitLogits(x, samples, logits);
    return {logits: scores, runs: whole};
  }

  /** @param x [R, T, D], not yet normed. @returns [at.length, V or words], the caller's. */
  logits(x: tf.Tensor3D, at: ScoreInput['at'], words?: readonly number[]): tf.Tensor2D {
    return tf.tidy(() => this.decoder.logits(statesAt(x, at), words));
  }

  /**
   * Logits at every position where some rows write the codes of a picture instead of words (ofa_mue section 4.2): those
   * have their own norm, positions and relative biases. One row a picture, full depth.
   * @param code whether each row is of codes. @returns [R·T, V], the caller's
   */
  async codeLogits(
    {encoded, memories}: TargetPass,
    targets: readonly (readonly number[])[],
    code: readonly boolean[],
  ): Promise<tf.Tensor2D> {
    using scope = new TensorScope();
    const {decoder} = this;
    const length = targets[0]!.length;
    const biases = {
      text: scope.hold(new TargetBias(decoder, length, 'text')),
      code: scope.hold(new TargetBias(decoder, length, 'code')),
    };
    const byRow = (of: (target: Target) => tf.Tensor): tf.Tensor =>
      scope.hold(tf.tidy(() => tf.concat(code.map((isCode) => of(isCode ? 'code' : 'text')))));
    const embedded = scope.hold(
      tf.tidy(() =>
        tf.concat(
          targets.map((row, r) =>
            decoder.embed(tf.tensor2d([...row], [1, length], 'int32'), code[r] ? 'code' : 'text'),
          ),
        ),
      ),
    ) as tf.Tensor3D;
    const cross = byRow((target) => decoder.crossBias(biases[target].positions, encoded.positions));
    const self = decoder.layers.map((_, layer) => byRow((target) => biases[target].self[layer]!));
    const causal = scope.hold(causalMask(length, length));
    const bias = (layer: number): DecoderBias => ({
      self: [self[layer]!, causal],
      cross: encoded.mask ? [cross, encoded.mask] : [cross],
    });
    const all = range(encoded.pictures);
    const forward = (state: tf.Tensor3D, layer: number): tf.Tensor3D =>
      this.#layer(state, layer, memories.of(layer, all), bias);
    const {x: last} = await runStack(embedded, forward, {stack: 'decoder', depth: decoder.layers.length}, never);
    scope.hold(last);
    return tf.tidy(() => decoder.logits(last.reshape([-1, decoder.config.d_model]) as tf.Tensor2D));
  }

  /** One layer over whole targets: a cache that lives as long as the call. @param bias called inside a tidy */
  #layer(
    x: tf.Tensor3D,
    layer: number,
    memory: CrossAttentionKv,
    bias: (layer: number) => DecoderBias,
    padded?: readonly (readonly boolean[])[],
  ): tf.Tensor3D {
    using cache = new KvCache();
    return this.decoder.layers[layer]!.forward(x, cache, memory, () => bias(layer), padded);
  }

  /** @returns the exit state [R, T, D], the caller's; what each picture did, word scores not counted; and what each decision did */
  async run(
    {encoded, bias, memories}: TargetPass,
    targets: readonly (readonly number[])[],
    policy: PolicyPerImage,
    {logits, signal, decideOn}: ScoringOptions = {},
  ): Promise<{x: tf.Tensor3D; runs: readonly ImageRun[]; samples: readonly UnitPass[]}> {
    using scope = new TensorScope();
    const {decoder, cost} = this;
    const rows = targets.length;
    const perPicture = rows / encoded.pictures;
    const length = Math.max(...targets.map((t) => t.length));
    const ids = targets.map((t) => [...t, ...new Array<number>(length - t.length).fill(PAD)]);
    const padded = ids.some((row) => row.includes(PAD)) ? ids.map((row) => row.map((id) => id === PAD)) : undefined;
    const {decoder_attention_heads: heads, d_model: size} = decoder.config;
    const embedded = scope.hold(tf.tidy(() => decoder.embed(tf.tensor2d(ids, [rows, length], 'int32'))));
    const causal = scope.hold(causalMask(length, length));
    const positions = scope.hold(tf.slice(bias.positions, [0, 0, 0], [1, length, -1]));
    const one = scope.hold(decoder.crossBias(positions, encoded.positions));
    const cross = perPicture > 1 ? scope.hold(tf.tile(one, [1, 1, perPicture, 1])) : one; // [1, H, K·T, M]
    const all = range(encoded.pictures);
    const forward: RunLayer = (x, layer, {indices: samples, total: of}) => {
      const whole = samples.length === of;
      const pictures = whole ? all : samples;
      const biases = (): DecoderBias => ({
        self: [tf.slice(bias.self[layer]!, [0, 0, 0, 0], [1, heads, length, length]), causal],
        cross: encoded.mask ? [cross, whole ? encoded.mask : gatherRows(encoded.mask, pictures)] : [cross],
      });
      const flags = whole ? padded : padded && rowsOfUnits(samples, perPicture).map((row) => padded[row]!);
      return this.#layer(x, layer, memories.of(layer, pictures), biases, flags);
    };
    const depth = decoder.layers.length;
    const lengths = targetLengths(targets, encoded.pictures);
    const samples = scoringUnits(policy, lengths, perPicture, decideOn);
    const {x, runs} = await runStackBatched(embedded, forward, {stack: 'decoder', depth}, samples, {
      signal,
      ...(logits ? {logits} : {}),
    });
    const pictures = all.map((b) => {
      const {trace} = runs[b] ?? runs[0]!;
      const [tokens, memory] = [lengths[b]!, encoded.lengths[b]!];
      const shared = cost.crossPositions(memory) + cost.targetPositions(tokens, tokens, memory);
      const layer = perPicture * cost.decoderLayer(tokens, tokens, memory) + cost.crossMemory(memory);
      const tests = exitTestCount(trace) * cost.exitTest(decidedOn(lengths, perPicture, decideOn, b, size));
      return {traces: [trace], macs: {run: shared + trace.exitLayer * layer + tests, full: shared + depth * layer}};
    });
    return {x, runs: pictures, samples: runs};
  }
}

interface ScoringOptions extends RunOptions {
  readonly logits?: (x: tf.Tensor3D, samples: readonly number[]) => tf.Tensor2D;
  readonly decideOn?: readonly number[];
}

function range(count: number): number[] {
  return Array.from({length: count}, (_, i) => i);
}
