import type {DatasetTask} from '../data/dataset.js';
import {CaptionScorer, type CaptionScores} from '../metrics/caption-scores.js';
import {retention} from '../metrics/savings.js';
import {InputError, UsageError} from '../runtime/errors.js';
import {type BootstrapOptions, bootstrap, type Interval} from '../statistics/bootstrap.js';
import {mean} from '../statistics/descriptive.js';
import {captionRetention} from './caption-retention.js';
import {countedLayers, type Depths, isLabelled} from './metrics.js';
import type {EvaluationRow} from './row.js';

/** Rows of a run, and the depths of its model. */
export interface ComparedRun {
  readonly task: DatasetTask;
  readonly depths: Depths;
  readonly rows: readonly EvaluationRow[];
}

/** A metric in both runs, and the fraction that the first keeps of the second. */
export interface RetainedMetric {
  readonly early: number;
  readonly full: number;
  readonly retention: Interval;
}

export interface PairedComparison {
  readonly task: DatasetTask;
  /** Rows that both runs answered, and their pictures; pictures are what is resampled. */
  readonly n: number;
  readonly pictures: number;
  /** Rows that only one of the runs has. */
  readonly unpaired: number;
  readonly metrics: Readonly<Record<string, RetainedMetric>>;
  /** Captions: mean of the retentions of all metrics. */
  readonly meanRetention?: Interval;
  /** Fractions of the second run's cost that the first saves. */
  readonly saving: Readonly<Record<'layers' | 'macs' | 'ms', Interval>>;
}

/**
 * Quality that early exits keep and cost that they save against another run on the same rows, by a paired bootstrap
 * over pictures. The other run may be the same model at full depth, or another model.
 * @throws UsageError `runs-differ`
 * @throws InputError `no-items` if no labelled row is in both
 */
export function pairedComparison(
  early: ComparedRun,
  full: ComparedRun,
  options: Omit<BootstrapOptions, 'groups'>,
): PairedComparison {
  const {task} = early;
  if (task !== full.task)
    throw new UsageError('runs-differ', `the runs are of different tasks: '${task}' and '${full.task}'`);
  const pairs = pairRows(early.rows, full.rows, task);
  if (pairs.length === 0) throw new InputError('no-items', 'the runs have no labelled row in common');
  const groups = pairs.map(([{image_id}]) => image_id);
  const resampling: BootstrapOptions = {...options, groups};
  const column = (of: (row: EvaluationRow, run: ComparedRun) => number): [Float64Array, Float64Array] => [
    Float64Array.from(pairs, ([row]) => of(row, early)),
    Float64Array.from(pairs, ([, row]) => of(row, full)),
  ];
  const layers = (row: EvaluationRow, {depths}: ComparedRun): number => {
    const {encoder, decoder} = countedLayers(row, depths);
    return encoder + decoder;
  };
  const saved = (k: number) => (sums: Float64Array) => 1 - sums[k]! / sums[k + 1]!;
  const saving = bootstrap(
    [...column(layers), ...column(({macs}) => macs.run), ...column(({ms}) => ms.total)],
    {layers: saved(0), macs: saved(2), ms: saved(4)},
    resampling,
  );
  const unpaired = early.rows.length + full.rows.length - 2 * pairs.length;
  const base = {task, n: pairs.length, pictures: new Set(groups).size, unpaired};
  if (task === 'caption') return {...base, ...captionQuality(pairs, resampling), saving};
  const [a, b] = column(({correct}) => correct!);
  const {accuracy} = bootstrap([a, b], {accuracy: (sums) => retention(sums[0]!, sums[1]!)}, resampling);
  return {...base, metrics: {accuracy: {early: mean(a), full: mean(b), retention: accuracy}}, saving};
}

type Pair = readonly [EvaluationRow, EvaluationRow];

/** Labelled rows that both runs have. @throws UsageError if a row is not the same question in both */
function pairRows(early: readonly EvaluationRow[], full: readonly EvaluationRow[], task: DatasetTask): Pair[] {
  const others = new Map(full.map((row) => [row.index, row]));
  return early.flatMap((row): Pair[] => {
    const other = others.get(row.index);
    if (other === undefined || !isLabelled(row, task) || !isLabelled(other, task)) return [];
    if (other.id !== row.id)
      throw new UsageError(
        'runs-differ',
        `row ${row.index} is '${row.id}' in one run and '${other.id}' in the other: another data set`,
      );
    return [[row, other]];
  });
}

function captionQuality(
  pairs: readonly Pair[],
  options: BootstrapOptions,
): Pick<PairedComparison, 'metrics' | 'meanRetention'> {
  const scorer = new CaptionScorer(pairs.map(([{references}]) => references ?? []));
  const early = scorer.score(pairs.map(([row]) => row.answer));
  const full = scorer.score(pairs.map(([, row]) => row.answer));
  const {mean: meanRetention, ...kept} = captionRetention(early, full, options);
  const names = Object.keys(kept) as (keyof CaptionScores['metrics'])[];
  const metrics = names.map(
    (name) => [name, {early: early.metrics[name], full: full.metrics[name], retention: kept[name]}] as const,
  );
  return {metrics: Object.fromEntries(metrics), meanRetention};
}
