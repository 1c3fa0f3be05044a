import {bestTokens, divideBy, logSumExp} from './score-rules.js';

/** One possible next word of a row: its log-probability is final, with everything forbidden left out. */
export interface WordScore {
  readonly token: number;
  readonly logProbability: number;
}

export interface WordRules {
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
 * The `count` best next words of one row, best first, ties to the lower id (ofa_mue section 9, steps 2 to 10). Log-softmax
 * over what is allowed, in double precision.
 */
export function bestWords(
  logits: Float32Array,
  count: number,
  {temperature, allowed, banned, only, unk, unkPenalty}: WordRules,
): WordScore[] {
  const scores = allowed ? Float64Array.from(allowed, (id) => logits[id]!) : new Float64Array(logits);
  // A place of −1 is none: what is written there is lost.
  const place = (token: number): number => (allowed ? allowed.indexOf(token) : token);
  if (temperature !== 1) divideBy(scores, temperature);
  const total = logSumExp(scores);
  for (const token of banned) scores[place(token)] = -Infinity;
  scores[place(unk)]! -= unkPenalty;
  if (only !== undefined) {
    const score = scores[place(only)] ?? -Infinity;
    return score > -Infinity ? [{token: only, logProbability: score - total}] : [];
  }
  return bestTokens(scores, count).map(({token, score}) => ({token: allowed?.[token] ?? token, logProbability: score - total}));
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
