import {quantileThresholds} from '../exit/quantile-budget.js';
import type {DecoderMeasures, DecoderScores} from './replay/decoder-scores.js';
import type {PolicySetting} from './policy-setting.js';
import type {Recording} from './recording/recording.js';

/**
 * Thresholds at quantiles of observed scores, from "always exits" to null, "never". They lie half-way between neighbouring
 * scores: what was recorded in float32 and is measured in float64 falls on the same side. Sorted from early to late exits.
 * @param scores [rows × depth]; those of the last layer decide nothing and are not looked at
 * @param rows which of them to look at
 */
export function quantileGrid(
  {scores, rule}: DecoderScores,
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

const RATIOS = [1 / 4, 1 / 2, 1, 2, 4];

/** Quantile budgets behind fixed encoders: shares that leave at each decoder layer go as 1, q, q², … (DeeR, early_exit B3). */
export function budgetSettings(
  {depths: {image, text, decoder}}: Recording,
  {grid, similarity, margin}: DecoderMeasures,
  items: ArrayLike<number>,
): PolicySetting[] {
  const settings: PolicySetting[] = [];
  for (let cut = 0; cut < image * text; cut++) {
    for (const [score, values] of [
      ['similarity', similarity],
      ['softmax-margin', margin],
    ] as const) {
      const layers = Array.from({length: decoder}, (_, l) => Array.from(items, (item) => values[item * grid + cut * decoder + l]!));
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
          encoder: 'fixed',
          policy: 'quantile-budget',
          image: 1 + Math.floor(cut / text),
          text: 1 + (cut % text),
          decoder: q,
          score,
          thresholds: [...thresholds, null],
        });
      }
    }
  }
  return settings;
}
