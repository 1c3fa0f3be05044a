import path from 'node:path';
import {type EvaluationOptions, evaluate} from '../../evaluation/evaluate.js';
import type {EvaluationMetrics} from '../../evaluation/metrics.js';
import type {EvaluationRow} from '../../evaluation/row.js';
import type {Dataset, OnBadRow} from '../../data/dataset.js';
import {InputError} from '../../runtime/errors.js';
import {type BadRowRecord, finishEvaluation, makeFolder, PREDICTIONS, reopenEvaluation} from './evaluation-folder.js';
import {PredictionsFile} from './predictions-file.js';
import {claimFolder, type RunFile} from './run-file.js';
import {WriterLock} from './writer-lock.js';
import {append} from '../../runtime/extremes.js';

/** The progress of a run. */
export interface Progress {
  /** The number of rows answered, now and before. */
  readonly done: number;
  /** The number of rows that were there before. */
  readonly before: number;
  readonly failed: number;
  /** The number of rows that there will be, about; undefined where that is not known. */
  readonly total?: number;
}

export interface EvaluateIntoOptions
  extends Omit<EvaluationOptions, 'task' | 'exit' | 'shard' | 'done' | 'trace' | 'limit' | 'onRow' | 'onFailed'> {
  /** The settings; task, exit plan and shard are taken from here. */
  readonly run: RunFile;
  readonly openDataset: (onBadRow: OnBadRow) => Dataset;
  /** The number of rows of the whole data set, about. */
  readonly rowsInFile?: number;
  /** Called for every row that is skipped, with the hint of its error. */
  readonly onBad: (row: BadRowRecord, hint?: string) => void;
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * Evaluates into a folder, going on where an earlier run stopped. Killed at any moment and run again, it ends with the
 * same files but for times.
 * @throws UsageError `run-differs` if the folder holds another run
 * @throws InputError `folder-in-use` if another process writes there; `dataset-empty`, `cannot-write`,
 *   `predictions-corrupt`
 */
export async function evaluateInto(folder: string, options: EvaluateIntoOptions): Promise<EvaluationMetrics> {
  const {run, rowsInFile, onBad, onProgress} = options;
  const {shard} = run;
  const {limit, trace} = run.options as {readonly limit?: number; readonly trace?: boolean};
  makeFolder(folder);
  using _lock = WriterLock.take(folder);
  claimFolder(folder, run);
  reopenEvaluation(folder);
  const total = rowsInFile === undefined ? limit : Math.min(rowsInFile, limit ?? rowsInFile);
  const ours = total === undefined ? undefined : Math.max(0, Math.ceil((total - shard.index) / shard.count));
  const all: EvaluationRow[] = [];
  const bad: BadRowRecord[] = [];
  let before = 0;
  let rows = 0;
  {
    using predictions = await PredictionsFile.open(path.join(folder, PREDICTIONS));
    append(all, predictions.rows);
    before = all.length;
    report();
    ({rows} = await evaluate(
      options.openDataset(({line, error}) => skip({line, code: error.code, message: error.message}, error.hint)),
      {
        ...options,
        task: run.task,
        exit: run.exit,
        shard,
        limit,
        trace,
        done: new Map(all.map(({index, id}) => [index, id])),
        onRow: (row) => {
          predictions.append(row);
          all.push(row);
          report();
        },
        onFailed: ({line, id}, index, {code, message, hint}) => skip({line, index, id, code, message}, hint),
      },
    ));
  }
  checkRows(folder, all, rows, run);
  if (rows === 0 && bad.length === 0) throw new InputError('dataset-empty', `${run.data.name}: there is no row in it`);
  return finishEvaluation(folder, run, all, bad);

  function skip(row: BadRowRecord, hint?: string): void {
    bad.push(row);
    onBad(row, hint);
    report();
  }

  function report(): void {
    onProgress?.({done: all.length, before, failed: bad.length, total: ours});
  }
}

/** Checks that the rows that were there before are rows of this shard. */
function checkRows(folder: string, all: readonly EvaluationRow[], rows: number, {shard}: RunFile): void {
  const stray = all.find(({index}) => index >= rows || index % shard.count !== shard.index);
  if (stray === undefined) return;
  throw new InputError(
    'predictions-corrupt',
    `${folder}: row ${stray.index} ('${stray.id}') does not belong to this run`,
    {
      hint: 'Delete its line in predictions.jsonl, or evaluate into another folder.',
    },
  );
}
