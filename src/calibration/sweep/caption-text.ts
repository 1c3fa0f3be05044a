import type {CaptionMetric} from '../../metrics/caption-scores.js';
import type {CaptionPoint, CaptionSweep} from './caption-sweep.js';
import type {CaptionVerdict} from './caption-verdicts.js';
import type {CostName} from './sweep.js';
import {csvLine, csvNumber, frontHeads, percent, settingCells, settingText, thinned, verdictText} from './text.js';

// A sweep of captions for people, and as CSV.

const METRICS: readonly CaptionMetric[] = ['BLEU-1', 'BLEU-2', 'BLEU-3', 'BLEU-4', 'ROUGE-L', 'CIDEr-D'];

/** The front of one cost as a table, thinned to at most `rows` lines, and the static front below it. */
export function* captionFrontText(sweep: CaptionSweep, cost: CostName, rows = 16): Generator<string> {
  const {recording, points, static: statics, fronts, staticFronts, full} = sweep;
  const name = cost === 'macs' ? 'MACs' : 'layers';
  const lists = [
    ['front', fronts[cost].map((i) => points[i]!)],
    ['static front', staticFronts[cost].map((i) => statics[i]!)],
  ] as const;
  for (const [what, all] of lists) {
    if (all.length === 0) continue;
    const shown = thinned(all, rows);
    yield `${what} of ${name} (${shown.length} of ${all.length} points; full depth: CIDEr-D ${full.metrics['CIDEr-D'].toFixed(4)})`;
    yield `CIDEr-D   kept      mean      agrees    ${frontHeads(recording)}`;
    for (const point of shown) yield pointText(point);
  }
}

/** What a policy keeps with confidence, and whether it beats static depth. */
export function captionVerdictText(verdict: CaptionVerdict, sweep: CaptionSweep, level: number): string {
  const kept = verdict.measure === 'mean' ? 'mean retention of all metrics' : `retention of ${verdict.measure}`;
  return verdictText(verdict, sweep, level, {kept, gained: 'CIDEr-D'});
}

/** Every point and static point as CSV lines. */
export function* captionSweepCsv({points, static: statics}: CaptionSweep): Generator<string> {
  const head = 'kind,encoder,policy,patience,score,image,text,decoder';
  yield `${head},${METRICS.join(',')},agreement,retention,mean_retention,image_layers,text_layers,decoder_layers,etr,macs_run,macs_full,macs_saved,exact\n`;
  for (const point of points) yield csvLine('policy', ...settingCells(point), ...meanCells(point));
  for (const point of statics) yield csvLine('static', ...settingCells(point), ...meanCells(point));
}

function pointText(point: CaptionPoint): string {
  const {metrics, retention, meanRetention, agreement, layers, etr, macs} = point;
  return [
    metrics['CIDEr-D'].toFixed(4).padEnd(8),
    ...[retention, meanRetention, agreement].map((x) => percent(x).padEnd(8)),
    [layers.image, layers.text, layers.decoder]
      .map((x) => x.toFixed(2))
      .join('/')
      .padEnd(16),
    ...[etr, macs.saved].map((x) => percent(x).padEnd(8)),
    settingText(point),
  ].join('  ');
}

function meanCells({metrics, agreement, retention, meanRetention, layers, etr, macs, exact}: CaptionPoint): string[] {
  const quality = [...METRICS.map((name) => metrics[name]), agreement, retention, meanRetention];
  const cost = [layers.image, layers.text, layers.decoder, etr, macs.run, macs.full, macs.saved];
  return [...quality.map(csvNumber), ...cost.map(csvNumber), String(exact)];
}
