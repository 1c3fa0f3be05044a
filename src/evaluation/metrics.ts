import type {DatasetTask} from '../data/dataset.js';
import type {ExitPlan} from '../exit/plan/schema.js';
import type {StackName} from '../exit/policy.js';
import {countLayers} from '../exit/stacks.js';
import type {Macs} from '../exit/trace.js';
import {accuracy} from '../metrics/accuracy.js';
import {CaptionScorer} from '../metrics/caption-scores.js';
import {expectedTimeReduction, type LayersRun} from '../metrics/savings.js';
import {mean, quantile} from '../statistics/descriptive.js';
import {dataNotes} from './notes.js';
import {type EvaluationRow, rowLayers} from './row.js';

/** Layers of every stack that can exit. */
export type Depths = Readonly<Partial<Record<StackName, number>>>;

/** Task, model, data and device of a run; goes into metrics.json as it is. */
export interface EvaluationSetup {
  readonly task: DatasetTask;
  readonly model: {readonly name: string; readonly sha256: string | null};
  readonly depths: Depths;
  readonly data: {readonly name: string};
  readonly exit: ExitPlan;
  readonly device: string;
  readonly threads: number | null;
}

/** Rows that were skipped: no row of the data set at all, or one that could not be answered. */
export interface BadRows {
  readonly unreadable: number;
  readonly failed: number;
}

/** metrics.json. Means are over rows; null without any. */
export interface EvaluationMetrics {
  readonly task: DatasetTask;
  readonly n: number;
  /** Rows that the data says something about; only where it is not all of them. */
  readonly labelled?: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** Entailment: [label][answer]. */
  readonly confusion?: {readonly classes: readonly string[]; readonly counts: readonly (readonly number[])[]};
  /** Oddities of the data that the scores depend on; only where there are some. */
  readonly notes?: readonly string[];
  readonly layers: Readonly<Partial<Record<StackName, number>>>;
  readonly depths: Depths;
  /** Fraction of the layers saved, 1 − Σ (encoder + decoder) / Σ depths, as `countLayers` counts them. */
  readonly etr: number | null;
  readonly macs: {readonly run: number | null; readonly full: number | null};
  readonly model: EvaluationSetup['model'];
  readonly data: EvaluationSetup['data'];
  readonly device: string;
  readonly threads: number | null;
  readonly exit: ExitPlan;
  readonly bad: BadRows;
  /** Milliseconds of a row, each as if it were alone: median, 90 % quantile, mean. */
  readonly ms: {readonly p50: number | null; readonly p90: number | null; readonly mean: number | null};
  /** Time of the rows, everything included but loading the model; the sum over processes. */
  readonly seconds: number;
  /** Fractions of that time: reading pictures, all else but the model, and both. */
  readonly overhead: {readonly pictures: number | null; readonly rest: number | null; readonly total: number | null};
}

/** Sums up the rows of a run. The parts that are times come last, so that runs can be compared without them. */
export function evaluationMetrics(
  rows: readonly EvaluationRow[],
  setup: EvaluationSetup,
  bad: BadRows,
): EvaluationMetrics {
  const {task, model, depths, data, exit, device, threads} = setup;
  const labelled = rows.filter((row) => isLabelled(row, task));
  const notes = dataNotes(task, rows, labelled);
  const macs = (key: keyof Macs): number | null => meanOrNull(rows.map((row) => row.macs[key]));
  const totals = Float64Array.from(rows, (row) => row.ms.total).sort();
  const quantileMs = (fraction: number): number | null =>
    totals.length === 0 ? null : round(quantile(totals, fraction), 3);
  const sum = (of: (ms: EvaluationRow['ms']) => number): number => rows.reduce((all, {ms}) => all + of(ms), 0);
  const wall = sum((ms) => ms.wall);
  // Rows that share a picture each count its decoding, but it was done once.
  const decoding = rows.reduce(
    (all, {image_id, ms}, i) => (i > 0 && rows[i - 1]!.image_id === image_id ? all : all + ms.image),
    0,
  );
  const pictures = decoding + sum((ms) => ms.preprocess);
  const outside = wall - sum((ms) => ms.encode + ms.decode);
  const share = (time: number): number | null => (wall > 0 ? round(time / wall, 5) : null);
  return {
    task,
    n: rows.length,
    labelled: labelled.length === rows.length ? undefined : labelled.length,
    ...taskMetrics(task, labelled),
    notes: notes.length > 0 ? notes : undefined,
    layers: meanRowLayers(rows, depths),
    depths,
    etr: rows.length === 0 ? null : layersSaved(rows, depths),
    macs: {run: macs('run'), full: macs('full')},
    model,
    data,
    device,
    threads,
    exit,
    bad,
    ms: {p50: quantileMs(0.5), p90: quantileMs(0.9), mean: meanOrNull(totals)},
    seconds: round(wall / 1e3, 3),
    overhead: {pictures: share(pictures), rest: share(outside - pictures), total: share(outside)},
  };
}

/** Whether the data holds what the answer should be. */
export function isLabelled(row: EvaluationRow, task: DatasetTask): boolean {
  return task === 'caption' ? row.references !== undefined : row.correct !== undefined;
}

/** Layers of a row as they are counted, on both sides; a stack that did not run counts with its whole depth. */
export function countedLayers(row: EvaluationRow, depths: Depths): LayersRun {
  return countLayers((stack) => rowLayers(row, stack) ?? depths[stack] ?? 0, Object.keys(depths) as StackName[]);
}

/** Layers of the whole depth as they are counted, on both sides. */
export function countedDepth(depths: Depths): LayersRun {
  return countLayers((stack) => depths[stack] ?? 0, Object.keys(depths) as StackName[]);
}

function layersSaved(rows: readonly EvaluationRow[], depths: Depths): number {
  return expectedTimeReduction(
    rows.map((row) => countedLayers(row, depths)),
    countedDepth(depths),
  );
}

function meanRowLayers(rows: readonly EvaluationRow[], depths: Depths): EvaluationMetrics['layers'] {
  const stacks = (Object.keys(depths) as StackName[]).map((stack) => {
    const runs = rows.map((row) => rowLayers(row, stack)).filter((run) => run !== undefined);
    return [stack, meanOrNull(runs)] as const;
  });
  return Object.fromEntries(stacks.filter(([, layers]) => layers !== null));
}

function taskMetrics(
  task: DatasetTask,
  rows: readonly EvaluationRow[],
): Pick<EvaluationMetrics, 'metrics' | 'confusion'> {
  if (rows.length === 0) return {metrics: {}};
  const answers = rows.map(({answer}) => answer);
  if (task === 'caption')
    return {metrics: new CaptionScorer(rows.map(({references}) => references ?? [])).score(answers).metrics};
  if (task === 'vqa') return {metrics: {accuracy: mean(rows.map(({correct}) => correct!))}};
  const {
    accuracy: share,
    classes,
    confusion,
  } = accuracy(
    rows.map(({label}) => label!),
    answers,
    ['yes', 'no', 'maybe'],
  );
  return {metrics: {accuracy: share}, confusion: {classes, counts: confusion}};
}

function meanOrNull(values: ArrayLike<number>): number | null {
  return values.length === 0 ? null : mean(values);
}

function round(x: number, digits: number): number {
  return Number(x.toFixed(digits));
}
