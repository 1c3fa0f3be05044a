import {BLEU_STATISTICS, bleuFromStatistics} from '../metrics/bleu.js';
import type {CaptionMetric, CaptionScores} from '../metrics/caption-scores.js';
import {retention} from '../metrics/savings.js';
import {type BootstrapOptions, bootstrap, type Interval} from '../statistics/bootstrap.js';
import {mean} from '../statistics/descriptive.js';

/**
 * Fraction of each caption metric that early exits keep, and the mean of the six, with bootstrap intervals over the
 * same captions. BLEU is recomputed from the summed counts of every resample; document frequencies of CIDEr-D stay
 * those of the whole set.
 */
export function captionRetention(
  early: CaptionScores,
  full: CaptionScores,
  options: BootstrapOptions,
): Record<CaptionMetric | 'mean', Interval> {
  const column = (rows: Float64Array, k: number): Float64Array =>
    Float64Array.from({length: rows.length / BLEU_STATISTICS}, (_, i) => rows[i * BLEU_STATISTICS + k]!);
  const columns = [early, full].flatMap(({bleu, rougeL, ciderD}) => [
    ...Array.from({length: BLEU_STATISTICS}, (_, k) => column(bleu.statistics, k)),
    rougeL.perItem,
    ciderD.perItem,
  ]);
  const other = BLEU_STATISTICS + 2;
  const bleu = (n: number) => (sums: Float64Array) =>
    retention(bleuFromStatistics(sums)[n]!, bleuFromStatistics(sums, other)[n]!);
  const ratio = (k: number) => (sums: Float64Array) => retention(sums[k]!, sums[other + k]!);
  const each: Record<CaptionMetric, (sums: Float64Array) => number> = {
    'BLEU-1': bleu(0),
    'BLEU-2': bleu(1),
    'BLEU-3': bleu(2),
    'BLEU-4': bleu(3),
    'ROUGE-L': ratio(BLEU_STATISTICS),
    'CIDEr-D': ratio(BLEU_STATISTICS + 1),
  };
  const all = Object.values(each);
  const ofAll = (sums: Float64Array): number => mean(all.map((statistic) => statistic(sums)));
  return bootstrap(columns, {...each, mean: ofAll}, options);
}
