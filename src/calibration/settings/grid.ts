import {quantileThresholds} from '../../exit/policies/quantile-budget.js';
import {range} from '../../statistics/descriptive.js';
import {DECODER_POLICIES, type DecoderPolicy, type PolicySetting} from '../policy-setting.js';
import {decoderHead} from '../replay/decoder-head.js';
import {type DecoderMeasures, decoderScores, type StackScores} from '../replay/decoder-scores.js';
import type {PolicyReplay} from '../replay/policy-replay.js';
import {byPlace, lastStack, mapStacks, type RecordedStacks, stacksBefore} from '../stacks.js';

/**
 * Thresholds at quantiles of observed scores, from "always exits" to null, "never". They lie half-way between
 * neighbouring scores: what was recorded in float32 and is measured in float64 falls on the same side. Sorted from
 * early to late exits.
 * @param scores [rows × depth]; those of the last layer decide nothing and are not looked at
 * @param rows   rows to look at
 * @param count  about how many thresholds, null included
 */
function quantileGrid(
  {scores, rule}: StackScores,
  depth: number,
  rows: Iterable<number>,
  count: number,
): readonly (number | null)[] {
  const sign = rule === 'above' || rule === 'at-least' ? 1 : -1;
  const seen: number[] = [];
  for (const row of rows) for (let l = 0; l < depth - 1; l++) seen.push(sign * scores[row * depth + l]!);
  if (seen.length === 0 || count < 2) return [null];
  const sorted = Float64Array.from(seen).sort();
  const spread = sorted.at(-1)! - sorted[0]! || Math.abs(sorted[0]!) || 1;
  const grid = new Set<number>([sign * (sorted[0]! - spread / 100)]);
  for (let k = 1; k < count - 1; k++) {
    let at = Math.round((k / (count - 1)) * (sorted.length - 1));
    while (at > 0 && sorted[at] === sorted[at - 1]) at--;
    if (at > 0) grid.add((sign * (sorted[at]! + sorted[at - 1]!)) / 2);
  }
  return [...[...grid].sort((a, b) => sign * (a - b)), null];
}

/** Ratios q of quantile budgets. */
const RATIOS = [1 / 4, 1 / 2, 1, 2, 4];

/**
 * Quantile budgets behind fixed depths of the other stacks: the fractions of items that leave at each layer of the last
 * stack go as 1, q, q², … (DeeR; docs/reference/early-exit.md B3).
 */
function budgetSettings(
  stacks: RecordedStacks,
  {grid, similarity, margin}: DecoderMeasures,
  items: ArrayLike<number>,
): PolicySetting[] {
  const settings: PolicySetting[] = [];
  const last = lastStack(stacks);
  // A cut: depths of the stacks before the last.
  for (const [cut, encoders] of fixedEncoders(stacks).entries()) {
    for (const [score, values] of [
      ['similarity', similarity],
      ['softmax-margin', margin],
    ] as const) {
      const layers = Array.from({length: last.depth}, (_, l) =>
        Array.from(items, (item) => values[item * grid + cut * last.depth + l]!),
      );
      for (const q of RATIOS) {
        const weights = layers.map((_, l) => q ** l);
        const total = weights.reduce((sum, w) => sum + w, 0);
        // A hair lower, for what is measured in float64.
        const thresholds = quantileThresholds(
          layers,
          weights.map((w) => w / total),
        )
          .slice(0, -1)
          .map((t) => (t === null ? null : t - Math.abs(t) * 1e-7));
        settings.push({
          ...encoders,
          policy: 'quantile-budget',
          decoder: q,
          score,
          thresholds: [...thresholds, null],
        });
      }
    }
  }
  return settings;
}

export interface GridOptions {
  /** Default all. */
  readonly policies?: readonly DecoderPolicy[];
  /** Thresholds for each stack, the one that never exits included. */
  readonly count: number;
  /** Items whose scores the thresholds are quantiles of; default all. */
  readonly items?: ArrayLike<number>;
  /** Seed of the training of `linear-head`; default 0. */
  readonly seed?: number;
}

/**
 * Settings worth trying: the stacks before the last by similarity or at fixed depths, and thresholds of the last at
 * quantiles of the scores that were observed. Looks at scores, never at labels.
 */
export function settingGrid(
  replay: PolicyReplay,
  {policies = DECODER_POLICIES, count, items, seed = 0}: GridOptions,
): PolicySetting[] {
  const {recording, measures, stacks} = replay;
  const last = lastStack(stacks);
  const chosen = items ?? Array.from({length: recording.n}, (_, i) => i);
  const encoders = encoderSettings(replay, chosen, count);
  return policies.flatMap((policy): PolicySetting[] => {
    if (policy === 'quantile-budget') return budgetSettings(stacks, measures, chosen);
    if (policy === 'patience-confidence') {
      return range(2, last.depth - 1).flatMap((patience) => {
        // −1 stands for layers that do not agree, and is no confidence.
        const grid = decoderGrid(measures, policy, chosen, count, patience).filter((t) => t === null || t >= 0);
        return product(encoders, policy, [0, ...grid]).map((setting) => ({...setting, patience}));
      });
    }
    if (policy === 'patience') return product(encoders, policy, [...range(2, last.depth - 1), null]);
    // Fixed depths of all stacks are the fixed-depth baseline, which is a part of every sweep.
    if (policy === 'fixed')
      return product(
        encoders.filter(({encoder}) => encoder === 'similarity'),
        policy,
        range(1, last.depth),
      );
    return product(encoders, policy, decoderGrid(measures, policy, chosen, count, undefined, seed));
  });
}

/** Every fixed depth of every stack, in the order of the recording's combinations. */
export function staticSettings({stacks}: Pick<PolicyReplay, 'stacks'>): PolicySetting[] {
  return product(fixedEncoders(stacks), 'fixed', range(1, lastStack(stacks).depth));
}

/** The part of a setting that is about the stacks before the last. */
type Encoders = Pick<PolicySetting, 'encoder' | 'image' | 'text'>;

function encoderSettings({recording, stacks}: PolicyReplay, items: ArrayLike<number>, count: number): Encoders[] {
  const rows = Array.from(items);
  const grids = stacksBefore(stacks).map(({stack, depth}) =>
    quantileGrid({scores: recording.similarity[stack]!, rule: 'above'}, depth, rows, count),
  );
  const similar = everyCombination(grids).map((values) => encodersOf(stacks, 'similarity', values));
  return [...similar, ...fixedEncoders(stacks)];
}

/** Every cut, in the order of the recording's combinations. */
function fixedEncoders(stacks: RecordedStacks): Encoders[] {
  const depths = stacksBefore(stacks).map(({depth}) => range(1, depth));
  return everyCombination(depths).map((layers) => encodersOf(stacks, 'fixed', layers));
}

/** @param values of the stacks before the last, in their order */
function encodersOf(
  stacks: RecordedStacks,
  encoder: Encoders['encoder'],
  values: readonly (number | null)[],
): Encoders {
  const {decoder: _, ...before} = byPlace(
    stacks,
    mapStacks(stacks, (_stack, _depth, k) => values[k] ?? null),
  );
  return {encoder, ...before};
}

/** A value of each list, the last list running fastest. */
function everyCombination<T>(lists: readonly (readonly T[])[]): T[][] {
  return lists.reduce<T[][]>((found, list) => found.flatMap((row) => list.map((value) => [...row, value])), [[]]);
}

function decoderGrid(
  measures: DecoderMeasures,
  policy: DecoderPolicy,
  items: ArrayLike<number>,
  count: number,
  patience?: number,
  seed = 0,
): readonly (number | null)[] {
  const {layers, grid} = measures;
  const cuts = grid / layers;
  // A head for the grid alone: the thresholds that are worth trying hardly depend on the items it learnt from.
  const head = policy === 'linear-head' ? decoderHead(measures, items, seed) : undefined;
  const scores = decoderScores(measures, {policy, patience}, head && (() => head));
  const rows = Array.from(items).flatMap((item) => range(item * cuts, (item + 1) * cuts - 1));
  return quantileGrid(scores, layers, rows, count);
}

function product(
  encoders: readonly Encoders[],
  policy: DecoderPolicy,
  thresholds: readonly (number | null)[],
): PolicySetting[] {
  return encoders.flatMap((encoder) => thresholds.map((decoder) => ({...encoder, policy, decoder})));
}
