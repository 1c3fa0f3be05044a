// simple-statistics has the first two as well, but its mean is a compensated sum, which differs in the last digit, and
// its quantile does not interpolate: published figures and files that exist would change.

/** Arithmetic mean; NaN of nothing. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/** Arithmetic mean of the values at these indices; NaN without any. */
export function meanAt(values: ArrayLike<number>, indices: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < indices.length; i++) sum += values[indices[i]!]!;
  return sum / indices.length;
}

/**
 * Quantile with linear interpolation between order statistics (Hyndman and Fan's type 7, NumPy's default).
 * @param sorted   ascending, NaN last, as `Float64Array.prototype.sort` leaves them; at least one value
 * @param fraction in [0, 1]
 * @returns        NaN if any value is NaN
 */
export function quantile(sorted: Float64Array, fraction: number): number {
  if (Number.isNaN(sorted.at(-1)!)) return Number.NaN;
  const at = fraction * (sorted.length - 1);
  const below = sorted[Math.floor(at)]!;
  return below + (sorted[Math.ceil(at)]! - below) * (at - Math.floor(at));
}

/** Whole numbers from `from` to `to`, both included; none if `to` is smaller. */
export function range(from: number, to: number): number[] {
  return Array.from({length: Math.max(0, to - from + 1)}, (_, i) => from + i);
}
