import {UsageError} from '../../runtime/errors.js';
import {confidences} from './confidence.js';
import {rowCosines} from './cosine.js';
import {type ExitPolicy, memoryless} from '../policy.js';
import {combine, passes, splitEvenly} from './threshold.js';

export interface QuantileBudgetOptions {
  /** One a layer, from `quantileThresholds`; null where nothing may leave. */
  readonly thresholds: readonly (number | null)[];
  readonly score: 'similarity' | 'softmax-margin';
}

/**
 * A threshold of its own for every layer, so that known fractions of items leave at each (DeeR, MSDNet;
 * docs/reference/early-exit.md B3).
 */
export function quantileBudget({thresholds, score: kind}: QuantileBudgetOptions): ExitPolicy {
  if (thresholds.some((t) => t !== null && !Number.isFinite(t)))
    throw new UsageError('threshold-invalid', 'thresholds must be numbers, or null for never');
  return memoryless('quantile-budget', async (before, after, at, logits) => {
    const {layer, depth} = at[0]!;
    const threshold = thresholds[layer - 1] ?? null;
    if (threshold === null || layer === depth) return at.map(() => ({exit: false}));
    const margins = async (): Promise<number[]> => (await confidences(logits())).map(({margin}) => margin);
    const scores =
      kind === 'similarity'
        ? await rowCosines(before, after, at.length)
        : splitEvenly(await margins(), at.length).map((rows) => combine(rows, 'at-least', 'joint'));
    return scores.map((score) => ({exit: passes(score, threshold, 'at-least'), score, threshold}));
  });
}

/**
 * Thresholds with which the given fraction of all items leaves at each layer, the likeliest first.
 * @param scores      a list a layer, one score an item, in the same order of items
 * @param fractions   of all items that should leave at each layer; the rest reaches the last
 */
export function quantileThresholds(
  scores: readonly (readonly number[])[],
  fractions: readonly number[],
): (number | null)[] {
  const items = scores[0]?.length ?? 0;
  let here = Array.from({length: items}, (_, i) => i);
  return scores.map((layer, l) => {
    const leave = Math.min(here.length, Math.round((fractions[l] ?? 0) * items));
    if (leave === 0) return null;
    const sorted = [...here].sort((a, b) => layer[b]! - layer[a]!);
    const threshold = layer[sorted[leave - 1]!]!;
    here = here.filter((i) => layer[i]! < threshold);
    return threshold;
  });
}
