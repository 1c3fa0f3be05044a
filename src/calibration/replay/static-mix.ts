/** A point that could be mixed with another: every item at one of the two, drawn at random. */
export interface MixPoint {
  readonly index: number;
  readonly cost: number;
  readonly quality: number;
}

/** Every item at `from`, or, for a share of them, at `to`; indices of the points. */
export interface StaticMix {
  readonly from: number;
  readonly to: number;
  readonly share: number;
}

/**
 * Of all mixes of two points that cost as much, the best; the dearest alone where `wanted` is more than all cost.
 * @param front by ascending cost. @returns undefined if every point costs more
 */
export function staticMix(front: readonly MixPoint[], wanted: number): StaticMix | undefined {
  let best: (StaticMix & {readonly quality: number}) | undefined;
  for (const from of front) {
    // Sums in another order differ in the last digits.
    if (from.cost > wanted * (1 + 1e-9)) break;
    for (const to of front) {
      if (to !== from && to.cost <= wanted) continue;
      const share = to === from ? 0 : Math.max(0, (wanted - from.cost) / (to.cost - from.cost));
      const quality = from.quality + share * (to.quality - from.quality);
      if (best === undefined || quality > best.quality) best = {from: from.index, to: to.index, share, quality};
    }
  }
  return best && {from: best.from, to: best.to, share: best.share};
}
