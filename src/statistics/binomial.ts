/** Stirling's error: ln n! − ln(√(2πn) (n/e)^n). Exact to double precision for every n ≥ 0. */
const STIRLING: readonly number[] = (() => {
  const table = [0];
  let logFactorial = 0;
  for (let n = 1; n < 16; n++) {
    logFactorial += Math.log(n);
    table.push(logFactorial - (n + 0.5) * Math.log(n) + n - 0.5 * Math.log(2 * Math.PI));
  }
  return table;
})();

function stirlingError(n: number): number {
  if (n < 16) return STIRLING[n]!;
  const nn = n * n;
  return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / nn) / nn) / nn) / nn) / n;
}

/** x ln(x/m) + m − x, without cancellation where x is close to m. */
function deviance(x: number, m: number): number {
  if (Math.abs(x - m) >= 0.1 * (x + m)) return x * Math.log(x / m) + m - x;
  const v = (x - m) / (x + m);
  let sum = (x - m) * v;
  let term = 2 * x * v;
  for (let j = 1; j < 1000; j++) {
    term *= v * v;
    const next = sum + term / (2 * j + 1);
    if (next === sum) break;
    sum = next;
  }
  return sum;
}

/**
 * P(X = k) of a binomial variable, by Loader's saddle-point expansion: accurate for n far beyond 1e5. For 0 < p < 1 and
 * integers 0 ≤ k ≤ n.
 */
function probability(k: number, n: number, p: number): number {
  if (k === 0) return Math.exp(n * Math.log1p(-p));
  if (k === n) return Math.exp(n * Math.log(p));
  const exponent =
    stirlingError(n) - stirlingError(k) - stirlingError(n - k) - deviance(k, n * p) - deviance(n - k, n * (1 - p));
  return Math.exp(exponent) * Math.sqrt(n / (2 * Math.PI * k * (n - k)));
}

/**
 * P(X ≤ k) for X binomial with n trials of probability p. Sums the shorter tail from its largest term on, so the
 * relative error stays near 1e-13 for n up to 1e5 and more, also where the probability is tiny.
 */
export function binomialCdf(k: number, n: number, p: number): number {
  if (k < 0) return 0;
  if (k >= n || p <= 0) return 1;
  if (p >= 1) return 0;
  const odds = p / (1 - p);
  let sum = 0;
  if (k <= n * p) {
    let term = probability(k, n, p);
    for (let j = k; j >= 0 && sum + term !== sum; j--) {
      sum += term;
      term *= j / (n - j + 1) / odds;
    }
    return Math.min(1, sum);
  }
  let term = probability(k + 1, n, p);
  for (let j = k + 1; j <= n && sum + term !== sum; j++) {
    sum += term;
    term *= ((n - j) / (j + 1)) * odds;
  }
  return Math.max(0, 1 - sum);
}
