import {InputError} from '../runtime/errors.js';

/** Rank correlation with its confidence interval. */
export interface RankCorrelation {
  /** Spearman's ρ in [−1, 1]; NaN if either list is constant. */
  readonly rho: number;
  readonly low: number;
  readonly high: number;
  readonly n: number;
}

/** Ranks from 1; equal values share their mean rank. */
export function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from({length: values.length}, (_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const result = new Float64Array(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from + 1;
    while (to < order.length && values[order[to]!] === values[order[from]!]) to++;
    for (let i = from; i < to; i++) result[order[i]!] = (from + 1 + to) / 2;
    from = to;
  }
  return result;
}

/**
 * Spearman's ρ, ties by mean ranks; interval by Fisher's z with the standard error of Bonett and Wright,
 * √((1 + ρ²/2) / (n − 3)), which holds for ties and moderate ρ; NaN below 4 items.
 * @param z normal quantile of the interval: 1.96 for 95 %
 * @throws InputError unless both lists have as many values
 */
export function spearman(x: ArrayLike<number>, y: ArrayLike<number>, z = 1.959963984540054): RankCorrelation {
  if (x.length !== y.length)
    throw new InputError(
      'wrong-count',
      `rank correlation: ${x.length} against ${y.length} values; equally many are needed.`,
    );
  const n = x.length;
  const a = ranks(x);
  const b = ranks(y);
  const middle = (n + 1) / 2;
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let i = 0; i < n; i++) {
    xx += (a[i]! - middle) ** 2;
    yy += (b[i]! - middle) ** 2;
    xy += (a[i]! - middle) * (b[i]! - middle);
  }
  const rho = xx > 0 && yy > 0 ? Math.max(-1, Math.min(1, xy / Math.sqrt(xx * yy))) : Number.NaN;
  const reach = n > 3 ? z * Math.sqrt((1 + rho ** 2 / 2) / (n - 3)) : Number.NaN;
  return {rho, low: Math.tanh(Math.atanh(rho) - reach), high: Math.tanh(Math.atanh(rho) + reach), n};
}
