import * as tf from '@tensorflow/tfjs';
import type {PolicyPerImage} from '../../exit/policy.js';
import {exitLogits, rowsOfUnits, type RunLayer, runStackBatched, type UnitPass} from '../../exit/run-stack.js';
import {exitTestCount, type ImageRun} from '../../exit/trace.js';
import {causalMask} from '../../nn/attention.js';
import {gatherRows} from '../../nn/gather-rows.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {RunOptions, Scored, ScoreInput} from '../model.js';
import {decidedOn, ofPicture, scoredRows, scoringUnits, statesAt, targetLengths} from '../scoring-samples.js';
import {checkTexts} from './check-input.js';
import type {CocaCost} from './macs.js';
import type {CocaEncoded} from './encode.js';
import type {CocaModule} from './model.js';
import {keyMask, paddedKeys} from './text.js';

// B pictures, K targets each, R = B·K rows, T positions, d width, V words

interface Pass extends RunOptions {
  readonly logits?: (x: tf.Tensor3D, samples: readonly number[]) => tf.Tensor2D;
  readonly decideOn?: ScoreInput['decideOn'];
}

/** Whole targets in one pass through both halves of the decoder: one exit decision a half, for all of them or each picture. */
export class CocaScoring {
  constructor(
    private readonly module: CocaModule,
    private readonly cost: CocaCost,
  ) {}

  async score(
    encoded: CocaEncoded,
    {targets, at, words, decideOn}: ScoreInput,
    policy: PolicyPerImage,
    options: RunOptions = {},
  ): Promise<Scored> {
    using scope = new TensorScope();
    const perPicture = targets.length / encoded.pictures;
    const logits = (x: tf.Tensor3D, samples: readonly number[]): tf.Tensor2D =>
      this.logits(x, scoredRows(policy, at, perPicture, samples), words);
    const {x, runs, samples} = await this.run(encoded, targets, policy, {
      ...options,
      logits,
      ...(decideOn ? {decideOn} : {}),
    });
    scope.hold(x);
    const whole = runs.map(({traces, macs}, b) => {
      const {asked, logits: known} = samples[b] ?? samples[0]!;
      const last = ofPicture(at, perPicture, b).length * this.cost.logits(words?.length);
      return {traces, macs: {run: macs.run + (asked + (known ? 0 : 1)) * last, full: macs.full + last}};
    });
    return {logits: exitLogits(x, samples, logits), runs: whole};
  }

  /** @param x [R, T, d], not yet normed. @returns [at.length, V or words], the caller's. */
  logits(x: tf.Tensor3D, at: ScoreInput['at'], words?: readonly number[]): tf.Tensor2D {
    return tf.tidy(() => this.module.multimodal.logits(statesAt(x, at), words));
  }

  /** @returns the exit state [R, T, d], the caller's; what each picture did, word scores not counted; and what each last decision did */
  async run(
    encoded: CocaEncoded,
    targets: readonly (readonly number[])[],
    policy: PolicyPerImage,
    {logits, signal, decideOn}: Pass = {},
  ): Promise<{x: tf.Tensor3D; runs: readonly ImageRun[]; samples: readonly UnitPass[]}> {
    using scope = new TensorScope();
    const {text, multimodal, config} = this.module;
    checkTexts(targets, config);
    const {pictures} = encoded;
    const perPicture = targets.length / pictures;
    const lengths = targetLengths(targets, pictures);
    const length = Math.max(...lengths);
    const ids = targets.map((row) => [...row, ...new Array<number>(length - row.length).fill(config.pad_id)]);
    const keys = keyMask(ids.map((row) => paddedKeys(row, config)));
    if (keys) scope.hold(keys);
    const causal = scope.hold(causalMask(length, length));
    const embedded = scope.hold(tf.tidy(() => text.embed(tf.tensor2d(ids, [ids.length, length], 'int32'))));
    const samples = scoringUnits(policy, lengths, perPicture, decideOn);
    const textLayer: RunLayer = (x, layer, {indices: running, total: of}) =>
      tf.tidy(() => {
        const mask = keys && (running.length === of ? keys : gatherRows(keys, rowsOfUnits(running, perPicture)));
        return text.layers[layer]!.forward(x, mask ? [causal, mask] : [causal]);
      });
    const ranText = await runStackBatched(embedded, textLayer, {stack: 'text', depth: text.layers.length}, samples, {
      signal,
    });
    scope.hold(ranText.x);
    const memories = scope.hold(multimodal.memories(encoded.tokens));
    const all = lengths.map((_, b) => b);
    const multimodalLayer: RunLayer = (x, layer, {indices: running, total: of}) => {
      const {self, cross} = multimodal.layers[layer]!;
      const memory = memories.of(layer, running.length === of ? all : running);
      return tf.tidy(() => cross.forwardCross(self.forward(x, [causal]), memory));
    };
    const stack = {stack: 'multimodal', depth: multimodal.layers.length} as const;
    const {x, runs} = await runStackBatched(ranText.x, multimodalLayer, stack, samples, {
      signal,
      ...(logits ? {logits} : {}),
    });
    const each = lengths.map((own, b): ImageRun => {
      const traces = [(ranText.runs[b] ?? ranText.runs[0]!).trace, (runs[b] ?? runs[0]!).trace] as const;
      const tested = traces.reduce((sum, trace) => sum + exitTestCount(trace), 0);
      const {run, full} = this.cost.decoderPass(perPicture, 1, own, traces[0].exitLayer, traces[1].exitLayer);
      const test = this.cost.exitTest(decidedOn(lengths, perPicture, decideOn, b, config.text.width));
      return {traces, macs: {run: run + tested * test, full}};
    });
    return {x, runs: each, samples: runs};
  }
}
