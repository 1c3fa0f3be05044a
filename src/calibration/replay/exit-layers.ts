import {InputError} from '../../runtime/errors.js';

// Exit layers of a stack under thresholds, for recorded scores: the inner loops of replays.

/** The first layer, from 0, whose score passes the threshold, or `last`. @param strict pass above it, not at it */
export function firstExit(
  scores: ArrayLike<number>,
  from: number,
  last: number,
  threshold: number,
  strict: boolean,
): number {
  let layer = 0;
  if (strict) while (layer < last && !(scores[from + layer]! > threshold)) layer++;
  else while (layer < last && !(scores[from + layer]! >= threshold)) layer++;
  return layer;
}

/**
 * Best score so far after each layer but the last, times the sign: the first that passes a threshold is at the layer of
 * the first score that does.
 * @param stack names the stack in errors
 * @param scores [rows × depth]
 * @param sign of the rule: 1 if greater means exit
 * @throws InputError `nan-score` if a score that decides is NaN
 */
export function bestSoFar(stack: string, scores: Float32Array, depth: number, sign: 1 | -1): Float32Array {
  const best = new Float32Array(scores.length);
  for (let row = 0; row < scores.length; row += depth) {
    let most = Number.NEGATIVE_INFINITY;
    for (let l = 0; l < depth - 1; l++) {
      const score = sign * scores[row + l]!;
      if (Number.isNaN(score))
        throw new InputError(
          'nan-score',
          `replay: a ${stack} score after layer ${l + 1} is NaN (number ${row + l}); record again.`,
        );
      if (score > most) most = score;
      best[row + l] = most;
    }
  }
  return best;
}

/** The distinct thresholds of one stack, ascending, and what they do: one walk up the layers serves all settings. */
export interface RankedThresholds {
  readonly sorted: Float64Array;
  /** Index into `sorted` of each setting. */
  readonly rank: Int32Array;
  /** Layers that the item at hand runs under each distinct threshold. */
  readonly layers: Uint8Array;
  /** Sums of these layers over all items so far. */
  readonly sums: Float64Array;
}

/** @param thresholds one for each setting, times the sign of the rule */
export function rankThresholds(thresholds: Float64Array): RankedThresholds {
  // NaN, which never exits, sorts behind infinity.
  const sorted = Float64Array.from(new Set(thresholds)).sort();
  const index = new Map(Array.from(sorted, (threshold, k) => [threshold, k]));
  const rank = Int32Array.from(thresholds, (threshold) => index.get(threshold)!);
  return {sorted, rank, layers: new Uint8Array(sorted.length), sums: new Float64Array(sorted.length)};
}

/**
 * Runs one item under all thresholds of one stack. Higher thresholds never exit earlier.
 * @param from its first score
 */
export function runRanked(
  {sorted, layers, sums}: RankedThresholds,
  best: Float32Array,
  from: number,
  depth: number,
  strict: boolean,
): void {
  let layer = 0;
  for (let k = 0; k < sorted.length; k++) {
    while (layer < depth - 1 && !(strict ? best[from + layer]! > sorted[k]! : best[from + layer]! >= sorted[k]!))
      layer++;
    layers[k] = layer + 1;
    sums[k]! += layer + 1;
  }
}
