import {topK} from '../runtime/top-k.js';
import {sumOfExponentials} from '../runtime/log-sum-exp.js';

// Rules on next-token logits, in place: a forbidden token gets −∞ (docs/reference/coca.md 7).

const IMPOSSIBLE = Number.NEGATIVE_INFINITY;
// A name of the module's own: looking up globals in inner loops is slow where they are intercepted (vm contexts).
const {exp} = Math;

export interface TokenScore {
  readonly token: number;
  readonly score: number;
}

/**
 * Makes tokens that a row has already less likely: a score above 0 is divided by the penalty, one below is multiplied.
 */
export function penalizeRepetition(scores: Float64Array, tokens: readonly number[], penalty: number): void {
  for (const token of new Set(tokens)) {
    const score = scores[token]!;
    scores[token] = score < 0 ? score * penalty : score / penalty;
  }
}

/** Keeps the k best; of equals that straddle the limit, all. */
export function topKFilter(scores: Float64Array, k: number): void {
  const least = topKTokens(scores, k).at(-1)?.score ?? IMPOSSIBLE;
  for (let i = 0; i < scores.length; i++) if (scores[i]! < least) scores[i] = IMPOSSIBLE;
}

/**
 * Keeps the fewest of the likeliest tokens whose probability reaches p, at least one: the token that crosses p is kept.
 */
export function topPFilter(scores: Float64Array, p: number): void {
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

/** The best tokens, best first, ties to the lower id; fewer where fewer are possible. */
export function topKTokens(scores: Float64Array, count: number): TokenScore[] {
  return topK(scores, count).map(({index, score}) => ({token: index, score}));
}

/** Inverts the cumulative distribution. @param place from 0 to 1 */
export function sampleFromCdf(probabilities: Float64Array, place: number): number {
  let sum = 0;
  let last = 0;
  for (let token = 0; token < probabilities.length; token++) {
    if (!(probabilities[token]! > 0)) continue;
    last = token;
    sum += probabilities[token]!;
    if (place < sum) return token;
  }
  // The probabilities may sum to a little less than 1.
  return last;
}

export function logSumExp(scores: Float64Array): number {
  let max = IMPOSSIBLE;
  for (let i = 0; i < scores.length; i++) if (scores[i]! > max) max = scores[i]!;
  return max + Math.log(sumOfExponentials(scores, max));
}

/** One possible next token of a row: its log-probability is final, with everything forbidden left out. */
export interface NextToken {
  readonly token: number;
  readonly logProbability: number;
}

export interface TokenRules {
  readonly temperature: number;
  /** Ids allowed before the softmax (answer trie); all if undefined. */
  readonly allowed?: readonly number[] | undefined;
  /** Ids that keep their probability but may not be chosen. */
  readonly banned: ReadonlySet<number>;
  /** The one id that may be chosen (a forced prefix, or the end symbol at full length). */
  readonly only?: number | undefined;
  readonly unk: number;
  readonly unkPenalty: number;
}

/**
 * The `count` best next tokens of one row, best first, ties to the lower id (docs/reference/ofa-mue.md 9, steps 2 to
 * 10). The log-softmax is over the allowed tokens, in double precision.
 */
export function bestNextTokens(
  logits: Float32Array,
  count: number,
  {temperature, allowed, banned, only, unk, unkPenalty}: TokenRules,
): NextToken[] {
  const scores = allowed ? Float64Array.from(allowed, (id) => logits[id]!) : new Float64Array(logits);
  // Place −1 is none: a value written there is lost.
  const place = (token: number): number => (allowed ? allowed.indexOf(token) : token);
  if (temperature !== 1) divideBy(scores, temperature);
  const total = logSumExp(scores);
  for (const token of banned) scores[place(token)] = -Infinity;
  scores[place(unk)]! -= unkPenalty;
  if (only !== undefined) {
    const score = scores[place(only)] ?? -Infinity;
    return score > -Infinity ? [{token: only, logProbability: score - total}] : [];
  }
  return topKTokens(scores, count).map(({token, score}) => ({
    token: allowed?.[token] ?? token,
    logProbability: score - total,
  }));
}

/** Every token that followed an earlier occurrence of the last n − 1 tokens (`no_repeat_ngram_size`). */
export function repeatingTokens(tokens: readonly number[], n: number): ReadonlySet<number> {
  const banned = new Set<number>();
  if (n <= 0 || tokens.length < n - 1) return banned;
  const tail = tokens.slice(tokens.length - n + 1);
  for (let i = 0; i + n <= tokens.length; i++) {
    if (tail.every((token, j) => tokens[i + j] === token)) banned.add(tokens[i + n - 1]!);
  }
  return banned;
}
