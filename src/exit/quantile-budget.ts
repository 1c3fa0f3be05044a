import {UsageError} from '../runtime/errors.js';
import {confidences} from './confidence.js';
import {cosine} from './cosine.js';
import type {ExitPolicy} from './policy.js';
import {combine, passes} from './thresholded.js';

export interface QuantileBudgetOptions {
  /** A threshold a layer, from `quantileThresholds`; null where nothing may leave. */
  readonly thresholds: readonly (number | null)[];
  readonly score: 'similarity' | 'softmax-margin';
}

/** A threshold of its own for every layer, so that known shares of items leave at each (DeeR, MSDNet; early_exit B3). */
export function quantileBudget({thresholds, score: kind}: QuantileBudgetOptions): ExitPolicy {
  if (thresholds.some((t) => t !== null && !Number.isFinite(t)))
    throw new UsageError('threshold-invalid', 'thresholds must be numbers, or null for never');
  return {
    name: 'quantile-budget',
    observe: async (before, after, at, logits) => {
      const threshold = thresholds[at.layer - 1] ?? null;
      if (threshold === null || at.layer === at.depth) return {exit: false};
      const score =
        kind === 'similarity'
          ? await cosine(before, after)
          : combine(
              (await confidences(logits())).map(({margin}) => margin),
              'at-least',
              'joint',
            );
      return {exit: passes(score, threshold, 'at-least'), score, threshold};
    },
  };
}

/**
 * Thresholds with which the given share of all items leaves at each layer, the likeliest first.
 * @param scores a list a layer, one score an item, in the same order of items
 * @param shares of all items that should leave at each layer; the rest reaches the last
 */
export function quantileThresholds(scores: readonly (readonly number[])[], shares: readonly number[]): (number | null)[] {
  const items = scores[0]?.length ?? 0;
  let here = Array.from({length: items}, (_, i) => i);
  return scores.map((layer, l) => {
    const leave = Math.min(here.length, Math.round((shares[l] ?? 0) * items));
    if (leave === 0) return null;
    const sorted = [...here].sort((a, b) => layer[b]! - layer[a]!);
    const threshold = layer[sorted[leave - 1]!]!;
    here = here.filter((i) => layer[i]! < threshold);
    return threshold;
  });
}
