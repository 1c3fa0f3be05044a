import type {CaptionMetric} from '../../metrics/caption-scores.js';
import {csvLine, percent, tableLine} from '../../text/format.js';
import type {CaptionPoint, CaptionSweep} from './caption-sweep.js';
import type {CaptionVerdict} from './caption-verdicts.js';
import type {CostName} from './sweep.js';
import {
  COST_HEADS,
  costCells,
  costCsvCells,
  costHeads,
  costText,
  csvNumber,
  SETTING_HEADS,
  settingCells,
  thinned,
  verdictText,
} from './text.js';

// A sweep of captions for people, and as CSV.

const METRICS: readonly CaptionMetric[] = ['BLEU-1', 'BLEU-2', 'BLEU-3', 'BLEU-4', 'ROUGE-L', 'CIDEr-D'];

/** The front of one cost as a table, thinned to at most `rows` lines, and the front of fixed depths below it. */
export function* captionFrontText(sweep: CaptionSweep, cost: CostName, rows = 16): Generator<string> {
  const {recording, points, static: statics, fronts, staticFronts, full} = sweep;
  const lists = [
    ['front', fronts[cost].map((i) => points[i]!)],
    ['static front', staticFronts[cost].map((i) => statics[i]!)],
  ] as const;
  for (const [what, all] of lists) {
    if (all.length === 0) continue;
    const shown = thinned(all, rows);
    yield `${what} of ${costText(cost)} (${shown.length} of ${all.length} points; full depth: CIDEr-D ${full.metrics['CIDEr-D'].toFixed(4)})`;
    yield `CIDEr-D   kept      mean      agrees    ${costHeads(recording.stacks)}`;
    for (const point of shown) {
      const kept = [point.retention, point.meanRetention, point.agreement].map((fraction) => percent(fraction));
      yield tableLine([point.metrics['CIDEr-D'].toFixed(4), ...kept, costCells(point)], [8, 8, 8, 8]);
    }
  }
}

/** A verdict as a sentence. @param level confidence of the verdict */
export function captionVerdictText(verdict: CaptionVerdict, sweep: CaptionSweep, level: number): string {
  const kept = verdict.measure === 'mean' ? 'mean retention of all metrics' : `retention of ${verdict.measure}`;
  return verdictText(verdict, sweep, level, {kept, gained: 'CIDEr-D'});
}

/** Every point and fixed depth as CSV lines. */
export function* captionSweepCsv({points, static: statics}: CaptionSweep): Generator<string> {
  yield `${SETTING_HEADS},${METRICS.join(',')},agreement,retention,mean_retention,${COST_HEADS}\n`;
  for (const point of points) yield line('policy', point);
  for (const point of statics) yield line('static', point);
}

function line(kind: string, point: CaptionPoint): string {
  const {metrics, agreement, retention, meanRetention} = point;
  const quality = [...METRICS.map((name) => metrics[name]), agreement, retention, meanRetention];
  return csvLine([kind, ...settingCells(point), ...quality.map(csvNumber), ...costCsvCells(point)]);
}
