import type {PairedComparison} from '../../evaluation/compare.js';
import {UsageError} from '../../runtime/errors.js';
import type {Interval} from '../../statistics/bootstrap.js';
import {defineCommand} from '../core/define-command.js';
import {share, wholeNumber} from '../options/values.js';

export const compare = defineCommand({
  name: 'compare',
  summary: 'What one evaluation keeps of the quality of another and saves of its cost, with bootstrap intervals',
  example: 'mue compare early full --retention 0.99',
  arguments: [
    ['<early>', 'folder of the evaluation with exits'],
    ['<full>', 'folder of the one it is measured against, on the same data'],
  ],
  options: (command) =>
    command
      .option('--retention <x>', 'a claim to judge: the share of the quality that is kept, such as 0.99', share)
      .option('--saving <x>', 'a claim to judge: the share of the cost that is saved, such as 0.5', share)
      .option('--level <x>', 'confidence', share, 0.95)
      .option('--resamples <n>', 'of the bootstrap', wholeNumber(1), 10_000)
      .option('--seed <n>', 'of the bootstrap', wholeNumber(0), 0)
      .option('--json', 'all numbers as JSON'),
  async run([a, b], {retention, saving, level, resamples, seed, json}, {out}) {
    const {pairedComparison} = await import('../../evaluation/compare.js');
    const {readEvaluation} = await import('../../node/runs/evaluation-folder.js');
    const early = await readEvaluation(a);
    const full = await readEvaluation(b);
    for (const [folder, {metrics}] of [[a, early] as const, [b, full] as const])
      if (metrics === undefined) out.warn(`warning: ${folder} is not finished; its rows so far are compared`);
    if (early.run.data.sha256 !== full.run.data.sha256)
      throw new UsageError(
        'runs-differ',
        `${a} and ${b} are of different data: ${early.run.data.name} and ${full.run.data.name}`,
        {hint: 'Retention is measured on the same rows.'},
      );
    const comparison = pairedComparison(
      {...early.run, rows: early.rows},
      {...full.run, rows: full.rows},
      {level, resamples, seed},
    );
    const found = verdicts(comparison, {retention, saving});
    if (json)
      out.data(JSON.stringify({early: a, full: b, level, resamples, seed, ...comparison, verdicts: found}, null, 2));
    else for (const line of comparisonText(comparison, found, level)) out.data(line);
    return 0;
  },
});

/** Claims to judge: the fractions of quality kept and of cost saved. */
interface Claims {
  readonly retention?: number;
  readonly saving?: number;
}

/** A lower bound of something kept or saved, and whether it carries the claim. */
interface Verdict {
  readonly what: string;
  /** At least so much, at the level of confidence. */
  readonly atLeast: number;
  readonly claimed?: number;
  readonly holds?: boolean;
}

function verdicts({metrics, meanRetention, saving}: PairedComparison, claims: Claims): Verdict[] {
  const judge = (what: string, {lowerBound}: Interval, claimed: number | undefined): Verdict => ({
    what,
    atLeast: lowerBound,
    claimed,
    holds: claimed === undefined ? undefined : lowerBound >= claimed,
  });
  const kept = Object.entries(metrics).map(([name, metric]) =>
    judge(`retention of ${name}`, metric.retention, claims.retention),
  );
  return [
    ...kept,
    ...(meanRetention ? [judge('mean retention of all metrics', meanRetention, claims.retention)] : []),
    judge('saving in layers', saving.layers, claims.saving),
    judge('saving in MACs', saving.macs, claims.saving),
    judge('saving in wall-clock', saving.ms, claims.saving),
  ];
}

function* comparisonText(
  {task, n, pictures, unpaired, metrics, meanRetention, saving}: PairedComparison,
  found: readonly Verdict[],
  level: number,
): Generator<string> {
  const percent = (x: number): string => `${(100 * x).toFixed(2)} %`;
  const interval = ({estimate, low, high}: Interval): string =>
    `${percent(estimate)} [${percent(low)}, ${percent(high)}]`;
  const alone = unpaired > 0 ? `; ${unpaired} rows are in one of the runs only` : '';
  yield `${task}: ${n} rows of ${pictures} pictures${alone}`;
  for (const [name, {early, full, retention}] of Object.entries(metrics))
    yield `${name.padEnd(10)} ${early.toFixed(4)} of ${full.toFixed(4)}   kept ${interval(retention)}`;
  if (meanRetention) yield `mean                          kept ${interval(meanRetention)}`;
  const [layers, macs, ms] = [saving.layers, saving.macs, saving.ms].map(interval);
  yield `saved      layers ${layers}   MACs ${macs}   wall-clock ${ms}`;
  for (const {what, atLeast, claimed, holds} of found) {
    const claim = claimed === undefined ? '' : `: the claim of ${percent(claimed)} ${holds ? 'holds' : 'FAILS'}`;
    yield `verdict: ${what} ≥ ${percent(atLeast)} with ${percent(level).replace('.00', '')} confidence${claim}`;
  }
}
