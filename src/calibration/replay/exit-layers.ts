import {InputError} from '../../runtime/errors.js';

// Where a stack exits under a threshold, for recorded scores: the inner loops of replay.ts.

/** The distinct thresholds of one encoder stack, ascending, and what they do. */
export interface Ranked {
  readonly sorted: Float64Array;
  /** Index into `sorted` of each setting. */
  readonly rank: Int32Array;
  /** Layers that the item at hand runs under each distinct threshold. */
  readonly layers: Uint8Array;
  /** The same, summed over items. */
  readonly sums: Float64Array;
}

/** @param thresholds [settings × 3]; `offset` says which of the three. @param sign of the rule: 1 if greater means exit. */
export function rankThresholds(thresholds: ArrayLike<number>, offset: number, sign: 1 | -1): Ranked {
  const signed = Float64Array.from({length: thresholds.length / 3}, (_, s) => sign * thresholds[3 * s + offset]!);
  // NaN, which never exits, sorts behind infinity.
  const sorted = Float64Array.from(new Set(signed)).sort();
  const index = new Map(Array.from(sorted, (threshold, k) => [threshold, k]));
  const rank = Int32Array.from(signed, (threshold) => index.get(threshold)!);
  return {sorted, rank, layers: new Uint8Array(sorted.length), sums: new Float64Array(sorted.length)};
}

/** Higher thresholds never exit earlier: one walk up the layers serves all of them. */
export function layersByRank(
  best: Float32Array,
  base: number,
  depth: number,
  {sorted, layers, sums}: Ranked,
  strict: boolean,
): void {
  let layer = 0;
  for (let k = 0; k < sorted.length; k++) {
    while (layer < depth - 1 && !(strict ? best[base + layer]! > sorted[k]! : best[base + layer]! >= sorted[k]!))
      layer++;
    layers[k] = layer + 1;
    sums[k]! += layer + 1;
  }
}

/** Where item i ends under each setting, as an index into its depths' grid; adds its decoder layers to the sums. */
export function findCells(
  i: number,
  settings: number,
  {image, text}: {readonly image: Ranked; readonly text: Ranked},
  depths: {readonly image: number; readonly text: number; readonly decoder: number},
  best: Float32Array,
  thresholds: Float64Array,
  strict: boolean,
  cells: Int32Array,
  decoderLayers: Float64Array,
): void {
  const {text: textDepth, decoder} = depths;
  const first = i * depths.image * textDepth * decoder;
  const imageLayers = image.layers;
  const textLayers = text.layers;
  for (let s = 0; s < settings; s++) {
    const base = ((imageLayers[image.rank[s]!]! - 1) * textDepth + textLayers[text.rank[s]!]! - 1) * decoder;
    const layer = firstExit(best, first + base, decoder - 1, thresholds[s]!, strict);
    decoderLayers[s]! += layer + 1;
    cells[s] = base + layer;
  }
}

/** The first layer, from 0, whose score passes, or the last. */
export function firstExit(
  best: ArrayLike<number>,
  base: number,
  last: number,
  threshold: number,
  strict: boolean,
): number {
  let layer = 0;
  if (strict) while (layer < last && !(best[base + layer]! > threshold)) layer++;
  else while (layer < last && !(best[base + layer]! >= threshold)) layer++;
  return layer;
}

/**
 * Best score so far after each layer but the last, times the sign: the first that passes a threshold is the first score that does.
 * @throws InputError if such a score is NaN.
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
