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
import {checkTexts} from './check-input.js';
import type {CocaEncoded} from './encode.js';
import type {CocaMacs, ScoringPasses} from './macs.js';
import type {DecoderHalves} from './multimodal.js';
import {keyMask, paddedKeys} from './text.js';
import {largest} from '../../runtime/extremes.js';

// B images, K targets each, R = B·K rows, T positions, d width, V words

/** Exits and logits of a pass over targets. */
interface ScoringOptions extends RunOptions {
  readonly logits?: UnitLogits;
  readonly decideOn?: ScoreInput['decideOn'];
}

/** Whole targets after both halves of the decoder. */
interface HalvesRun {
  /** Exit states [R, T, d], the caller's. */
  readonly x: tf.Tensor3D;
  /** One a unit, of each half. */
  readonly text: readonly UnitPass[];
  readonly multimodal: readonly UnitPass[];
}

/** Runs whole targets in one pass through both halves of the decoder: in each half one exit decision for each unit. */
export class CocaScoring {
  constructor(
    private readonly halves: DecoderHalves,
    private readonly cost: CocaMacs,
  ) {}

  async score(
    encoded: CocaEncoded,
    {targets, at, ids, decideOn, adapters}: ScoreInput,
    policy: PolicyPerImage,
    options: RunOptions = {},
  ): Promise<Scored> {
    using scope = new TensorScope();
    const {width, vocab_size} = this.halves.config.text;
    const rows = targets.length / encoded.images;
    const logits: UnitLogits = (x, units, layers) =>
      this.logits(x, positionsOfUnits(policy, at, rows, units), ids, adapters && {adapters, layers});
    const {x, text, multimodal} = await this.run(encoded, targets, policy, {...options, logits, decideOn});
    scope.hold(x);
    const lengths = targetLengths(targets, encoded.images);
    const runs = lengths.map((length, b): ImageRun => {
      const passes = {text: text[b] ?? text[0]!, multimodal: multimodal[b] ?? multimodal[0]!};
      const scored: ScoringPasses = {
        ...passes,
        rows,
        length,
        decidedOn: decidedOn(lengths, rows, decideOn, b, width),
        positions: positionsOfImage(at, rows, b).length,
        ids: ids?.length ?? vocab_size,
      };
      const macs = this.cost.score(scored, (layer) => adapters?.macs(layer) ?? 0);
      return {traces: [passes.text.trace, passes.multimodal.trace], macs};
    });
    return {logits: exitLogits(x, multimodal, logits), runs};
  }

  /**
   * Next-token logits at some positions.
   * @param x         [R, T, d], before the final norm
   * @param adapted   the exit adapters, and how many layers gave equal shares of the rows; borrowed
   * @returns         [at.length, V or ids.length], the caller's
   */
  logits(x: tf.Tensor3D, at: ScoreInput['at'], ids?: readonly number[], adapted?: AdaptedExits): tf.Tensor2D {
    return tf.tidy(() => this.halves.multimodal.logits(adaptedStatesAt(x, at, adapted), ids));
  }

  async run(
    encoded: CocaEncoded,
    targets: readonly (readonly number[])[],
    policy: PolicyPerImage,
    {logits, signal, decideOn}: ScoringOptions = {},
  ): Promise<HalvesRun> {
    using scope = new TensorScope();
    const {text, multimodal, config} = this.halves;
    checkTexts(targets, config);
    const rows = targets.length / encoded.images;
    const lengths = targetLengths(targets, encoded.images);
    const length = largest(lengths);
    const ids = targets.map((row) => [...row, ...new Array<number>(length - row.length).fill(config.pad_id)]);
    const keys = keyMask(ids.map((row) => paddedKeys(row, config)));
    if (keys) scope.hold(keys);
    const causal = scope.hold(causalMask(length, length));
    const embedded = scope.hold(tf.tidy(() => text.embed(tf.tensor2d(ids, [ids.length, length], 'int32'))));
    const units = scoringUnits(policy, lengths, rows, decideOn);

    const textLayer: RunLayer = (x, layer, {indices, total}) =>
      tf.tidy(() => {
        const mask = keys && (indices.length === total ? keys : gatherRows(keys, rowsOfUnits(indices, rows)));
        return text.layers[layer]!.forwardSelf(x, mask ? [causal, mask] : [causal]);
      });
    const textStack = {stack: 'text', depth: text.layers.length} as const;
    const ofText = await runStackBatched(embedded, textLayer, textStack, units, {signal});
    scope.hold(ofText.x);

    const crossAttention = scope.hold(multimodal.crossAttentionCache(encoded.tokens));
    const everyImage = lengths.map((_, b) => b);
    const multimodalLayer: RunLayer = (x, layer, {indices, total}) => {
      const {self, cross} = multimodal.layers[layer]!;
      const memory = crossAttention.of(layer, indices.length === total ? everyImage : indices);
      return tf.tidy(() => cross.forwardCross(self.forwardSelf(x, [causal]), memory));
    };
    const stack = {stack: 'multimodal', depth: multimodal.layers.length} as const;
    const {x, passes} = await runStackBatched(ofText.x, multimodalLayer, stack, units, {signal, logits});
    return {x, text: ofText.passes, multimodal: passes};
  }
}
