import {bestScores} from '../runtime/best-scores.js';
import {sumOfExponentials} from '../runtime/sum-of-exponentials.js';

// Rules on the scores of next words, in place: what is forbidden gets −∞   (coca.md section 7)

const IMPOSSIBLE = Number.NEGATIVE_INFINITY;
// A name of the module's own: looking up globals in inner loops is slow where they are intercepted (vm contexts).
const {exp} = Math;

export interface TokenScore {
  readonly token: number;
  readonly score: number;
}

/** Makes words that a row has already less likely: a score above 0 is divided by the penalty, one below is multiplied. */
export function penalizeRepetition(scores: Float64Array, tokens: readonly number[], penalty: number): void {
  for (const token of new Set(tokens)) {
    const score = scores[token]!;
    scores[token] = score < 0 ? score * penalty : score / penalty;
  }
}

/** Leaves the k best; of equals that straddle the limit, all. */
export function keepTopK(scores: Float64Array, k: number): void {
  const least = bestTokens(scores, k).at(-1)?.score ?? IMPOSSIBLE;
  for (let i = 0; i < scores.length; i++) if (scores[i]! < least) scores[i] = IMPOSSIBLE;
}

/** Leaves the fewest of the likeliest words whose probability reaches p, at least one: the word that crosses it is kept. */
export function keepTopP(scores: Float64Array, p: number): void {
  const probabilities = softmax(scores);
  const order = Array.from(probabilities, (_, i) => i).sort((a, b) => probabilities[b]! - probabilities[a]! || a - b);
  let sum = 0;
  for (const [rank, token] of order.entries()) {
    if (rank > 0 && sum >= p) scores[token] = IMPOSSIBLE;
    sum += probabilities[token]!;
  }
}

export function divideBy(scores: Float64Array, temperature: number): void {
  for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! / temperature;
}

export function softmax(scores: Float64Array): Float64Array {
  const out = logSoftmax(scores);
  for (let i = 0; i < out.length; i++) out[i] = exp(out[i]!);
  return out;
}

export function logSoftmax(scores: Float64Array): Float64Array {
  const total = logSumExp(scores);
  const out = new Float64Array(scores.length);
  for (let i = 0; i < out.length; i++) out[i] = scores[i]! - total;
  return out;
}

/** The best words, best first, ties to the lower id; fewer where fewer are possible. */
export function bestTokens(scores: Float64Array, count: number): TokenScore[] {
  return bestScores(scores, count).map(({index, score}) => ({token: index, score}));
}

/** The word at a place from 0 to 1 of the words laid side by side, each as wide as it is likely. */
export function tokenAt(probabilities: Float64Array, place: number): number {
  let sum = 0;
  let last = 0;
  for (let token = 0; token < probabilities.length; token++) {
    if (!(probabilities[token]! > 0)) continue;
    last = token;
    sum += probabilities[token]!;
    if (place < sum) return token;
  }
  // The widths may sum to a little less than 1.
  return last;
}

export function logSumExp(scores: Float64Array): number {
  let max = IMPOSSIBLE;
  for (let i = 0; i < scores.length; i++) if (scores[i]! > max) max = scores[i]!;
  return max + Math.log(sumOfExponentials(scores, max));
}
