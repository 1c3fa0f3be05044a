import type {Interval} from '../../statistics/bootstrap.js';
import {type PairedComparison, pairedComparison} from '../../evaluation/compare.js';
import {readEvaluation} from '../../node/runs/evaluation-folder.js';
import {UsageError} from '../../runtime/errors.js';
import type {CommandContext} from '../core/define-command.js';
import type {CompareFlags} from './compare.js';

/** Something that was claimed, and whether the one-sided bound carries it. */
interface Verdict {
  readonly what: string;
  /** At least so much, at the level of confidence. */
  readonly atLeast: number;
  readonly claimed?: number;
  readonly holds?: boolean;
}

export async function runCompare(
  [a, b]: readonly [string, string],
  flags: CompareFlags,
  {out}: CommandContext,
): Promise<undefined> {
  const early = await readEvaluation(a);
  const full = await readEvaluation(b);
  for (const [folder, {metrics}] of [[a, early] as const, [b, full] as const])
    if (metrics === undefined) out.warn(`warning: ${folder} is not finished; its rows so far are compared`);
  if (early.run.data.sha256 !== full.run.data.sha256)
    throw new UsageError(
      'runs-differ',
      `${a} and ${b} are of different data: ${early.run.data.name} and ${full.run.data.name}`,
      {
        hint: 'Retention is measured on the same rows.',
      },
    );
  const {level, resamples, seed} = flags;
  const comparison = pairedComparison(
    {...early.run, rows: early.rows},
    {...full.run, rows: full.rows},
    {level, resamples, seed},
  );
  const found = verdicts(comparison, flags);
  if (flags.json)
    out.data(JSON.stringify({early: a, full: b, level, resamples, seed, ...comparison, verdicts: found}, null, 2));
  else for (const line of text(comparison, found, level)) out.data(line);
  return undefined;
}

function verdicts({metrics, meanRetention, saving}: PairedComparison, flags: CompareFlags): Verdict[] {
  const judge = (what: string, {lowerBound}: Interval, claimed: number | undefined): Verdict => ({
    what,
    atLeast: lowerBound,
    ...(claimed === undefined ? {} : {claimed, holds: lowerBound >= claimed}),
  });
  const kept = Object.entries(metrics).map(([name, metric]) =>
    judge(`retention of ${name}`, metric.retention, flags.retention),
  );
  return [
    ...kept,
    ...(meanRetention ? [judge('mean retention of all metrics', meanRetention, flags.retention)] : []),
    judge('saving in layers', saving.layers, flags.saving),
    judge('saving in MACs', saving.macs, flags.saving),
    judge('saving in wall-clock', saving.ms, flags.saving),
  ];
}

function* text(
  {task, n, pictures, unpaired, metrics, meanRetention, saving}: PairedComparison,
  found: readonly Verdict[],
  level: number,
): Generator<string> {
  const percent = (x: number): string => `${(100 * x).toFixed(2)} %`;
  const interval = ({estimate, low, high}: Interval): string =>
    `${percent(estimate)} [${percent(low)}, ${percent(high)}]`;
  yield `${task}: ${n} rows of ${pictures} pictures${unpaired > 0 ? `; ${unpaired} rows are in one of the runs only` : ''}`;
  for (const [name, {early, full, retention}] of Object.entries(metrics))
    yield `${name.padEnd(10)} ${early.toFixed(4)} of ${full.toFixed(4)}   kept ${interval(retention)}`;
  if (meanRetention) yield `mean                          kept ${interval(meanRetention)}`;
  yield `saved      layers ${interval(saving.layers)}   MACs ${interval(saving.macs)}   wall-clock ${interval(saving.ms)}`;
  for (const {what, atLeast, claimed, holds} of found) {
    const claim = claimed === undefined ? '' : `: the claim of ${percent(claimed)} ${holds ? 'holds' : 'FAILS'}`;
    yield `verdict: ${what} ≥ ${percent(atLeast)} with ${percent(level).replace('.00', '')} confidence${claim}`;
  }
}
