// e^−x = 2^−(k/64) · e^−r with k = ⌊64·x / ln 2⌋ and r < ln 2 / 64, for which five terms of the series are exact to
// 10^−15.
const PARTS = 64 / Math.LN2;
const STEP = Math.LN2 / 64;
// A name of the module's own: looking up globals in inner loops is slow where they are intercepted (vm contexts).
const {min} = Math;
/** Terms below 2^−64 of the largest are as good as none. */
const LAST = 64 * 64;
const POWERS = Float64Array.from({length: LAST + 1}, (_, k) => (k < LAST ? 2 ** (-k / 64) : 0));

/**
 * Σ e^(score − max) to 10^−13 of itself, in a third of the time that `Math.exp` takes (59,457 scores: 1.75 → 0.55 ms),
 * which is most of what choosing the next word costs.
 * @param max the largest score, finite
 */
export function sumOfExponentials(scores: Float64Array, max: number): number {
  // Two sums at once: one would wait for each addition before the next.
  let [even, odd] = [0, 0];
  const pairs = scores.length & ~1;
  for (let i = 0; i < pairs; i += 2) {
    const s = min((max - scores[i]!) * PARTS, LAST);
    const t = min((max - scores[i + 1]!) * PARTS, LAST);
    const j = s | 0;
    const k = t | 0;
    const p = (s - j) * STEP;
    const q = (t - k) * STEP;
    even += POWERS[j]! * (1 - p * (1 - p * (1 / 2 - p * (1 / 6 - p * (1 / 24 - p * (1 / 120))))));
    odd += POWERS[k]! * (1 - q * (1 - q * (1 / 2 - q * (1 / 6 - q * (1 / 24 - q * (1 / 120))))));
  }
  return even + odd + (pairs < scores.length ? Math.exp(scores[pairs]! - max) : 0);
}
