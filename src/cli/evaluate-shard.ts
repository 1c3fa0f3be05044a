import path from 'node:path';
import {evaluate} from '../calibration/evaluation.js';
import type {EvaluationMetrics} from '../calibration/evaluation-metrics.js';
import type {EvaluationRow} from '../calibration/evaluation-row.js';
import {inShard, type Shard} from '../calibration/shard.js';
import {type ExitPlan, NEVER_PLAN, releasePlan} from '../exit/plan.js';
import {countRows, dataFingerprint} from '../node/data-fingerprint.js';
import {type BadRowRecord, finishEvaluation, makeFolder, PREDICTIONS, reopenEvaluation} from '../node/evaluation-folder.js';
import {decodeImage} from '../node/image-decoder.js';
import {SHIPPED_MODEL} from '../node/load-model.js';
import {openDataset} from '../node/open-dataset.js';
import {PredictionsFile} from '../node/predictions-file.js';
import {claimFolder, type RunFile} from '../node/run-file.js';
import {InputError, type MueError} from '../runtime/errors.js';
import type {Mue} from '../tasks/mue.js';
import type {CommandContext} from './command.js';
import type {EvaluateFlags} from './evaluate.js';
import {exitChoice} from './exit-choice.js';
import {generateOptions} from './generation-options.js';
import {loadFrom} from './load.js';
import {readAnswers} from './read-answers.js';
import {readPicture} from './read-picture.js';

/** How far a shard is. */
export interface Progress {
  /** Rows answered, now and before. */
  readonly done: number;
  /** Those that were there before. */
  readonly before: number;
  readonly failed: number;
  /** About how many there will be; undefined where that is not known. */
  readonly total?: number | undefined;
}

export interface ShardContext extends CommandContext {
  readonly onProgress: (progress: Progress) => void;
}

/** Evaluates one shard into a folder of its own, going on with what is there. */
export async function evaluateShard(flags: EvaluateFlags, folder: string, shard: Shard, context: ShardContext): Promise<EvaluationMetrics> {
  const {out, signal, onProgress} = context;
  const {task, limit} = flags;
  // What can be found wrong without the model is found before it is loaded.
  exitChoice(flags, task);
  const answers = flags.answers === undefined ? undefined : readAnswers(flags.answers);
  const bad: BadRowRecord[] = [];
  const onBadRow = ({line, error}: {readonly line: number; readonly error: MueError}): void => {
    bad.push({line, code: error.code, message: error.message});
    // Every shard meets it; one of them says so.
    if (inShard(line, shard)) out.warn(`row skipped: ${error.message}`);
    report();
  };
  const dataset = openDataset(flags.data, {task, images: flags.images, columns: flags.columns, split: flags.split, onBadRow});
  const data = await dataFingerprint(flags.data, signal);
  const rowsInFile = await countRows(flags.data);
  makeFolder(folder);
  const {mue} = await loadFrom(flags, out);
  using model = mue;
  const exit = exitPlan(flags, mue);
  mue.exits(task, exit);
  const run: RunFile = {
    version: 1,
    task,
    model: {name: path.basename(path.resolve(flags.model ?? SHIPPED_MODEL)), sha256: mue.sha256 ?? null},
    depths: mue.model.stacks,
    data,
    exit,
    device: mue.runsOn?.device ?? flags.device,
    threads: threadsOf(mue),
    options: rowOptions(flags),
    shard,
  };
  claimFolder(folder, run);
  reopenEvaluation(folder);
  const total = rowsInFile === undefined ? limit : Math.min(rowsInFile, limit ?? rowsInFile);
  const ours = total === undefined ? undefined : Math.max(0, Math.ceil((total - shard.index) / shard.count));
  const all: EvaluationRow[] = [];
  let before = 0;
  let rows = 0;
  {
    using predictions = await PredictionsFile.open(path.join(folder, PREDICTIONS));
    all.push(...predictions.rows);
    before = all.length;
    if (before > 0) out.say(`${folder}: ${before} rows are there already`);
    report();
    ({rows} = await evaluate(dataset, {
      task,
      answerer: model,
      exit,
      generation: generateOptions(flags),
      answers,
      premise: model.model.config.add_caption,
      readPicture: async (source) =>
        await decodeImage('bytes' in source ? source.bytes : await readPicture(source.path), {
          ...(flags.maxPixels === undefined ? {} : {maxPixels: flags.maxPixels}),
          exif: flags.exif,
        }),
      limit,
      shard,
      done: new Map(all.map(({index, id}) => [index, id])),
      warmup: flags.warmup,
      trace: flags.trace ?? false,
      signal,
      onRow: (row) => {
        predictions.append(row);
        all.push(row);
        report();
      },
      onFailed: ({line, id}, index, error) => {
        bad.push({line, index, id, code: error.code, message: error.message});
        out.warn(`row skipped: line ${line} (${id}): ${error.message}`);
        report();
      },
    }));
  }
  if (rows === 0 && bad.length === 0) throw new InputError('dataset-empty', `${flags.data}: there is no row in it`);
  return finishEvaluation(folder, run, all, bad);

  function report(): void {
    onProgress({done: all.length, before, failed: bad.length, total: ours});
  }
}

/** The plan that the options come to, with thresholds and all. */
function exitPlan(flags: EvaluateFlags, {plans}: Mue): ExitPlan {
  const choice = exitChoice(flags, flags.task, plans);
  if (choice === 'never') return NEVER_PLAN;
  if (choice === 'release') return releasePlan(flags.task);
  // Policies in code have no command line.
  return choice === 'model' ? (plans?.plans[flags.task] ?? NEVER_PLAN) : (choice as ExitPlan);
}

/** Options that change what rows say. Where pictures lie is not one of them. */
function rowOptions(flags: EvaluateFlags): RunFile['options'] {
  const {exif, maxPixels, columns, split, limit, trace, tf32, answers} = flags;
  const all = {...generateOptions(flags), exif, maxPixels, columns, split, limit, trace, tf32, answers: answers && path.basename(answers)};
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string | number | boolean] => entry[1] !== undefined));
}

function threadsOf({runsOn}: Mue): number | null {
  const threads = runsOn && 'threads' in runsOn ? runsOn.threads : undefined;
  return typeof threads === 'number' ? threads : null;
}
