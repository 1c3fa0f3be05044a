/** A summary of repeated measurements of one thing, in the unit of the measurements. */
export interface Summary {
  readonly median: number;
  /** Nine of ten measurements lie above p10, and below p90. With fewer than ten they are the least and the most. */
  readonly p10: number;
  readonly p90: number;
  readonly n: number;
}

/**
 * The value below which a fraction `q` of the values lies, linear between the ranks; NaN of no values.
 */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

export function summarize(values: readonly number[]): Summary {
  const few = values.length < 10;
  return {
    median: quantile(values, 0.5),
    p10: quantile(values, few ? 0 : 0.1),
    p90: quantile(values, few ? 1 : 0.9),
    n: values.length,
  };
}

/** The summary of every part of measurements that were taken together; a part that a row lacks counts as 0. */
export function medianByPart(rows: readonly Readonly<Record<string, number>>[]): Record<string, Summary> {
  const parts = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return Object.fromEntries(parts.map((part) => [part, summarize(rows.map((row) => row[part] ?? 0))]));
}

/**
 * The exponent e of y ≈ c·xᵉ, by least squares of logarithms; with 1, y grows as x does. NaN of fewer than two
 * different x.
 */
export function growthExponent(points: readonly {readonly x: number; readonly y: number}[]): number {
  const logs = points.map(({x, y}) => [Math.log(x), Math.log(y)] as const);
  const mean = (axis: 0 | 1): number => logs.reduce((sum, p) => sum + p[axis], 0) / logs.length;
  const [mx, my] = [mean(0), mean(1)];
  const spread = logs.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
  return spread > 0 ? logs.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) / spread : Number.NaN;
}
