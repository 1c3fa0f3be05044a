import * as tf from '@tensorflow/tfjs';
import type {ExitPolicy} from '../../exit/policy.js';
import {runSamples} from '../../exit/run-stack.js';
import {addMacs, looks, type Macs, type StackTrace} from '../../exit/trace.js';
import {causalMask} from '../../nn/causal-mask.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Embedded, RunOptions} from '../model.js';
import {checkTexts} from './check-input.js';
import type {CocaCost} from './cost.js';
import type {CocaText} from './text.js';
import {keyMask, paddedCls, paddedKeys} from './text-mask.js';
import {unitRows} from './unit-rows.js';

// n tokens of a text, d width, e embedding width

/** Text embeddings: the unimodal tower with CLS behind the text. */
export class CocaTextEncoding {
  constructor(
    readonly text: CocaText,
    readonly cost: CocaCost,
  ) {}

  async embed(texts: readonly (readonly number[])[], policy: ExitPolicy, options: RunOptions = {}): Promise<Embedded> {
    using scope = new TensorScope();
    checkTexts(texts, this.text.config);
    const rows: tf.Tensor2D[] = [];
    const traces: StackTrace[] = [];
    const macs: Macs[] = [];
    // Row by row: every text leaves for itself, and none pays for the padding of a longer one.
    for (const ids of texts) {
      const row = await this.#row(ids, policy, options);
      rows.push(scope.hold(row.embedding));
      traces.push(row.trace);
      macs.push(row.macs);
    }
    return {features: tf.tidy(() => unitRows(tf.concat(rows, 0))), traces, macs: addMacs(...macs)};
  }

  async #row(
    ids: readonly number[],
    policy: ExitPolicy,
    {signal}: RunOptions,
  ): Promise<{embedding: tf.Tensor2D; trace: StackTrace; macs: Macs}> {
    using scope = new TensorScope();
    const {config, layers} = this.text;
    const {tokens, padded} = visibleTokens(ids, config);
    const x = scope.hold(tf.tidy(() => this.text.embedWithCls(tf.tensor2d(tokens, [1, tokens.length], 'int32'))));
    const positions = tokens.length + 1;
    const causal = scope.hold(causalMask(positions, positions));
    const keys = keyMask([padded]);
    if (keys) scope.hold(keys);
    const bias = keys ? [causal, keys] : [causal];
    const depth = layers.length;
    const cls = (state: tf.Tensor3D): tf.Tensor3D => tf.slice(state, [0, positions - 1, 0], [1, 1, -1]);
    const forward = (state: tf.Tensor3D, at: number): tf.Tensor3D => layers[at]!.forward(state, bias);
    const {x: last, runs} = await runSamples(x, forward, {stack: 'text', depth}, [{policy, view: cls}], {signal});
    scope.hold(last);
    const {trace} = runs[0]!;
    const layer = this.cost.textLayer(positions, positions);
    const tests = looks(trace) * this.cost.exitTest(config.text.width);
    const projection = this.cost.textProjection();
    return {
      embedding: this.text.embedding(last),
      trace,
      macs: {run: trace.exitLayer * layer + projection + tests, full: depth * layer + projection},
    };
  }
}

/**
 * The positions that matter for CLS (coca section 2.3, exact): the text, the first pad where the published mask lets CLS see
 * it, and CLS; with the keys that may not be attended to.
 */
export function visibleTokens(ids: readonly number[], config: CocaText['config']): {tokens: number[]; padded: boolean[]} {
  const full = ids.length === config.text.context_length;
  const tokens = full || config.cls_mask === 'correct' ? [...ids] : [...ids, config.pad_id];
  const last = full ? ids.at(-1)! : config.pad_id;
  return {tokens, padded: [...paddedKeys(tokens, config), paddedCls(last, config)]};
}
