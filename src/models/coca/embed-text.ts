import * as tf from '@tensorflow/tfjs';
import type {ExitPolicy} from '../../exit/policy.js';
import {type RunLayer, runStackBatched} from '../../exit/run-stack.js';
import type {ImageRun} from '../../exit/trace.js';
import {causalMask} from '../../nn/attention.js';
import {gatherRows} from '../../nn/gather-rows.js';
import {unitRows} from '../../nn/layer-norm.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Embedded, RunOptions} from '../model.js';
import {checkTexts} from './check-input.js';
import type {CocaMacs} from './macs.js';
import {type CocaText, keyMask, paddedCls, paddedKeys} from './text.js';

// R texts, n tokens of each, d width, e embedding width

/** Embeds texts: the unimodal tower with CLS behind the text. */
export class CocaTextEncoding {
  constructor(
    readonly text: CocaText,
    readonly cost: CocaMacs,
  ) {}

  /**
   * Texts of one length run together: none is padded, none pays for a longer one, and each leaves for itself. A policy
   * that remembers what it saw is asked about one text after the other.
   */
  async embed(texts: readonly (readonly number[])[], policy: ExitPolicy, options: RunOptions = {}): Promise<Embedded> {
    using scope = new TensorScope();
    checkTexts(texts, this.text.config);
    const groups = policy.observeEach ? groupByLength(texts) : texts.map((_, i) => [i]);
    const features: tf.Tensor2D[] = [];
    const runs = new Array<ImageRun>(texts.length);
    for (const group of groups) {
      const own = group.map((i) => texts[i]!);
      const embedded = await this.#embedTogether(own, policy, options);
      features.push(scope.hold(embedded.embeddings));
      for (const [row, i] of group.entries()) runs[i] = embedded.runs[row]!;
    }
    const order = groups.flat();
    const rows = texts.map((_, i) => order.indexOf(i));
    return {features: tf.tidy(() => unitRows(gatherRows(tf.concat(features, 0), rows))), runs};
  }

  /** Texts of one length. @returns embeddings [R, e], not of unit length; the caller's */
  async #embedTogether(
    texts: readonly (readonly number[])[],
    policy: ExitPolicy,
    {signal}: RunOptions,
  ): Promise<{embeddings: tf.Tensor2D; runs: readonly ImageRun[]}> {
    using scope = new TensorScope();
    const {config, layers} = this.text;
    const visible = texts.map((ids) => visibleTokens(ids, config));
    const ids = visible.map(({tokens}) => tokens);
    const positions = ids[0]!.length + 1;
    const x = scope.hold(tf.tidy(() => this.text.embedWithCls(tf.tensor2d(ids, [ids.length, positions - 1], 'int32'))));
    const causal = scope.hold(causalMask(positions, positions));
    const keys = keyMask(visible.map(({padded}) => padded));
    if (keys) scope.hold(keys);
    const cls = (state: tf.Tensor3D): tf.Tensor3D => tf.slice(state, [0, positions - 1, 0], [-1, 1, -1]);
    const forward: RunLayer = (state, layer, {indices, total}) =>
      tf.tidy(() => {
        const mask = keys && (indices.length === total ? keys : gatherRows(keys, indices));
        return layers[layer]!.forward(state, mask ? [causal, mask] : [causal]);
      });
    const units = texts.map(() => ({policy, view: cls}));
    const ran = await runStackBatched(x, forward, {stack: 'text', depth: layers.length}, units, {signal});
    return {
      embeddings: this.text.embedding(scope.hold(ran.x)),
      runs: ran.passes.map(({trace}) => ({traces: [trace], macs: this.cost.embedText(positions, trace)})),
    };
  }
}

/** Texts that run together: more take memory, and no longer less time. */
const BATCH = 32;

/** Indices of the texts in groups of one length, at most `BATCH` a group. */
function groupByLength(texts: readonly (readonly number[])[]): number[][] {
  const found = new Map<number, number[][]>();
  for (const [i, {length}] of texts.entries()) {
    const groups = found.get(length) ?? [];
    found.set(length, groups);
    const last = groups.at(-1);
    if (last && last.length < BATCH) last.push(i);
    else groups.push([i]);
  }
  return [...found.values()].flat();
}

/**
 * The positions that matter for CLS (docs/reference/coca.md 2.3): the text, the first pad where the published mask lets
 * CLS see it, and CLS; with the keys that may not be attended to.
 */
export function visibleTokens(
  ids: readonly number[],
  config: CocaText['config'],
): {tokens: number[]; padded: boolean[]} {
  const full = ids.length === config.text.context_length;
  const tokens = full || config.cls_mask === 'correct' ? [...ids] : [...ids, config.pad_id];
  const last = full ? ids.at(-1)! : config.pad_id;
  return {tokens, padded: [...paddedKeys(tokens, config), paddedCls(last, config)]};
}
