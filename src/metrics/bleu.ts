import {InputError} from '../runtime/errors.js';
import {ngramCounts, words} from './ngrams.js';

/** Largest n-gram counted. */
export const BLEU_ORDER = 4;
// pycocoevalcap adds these so that no ratio is 0/0; every score carries them, so they are kept.
const SMALL = 1e-9;
const TINY = 1e-15;

/**
 * Number of the sufficient statistics of BLEU, of an item or, summed over items, of a corpus: hypothesis length, length
 * of the closest reference, n-grams guessed (n = 1…4), n-grams correct (n = 1…4). BLEU of any resample of items is
 * `bleuFromStatistics` of the sum of their statistics.
 */
export const BLEU_STATISTICS: number = 2 + 2 * BLEU_ORDER;

/** BLEU-1…4 of a corpus and of every item alone. */
export interface BleuResult {
  /** BLEU-1, BLEU-2, BLEU-3, BLEU-4. */
  readonly corpus: readonly number[];
  /** [4][items] */
  readonly perItem: readonly Float64Array[];
  /** [items × 10], see `BLEU_STATISTICS`. */
  readonly statistics: Float64Array;
}

interface Prepared {
  readonly lengths: readonly number[];
  /** Most occurrences of each n-gram in any one reference. */
  readonly most: ReadonlyMap<string, number>;
}

/**
 * BLEU from sums of statistics (`BLEU_STATISTICS`).
 * @param offset where the ten numbers start
 * @returns      BLEU-1…4 with brevity penalty, each in [0, 1]
 */
export function bleuFromStatistics(sums: ArrayLike<number>, offset = 0): number[] {
  const ratio = (sums[offset]! + TINY) / (sums[offset + 1]! + SMALL);
  const penalty = ratio < 1 ? Math.exp(1 - 1 / ratio) : 1;
  let product = 1;
  return Array.from({length: BLEU_ORDER}, (_, n) => {
    product *= (sums[offset + 2 + BLEU_ORDER + n]! + TINY) / (sums[offset + 2 + n]! + SMALL);
    return product ** (1 / (n + 1)) * penalty;
  });
}

/**
 * BLEU as pycocoevalcap computes it (docs/reference/early-exit.md D3): clipped counts, closest reference length (of two
 * equally close the shorter), no smoothing. References are counted once; `score` may be called for many sets of
 * hypotheses.
 */
export class Bleu {
  private readonly items: readonly Prepared[];

  /** @param references tokenised references of every item: tokens separated by white space. */
  constructor(references: readonly (readonly string[])[]) {
    this.items = references.map((texts, item) => {
      if (texts.length === 0)
        throw new InputError('no-references', `BLEU: item ${item} has no reference; at least one is needed.`);
      const most = new Map<string, number>();
      const lengths = texts.map((text) => {
        const tokens = words(text);
        for (const [gram, count] of ngramCounts(tokens, BLEU_ORDER))
          if (count > (most.get(gram) ?? 0)) most.set(gram, count);
        return tokens.length;
      });
      return {lengths, most};
    });
  }

  /** @param hypotheses one tokenised hypothesis an item, in the order of the references. */
  score(hypotheses: readonly string[]): BleuResult {
    if (hypotheses.length !== this.items.length)
      throw new InputError(
        'wrong-count',
        `BLEU: ${hypotheses.length} hypotheses for ${this.items.length} items; one each is needed.`,
      );
    const statistics = new Float64Array(this.items.length * BLEU_STATISTICS);
    const sums = new Float64Array(BLEU_STATISTICS);
    const perItem = Array.from({length: BLEU_ORDER}, () => new Float64Array(this.items.length));
    this.items.forEach((item, i) => {
      const row = statistics.subarray(i * BLEU_STATISTICS, (i + 1) * BLEU_STATISTICS);
      count(words(hypotheses[i]!), item, row);
      bleuFromStatistics(row).forEach((value, n) => {
        perItem[n]![i] = value;
      });
      for (let k = 0; k < BLEU_STATISTICS; k++) sums[k]! += row[k]!;
    });
    return {corpus: bleuFromStatistics(sums), perItem, statistics};
  }
}

function count(tokens: readonly string[], item: Prepared, row: Float64Array): void {
  row[0] = tokens.length;
  let closest = item.lengths[0]!;
  for (const length of item.lengths) {
    const gain = Math.abs(closest - tokens.length) - Math.abs(length - tokens.length);
    if (gain > 0 || (gain === 0 && length < closest)) closest = length;
  }
  row[1] = closest;
  for (let n = 0; n < BLEU_ORDER; n++) row[2 + n] = Math.max(0, tokens.length - n);
  for (const [gram, times] of ngramCounts(tokens, BLEU_ORDER)) {
    let order = 0;
    for (let at = gram.indexOf(' '); at >= 0; at = gram.indexOf(' ', at + 1)) order++;
    row[2 + BLEU_ORDER + order]! += Math.min(times, item.most.get(gram) ?? 0);
  }
}
