import {bestScores} from '../runtime/best-scores.js';

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
  const ids = allowed ?? undefined;
  const size = ids?.length ?? logits.length;
  const at = (i: number): number => logits[ids ? ids[i]! : i]! / temperature;
  let max = -Infinity;
  for (let i = 0; i < size; i++) if (at(i) > max) max = at(i);
  let sum = 0;
  for (let i = 0; i < size; i++) sum += Math.exp(at(i) - max);
  const log = max + Math.log(sum);
  const best = bestScores(size, count, (i) => {
    const token = ids ? ids[i]! : i;
    if (banned.has(token) || (only !== undefined && token !== only)) return -Infinity;
    return at(i) - log - (token === unk ? unkPenalty : 0);
  });
  return best.map(({index, score}) => ({token: ids ? ids[index]! : index, logProbability: score}));
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
