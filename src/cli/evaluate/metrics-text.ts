import type {EvaluationMetrics} from '../../evaluation/metrics.js';

/** The metrics of a run for people, in three lines. Layers saved never stand without MACs and time. */
export function metricsText({
  task,
  n,
  metrics,
  layers,
  depths,
  etr,
  macs,
  ms,
  seconds,
  overhead,
  bad,
  device,
}: EvaluationMetrics): string {
  const percent = (x: number | null): string => (x === null ? '–' : `${(100 * x).toFixed(1)} %`);
  const quality = Object.entries(metrics).map(([name, x]) => `${name} ${x.toFixed(4)}`);
  const depth = Object.entries(layers).map(
    ([stack, x]) => `${stack} ${x.toFixed(2)}/${depths[stack as keyof typeof depths] ?? '?'}`,
  );
  const saved = macs.run === null || macs.full === null ? null : 1 - macs.run / macs.full;
  const skipped = bad.failed + bad.unreadable;
  return [
    `${task}: ${n} rows${skipped > 0 ? `, ${skipped} skipped` : ''}  ${quality.join('  ') || 'no labels'}`,
    `layers ${depth.join('  ')}  (${percent(etr)} saved)   MACs ${giga(macs.run)} of ${giga(macs.full)}  (${percent(saved)} saved)`,
    `${ms.p50 ?? '–'} ms a row (median), ${ms.p90 ?? '–'} ms (90 %) on ${device}; ${seconds.toFixed(1)} s in all, ${percent(overhead.total)} outside the model`,
  ].join('\n');
}

function giga(macs: number | null): string {
  return macs === null ? '–' : `${(macs / 1e9).toFixed(2)} G`;
}
