import * as tf from '@tensorflow/tfjs';
import type {PolicyPerImage} from '../../exit/policy.js';
import {
  exitLogits,
  type RunLayer,
  rowsOfUnits,
  runStackBatched,
  type UnitLogits,
  type UnitPass,
} from '../../exit/run-stack.js';
import type {ImageRun} from '../../exit/trace.js';
import {causalMask} from '../../nn/attention.js';
import type {CrossAttentionCache} from '../../nn/cross-attention-cache.js';
import {gatherRows} from '../../nn/gather-rows.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {RunOptions, Scored, ScoreInput} from '../model.js';
import {
  type AdaptedExits,
  adaptedStatesAt,
  decidedOn,
  positionsOfImage,
  positionsOfUnits,
  scoringUnits,
  targetLengths,
} from '../scoring-units.js';
import type {TargetBias} from './bias-tables.js';
import {PAD} from './config.js';
import type {DecoderBias, DecoderLayer, OfaDecoder} from './decoder.js';
import type {EncoderOutput, OfaEncoded} from './encode.js';
import type {OfaMacs, ScoringPass} from './macs.js';
import {largest} from '../../runtime/extremes.js';

// B images, K targets each, R = B·K rows, T positions, M encoder length, D width, H heads, V words

/** Tensors that teacher-forced passes over one encoding share. */
export interface TargetPass<E extends EncoderOutput = OfaEncoded> {
  readonly encoded: E;
  /** At least as long as the targets; borrowed. */
  readonly bias: TargetBias;
  /** Borrowed. */
  readonly crossAttention: CrossAttentionCache;
}

/** How a layer of the decoder is run on the encoder's output. @param states [R, M, D] */
export type RunDecoderLayer = (
  layer: DecoderLayer,
  x: tf.Tensor3D,
  states: tf.Tensor3D,
  bias: DecoderBias,
) => tf.Tensor3D;

/** Exits and logits of a pass over targets. */
interface ScoringOptions extends RunOptions {
  readonly logits?: UnitLogits;
  readonly decideOn?: ScoreInput['decideOn'];
}

/** Runs whole targets in one pass: every position of every row through each layer, one exit decision for each unit. */
export class OfaScoring {
  constructor(
    private readonly decoder: OfaDecoder,
    private readonly cost: OfaMacs,
  ) {}

  async score(
    pass: TargetPass,
    {targets, at, ids, decideOn, adapters}: ScoreInput,
    policy: PolicyPerImage,
    options: RunOptions = {},
  ): Promise<Scored> {
    using scope = new TensorScope();
    const {images, lengths: memoryLengths} = pass.encoded;
    const rows = targets.length / images;
    const logits: UnitLogits = (x, units, layers) =>
      this.logits(x, positionsOfUnits(policy, at, rows, units), ids, adapters && {adapters, layers});
    const {x, passes} = await this.run(pass, targets, policy, {...options, logits, decideOn});
    scope.hold(x);
    const lengths = targetLengths(targets, images);
    const {d_model: width, vocab_size} = this.decoder.config;
    const runs = memoryLengths.map((memoryLength, b): ImageRun => {
      const own = passes[b] ?? passes[0]!;
      const scored: ScoringPass = {
        ...own,
        rows,
        length: lengths[b]!,
        decidedOn: decidedOn(lengths, rows, decideOn, b, width),
        positions: positionsOfImage(at, rows, b).length,
        ids: ids?.length ?? vocab_size,
      };
      const macs = this.cost.score(memoryLength, scored, (layer) => adapters?.macs(layer) ?? 0);
      return {traces: [own.trace], macs};
    });
    return {logits: exitLogits(x, passes, logits), runs};
  }

  /**
   * Next-token logits at some positions.
   * @param x         [R, T, D], before the final norm
   * @param adapted   the exit adapters, and how many layers gave equal shares of the rows; borrowed
   * @returns         [at.length, V or ids.length], the caller's
   */
  logits(x: tf.Tensor3D, at: ScoreInput['at'], ids?: readonly number[], adapted?: AdaptedExits): tf.Tensor2D {
    return tf.tidy(() => this.decoder.logits(adaptedStatesAt(x, at, adapted), ids));
  }

  /** @returns the exit states [R, T, D], the caller's, and the passes of the units */
  async run(
    pass: TargetPass,
    targets: readonly (readonly number[])[],
    policy: PolicyPerImage,
    {logits, signal, decideOn}: ScoringOptions = {},
  ): Promise<{x: tf.Tensor3D; passes: readonly UnitPass[]}> {
    using scope = new TensorScope();
    const {images} = pass.encoded;
    const {embedded, forward} = this.#layers(pass, targets, scope);
    const units = scoringUnits(policy, targetLengths(targets, images), targets.length / images, decideOn);
    const stack = {stack: 'decoder', depth: this.decoder.layers.length} as const;
    return await runStackBatched(embedded, forward, stack, units, {logits, signal});
  }

  /**
   * The state after every layer, without exits: synchronous, so that gradients can be taken through it.
   * @param pass   made within the same tidy, if there is one
   * @param run    how a layer is run
   * @returns      [R, T, D] each, the caller's
   */
  everyState(
    pass: TargetPass<EncoderOutput>,
    targets: readonly (readonly number[])[],
    run?: RunDecoderLayer,
  ): readonly tf.Tensor3D[] {
    using scope = new TensorScope();
    const {embedded, forward} = this.#layers(pass, targets, scope, run);
    const indices = Array.from({length: pass.encoded.states.shape[0]}, (_, b) => b);
    let states = embedded;
    return this.decoder.layers.map((_, layer) => {
      states = forward(states, layer, {indices, total: indices.length, states});
      return states;
    });
  }

  /** Embedded targets [R, T, D] and the layers that they go through; `scope` owns their tensors. */
  #layers(
    {encoded, bias, crossAttention}: TargetPass<EncoderOutput>,
    targets: readonly (readonly number[])[],
    scope: TensorScope,
    run?: RunDecoderLayer,
  ): {readonly embedded: tf.Tensor3D; readonly forward: RunLayer} {
    const {decoder} = this;
    const images = encoded.states.shape[0];
    const rows = targets.length / images;
    const length = largest(targets.map((target) => target.length));
    const ids = targets.map((target) => [...target, ...new Array<number>(length - target.length).fill(PAD)]);
    const embedded = scope.hold(tf.tidy(() => decoder.embed(tf.tensor2d(ids, [targets.length, length], 'int32'))));
    const causal = scope.hold(causalMask(length, length));
    const padding = paddingMask(ids, scope); // [R, 1, 1, T]
    const positions = scope.hold(tf.slice(bias.positions, [0, 0, 0], [1, length, -1]));
    const crossOfRow = scope.hold(decoder.crossBias(positions, encoded.positions));
    const cross = rows > 1 ? scope.hold(tf.tile(crossOfRow, [1, 1, rows, 1])) : crossOfRow; // [1, H, K·T, M]
    const heads = decoder.config.decoder_attention_heads;
    const everyImage = Array.from({length: images}, (_, b) => b);
    const forward: RunLayer = (x, layer, {indices, total}) => {
      const everyone = indices.length === total;
      const some = everyone ? everyImage : indices;
      const memory = run ? undefined : crossAttention.of(layer, some);
      return tf.tidy(() => {
        const self = [tf.slice(bias.self[layer]!, [0, 0, 0, 0], [1, heads, length, length]), causal];
        if (padding) self.push(everyone ? padding : gatherRows(padding, rowsOfUnits(indices, rows)));
        const mask = encoded.mask && (everyone ? encoded.mask : gatherRows(encoded.mask, some));
        const biases = {self, cross: mask ? [cross, mask] : [cross]};
        if (!memory) return run!(decoder.layers[layer]!, x, encoded.states, biases);
        return decoder.layers[layer]!.forwardWhole(x, memory, biases);
      });
    };
    return {embedded, forward};
  }
}

/** Additive mask [R, 1, 1, T] that shuts out padding, held by `scope`; undefined where there is none. */
function paddingMask(ids: readonly (readonly number[])[], scope: TensorScope): tf.Tensor4D | undefined {
  if (!ids.some((row) => row.includes(PAD))) return undefined;
  const added = ids.flatMap((row) => row.map((id) => (id === PAD ? -1e9 : 0)));
  return scope.hold(tf.tensor4d(added, [ids.length, 1, 1, ids[0]!.length]));
}
