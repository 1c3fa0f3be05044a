import * as tf from '@tensorflow/tfjs';
import type {ExitPolicy} from '../../exit/policy.js';
import {runStack} from '../../exit/run-stack.js';
import type {Macs, StackTrace} from '../../exit/trace.js';
import {causalMask} from '../../nn/causal-mask.js';
import type {CrossMemory} from '../../nn/cross-memory.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {RunOptions, Scored, ScoreInput} from '../model.js';
import {checkTexts} from './check-input.js';
import type {CocaCost} from './cost.js';
import type {CocaEncoded} from './encoding.js';
import type {CocaModule} from './module.js';
import {keyMask, paddedKeys} from './text-mask.js';

// B pictures, K targets each, R = B·K rows, T positions, d width, V words

interface Pass extends RunOptions {
  readonly logits?: (x: tf.Tensor3D) => tf.Tensor2D;
  readonly decideOn?: number | undefined;
}

/** Whole targets in one pass through both halves of the decoder: one exit decision a half, for all of them. */
export class CocaScoring {
  constructor(
    private readonly module: CocaModule,
    private readonly cost: CocaCost,
  ) {}

  async score(
    encoded: CocaEncoded,
    {targets, at, words, decideOn}: ScoreInput,
    policy: ExitPolicy,
    options: RunOptions = {},
  ): Promise<Scored> {
    using scope = new TensorScope();
    const logits = (x: tf.Tensor3D): tf.Tensor2D => this.logits(x, at, words);
    const {x, traces, macs, asked} = await this.run(encoded, targets, policy, {...options, logits, decideOn});
    scope.hold(x);
    const last = at.length * this.cost.logits(words?.length);
    return {logits: logits(x), traces, macs: {run: macs.run + (asked + 1) * last, full: macs.full + last}};
  }

  /** @param x [R, T, d], not yet normed. @returns [at.length, V or words], the caller's. */
  logits(x: tf.Tensor3D, at: ScoreInput['at'], words?: readonly number[]): tf.Tensor2D {
    return tf.tidy(() => {
      const [, t, d] = x.shape;
      const index = tf.tensor1d(
        at.map(({row, position}) => row * t + position),
        'int32',
      );
      return this.module.multimodal.logits(tf.gather(x.reshape([-1, d]), index) as tf.Tensor2D, words);
    });
  }

  /** @returns the exit state [R, T, d], the caller's, and how many decisions asked for logits; those are not in the costs. */
  async run(
    encoded: CocaEncoded,
    targets: readonly (readonly number[])[],
    policy: ExitPolicy,
    {logits, signal, decideOn}: Pass = {},
  ): Promise<{x: tf.Tensor3D; traces: readonly StackTrace[]; macs: Macs; asked: number}> {
    using scope = new TensorScope();
    const {text, multimodal, config} = this.module;
    checkTexts(targets, config);
    const rows = targets.length;
    const length = Math.max(...targets.map((ids) => ids.length));
    const ids = targets.map((row) => [...row, ...new Array<number>(length - row.length).fill(config.pad_id)]);
    const keys = keyMask(ids.map((row) => paddedKeys(row, config)));
    if (keys) scope.hold(keys);
    const causal = scope.hold(causalMask(length, length));
    const view = decideOn ? {view: (x: tf.Tensor3D) => tf.slice(x, [0, 0, 0], [1, decideOn, -1])} : {};
    const embedded = scope.hold(tf.tidy(() => text.embed(tf.tensor2d(ids, [rows, length], 'int32'))));
    const textBias = keys ? [causal, keys] : [causal];
    const ranText = await runStack(
      embedded,
      (x, layer) => text.layers[layer]!.forward(x, textBias),
      {stack: 'text', depth: text.layers.length},
      policy,
      {signal, ...view},
    );
    scope.hold(ranText.x);
    const ran = await runStack(
      ranText.x,
      (x, layer) => this.#multimodalLayer(x, layer, encoded, causal),
      {stack: 'multimodal', depth: multimodal.layers.length},
      policy,
      {signal, ...view, ...(logits ? {logits} : {})},
    );
    const tested = decideOn ? decideOn * config.text.width : embedded.size;
    const tests =
      [ranText, ran].reduce((sum, {trace}) => sum + trace.scores.filter((s) => s !== null).length, 0) * this.cost.exitTest(tested);
    const {run, full} = this.cost.decoderPass(rows, encoded.pictures, length, ranText.trace.exitLayer, ran.trace.exitLayer);
    return {x: ran.x, traces: [ranText.trace, ran.trace], macs: {run: run + tests, full}, asked: ran.asked};
  }

  #multimodalLayer(x: tf.Tensor3D, layer: number, encoded: CocaEncoded, causal: tf.Tensor4D): tf.Tensor3D {
    const {self, cross} = this.module.multimodal.layers[layer]!;
    using memory: CrossMemory = cross.remember(encoded.tokens);
    return tf.tidy(() => cross.forwardCross(self.forward(x, [causal]), memory));
  }
}
