import path from 'node:path';
import type {EvaluationMetrics} from '../../evaluation/metrics.js';
import {inShard, type Shard} from '../../evaluation/shard.js';
import type {Dataset, OnBadRow} from '../../data/dataset.js';
import type {ExitPlan} from '../../exit/plan/schema.js';
import {countRows, dataFingerprint} from '../../node/dataset/fingerprint.js';
import {evaluateInto, type Progress} from '../../node/runs/evaluate-into.js';
import {type BadRowRecord, makeFolder} from '../../node/runs/evaluation-folder.js';
import {type DecodeOptions, decodeImage} from '../../node/picture/decode.js';
import {SHIPPED_MODEL} from '../../node/model/load-model.js';
import {openDataset} from '../../node/dataset/open.js';
import type {RunFile} from '../../node/runs/run-file.js';
import {UsageError} from '../../runtime/errors.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {CommandContext} from '../core/define-command.js';
import type {EvaluateFlags} from './evaluate.js';
import {parseExitOptions} from '../options/exit.js';
import {generateOptions} from '../options/generation.js';
import {loadFrom} from '../options/model.js';
import {readAnswers} from '../core/read-answers.js';
import {readPicture} from '../core/read-picture.js';

export interface ShardContext extends CommandContext {
  readonly onProgress: (progress: Progress) => void;
}

/** Evaluates one shard into a folder of its own, going on with what is there. */
export async function evaluateShard(
  flags: EvaluateFlags,
  folder: string,
  shard: Shard,
  context: ShardContext,
): Promise<EvaluationMetrics> {
  const {out, signal, onProgress} = context;
  const {task} = flags;
  // What can be found wrong without the model is found before it is loaded.
  parseExitOptions(flags, task);
  const answers = flags.answers === undefined ? undefined : readAnswers(flags.answers);
  const {columns, images, split} = flags;
  const open = (onBadRow?: OnBadRow): Dataset => openDataset(flags.data, {task, columns, images, split, onBadRow});
  open();
  const data = await dataFingerprint(flags.data, signal);
  const rowsInFile = await countRows(flags.data);
  // Found before the minutes that a large model takes to load.
  makeFolder(folder);
  const {mue} = await loadFrom(flags, out);
  using model = mue;
  const exit = exitPlan(flags, mue);
  const batch = batchOf(flags, mue, exit);
  const run: RunFile = {
    version: 1,
    task,
    model: {name: path.basename(path.resolve(flags.model ?? SHIPPED_MODEL)), sha256: mue.sha256 ?? null},
    depths: mue.model.stacks,
    data,
    exit,
    device: mue.runsOn?.device ?? flags.device,
    threads: threadsOf(mue),
    options: rowOptions(flags, batch),
    shard,
  };
  return await evaluateInto(folder, {
    run,
    openDataset: open,
    rowsInFile,
    answerer: model,
    generation: generateOptions(flags),
    answers,
    premise: model.readsPremise,
    readPicture: async (source) =>
      await decodeImage('bytes' in source ? source.bytes : await readPicture(source.path), decoding(flags)),
    batch,
    warmup: flags.warmup,
    signal,
    onProgress,
    onBad: (row) => {
      // Every shard meets a line that is no row; one of them says so.
      if (row.index !== undefined || inShard(row.line, shard)) out.warn(badRowText(row));
    },
  });
}

function badRowText({line, id, message}: BadRowRecord): string {
  return `row skipped: ${id === undefined ? '' : `line ${line} (${id}): `}${message}`;
}

function decoding({exif, maxPixels}: EvaluateFlags): DecodeOptions {
  return {exif, ...(maxPixels === undefined ? {} : {maxPixels})};
}

/** The plan that the options come to, with thresholds and all. */
function exitPlan(flags: EvaluateFlags, mue: VisionLanguagePipeline): ExitPlan {
  // Policies in code have no command line.
  return mue.resolveExits(flags.task, parseExitOptions(flags, flags.task)).plan!;
}

/** Options that change what rows say. Where pictures lie is not one of them. */
function rowOptions(flags: EvaluateFlags, batch: number): RunFile['options'] {
  const {exif, maxPixels, columns, split, limit, trace, tf32, answers} = flags;
  const all = {
    ...generateOptions(flags),
    exif,
    maxPixels,
    columns,
    split,
    limit,
    trace,
    tf32,
    answers: answers && path.basename(answers),
    batch: batch > 1 ? batch : undefined,
  };
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string | number | boolean] => entry[1] !== undefined),
  );
}

/** Rows of a batch where nothing is said: on a GPU a batch costs hardly more than one. */
const CUDA_BATCH = 16;

/** @throws UsageError `batch-reference` */
function batchOf({batch}: EvaluateFlags, {runsOn}: VisionLanguagePipeline, {mode}: ExitPlan): number {
  if (mode !== 'reference') return batch ?? (runsOn?.device === 'cuda' ? CUDA_BATCH : 1);
  if (batch === undefined || batch === 1) return 1;
  throw new UsageError(
    'batch-reference',
    `--batch ${batch}: in reference mode one picture at a time decides, as in the authors' scripts`,
    {
      hint: 'Leave --batch out, or use --mode corrected.',
    },
  );
}

function threadsOf({runsOn}: VisionLanguagePipeline): number | null {
  const threads = runsOn && 'threads' in runsOn ? runsOn.threads : undefined;
  return typeof threads === 'number' ? threads : null;
}
