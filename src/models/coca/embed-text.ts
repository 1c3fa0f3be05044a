import * as tf from '@tensorflow/tfjs';
import type {ExitPolicy} from '../../exit/policy.js';
import {type ActiveUnits, runStackBatched} from '../../exit/run-stack.js';
import {exitTestCount, type ImageRun} from '../../exit/trace.js';
import {causalMask} from '../../nn/attention.js';
import {gatherRows} from '../../nn/gather-rows.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Embedded, RunOptions} from '../model.js';
import {checkTexts} from './check-input.js';
import type {CocaCost} from './macs.js';
import {type CocaText, keyMask, paddedCls, paddedKeys} from './text.js';

const SMALLEST = 1e-12;

/** Rows scaled to length one; a row of zeros stays. @param x [B, e]. @returns the caller's. */
export function unitRows(x: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => x.div(tf.maximum(x.square().sum(1, true).sqrt(), SMALLEST)) as tf.Tensor2D);
}

// R texts, n tokens of each, d width, e embedding width

/** Text embeddings: the unimodal tower with CLS behind the text. */
export class CocaTextEncoding {
  constructor(
    readonly text: CocaText,
    readonly cost: CocaCost,
  ) {}

  /**
   * Texts of one length run together: none is padded, none pays for a longer one, and each leaves for itself. A policy that remembers
   * what it saw is asked about one text after the other.
   */
  async embed(texts: readonly (readonly number[])[], policy: ExitPolicy, options: RunOptions = {}): Promise<Embedded> {
    using scope = new TensorScope();
    checkTexts(texts, this.text.config);
    const places = policy.observeEach ? sameLength(texts) : texts.map((_, i) => [i]);
    const features: tf.Tensor2D[] = [];
    const runs = new Array<ImageRun>(texts.length);
    for (const some of places) {
      const found = await this.#together(
        some.map((i) => texts[i]!),
        policy,
        options,
      );
      features.push(scope.hold(found.embeddings));
      for (const [row, i] of some.entries()) runs[i] = found.runs[row]!;
    }
    const order = places.flat();
    const rows = texts.map((_, i) => order.indexOf(i));
    return {
      features: tf.tidy(() => unitRows(gatherRows(tf.concat(features, 0), rows))),
      runs,
    };
  }

  /** Texts of one length. @returns [R, e], not of unit length; the caller's */
  async #together(
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
    const depth = layers.length;
    const cls = (state: tf.Tensor3D): tf.Tensor3D => tf.slice(state, [0, positions - 1, 0], [-1, 1, -1]);
    const forward = (state: tf.Tensor3D, at: number, {indices: samples, total: of}: ActiveUnits): tf.Tensor3D =>
      tf.tidy(() => {
        const mask = keys && (samples.length === of ? keys : gatherRows(keys, samples));
        return layers[at]!.forward(state, mask ? [causal, mask] : [causal]);
      });
    const samples = texts.map(() => ({policy, view: cls}));
    const {x: last, runs} = await runStackBatched(x, forward, {stack: 'text', depth}, samples, {signal});
    scope.hold(last);
    const layer = this.cost.textLayer(positions, positions);
    const test = this.cost.exitTest(config.text.width);
    const projection = this.cost.textProjection();
    return {
      embeddings: this.text.embedding(last),
      runs: runs.map(({trace}) => ({
        traces: [trace],
        macs: {
          run: trace.exitLayer * layer + projection + exitTestCount(trace) * test,
          full: depth * layer + projection,
        },
      })),
    };
  }
}

/** Texts that run together: more take memory, and no longer less time. */
const BATCH = 32;

/** Places of the texts, at most so many of one length together. */
function sameLength(texts: readonly (readonly number[])[]): number[][] {
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
 * The positions that matter for CLS (coca section 2.3, exact): the text, the first pad where the published mask lets CLS see
 * it, and CLS; with the keys that may not be attended to.
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
