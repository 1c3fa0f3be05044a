import path from 'node:path';
import type {Dataset, OnBadRow} from '../../data/dataset.js';
import type {EvaluationMetrics} from '../../evaluation/metrics.js';
import {inShard, type Shard} from '../../evaluation/shard.js';
import type {ExitPlan} from '../../exit/plan/schema.js';
import {countRows, dataFingerprint} from '../../node/dataset/fingerprint.js';
import {openDataset} from '../../node/dataset/open.js';
import {SHIPPED_MODEL} from '../../node/model/load-model.js';
import {decodeImage} from '../../node/picture/decode.js';
import {evaluateInto, type Progress} from '../../node/runs/evaluate-into.js';
import {type BadRowRecord, makeFolder} from '../../node/runs/evaluation-folder.js';
import type {RunFile} from '../../node/runs/run-file.js';
import type {VisionLanguageModel} from '../../models/model.js';
import {UsageError} from '../../runtime/errors.js';
import type {VisionLanguagePipeline} from '../../tasks/pipeline.js';
import type {CommandContext} from '../core/define-command.js';
import {readRowPicture} from '../../node/files/read-picture.js';
import {Hints, readAnswers} from '../core/inputs.js';
import type {DatasetOptions} from '../options/dataset.js';
import type {PlanChoice} from '../options/exit.js';
import type {PlainGenerateOptions} from '../options/generation.js';
import {type ModelChoice, openModel} from '../options/model.js';

/** A shard of an evaluation, as plain data that can be sent to another process. */
export interface ShardJob {
  readonly task: 'caption' | 'snli-ve' | 'vqa';
  /** File or folder of the data set. */
  readonly data: string;
  /** How the data set is read. */
  readonly dataset: DatasetOptions & {readonly annotations?: string};
  /** Only the first rows. */
  readonly limit?: number;
  /** vqa: file of the allowed answers. */
  readonly answers?: string;
  readonly model: ModelChoice;
  readonly exit: PlanChoice;
  readonly generation: PlainGenerateOptions;
  /** Rows answered together; default: what suits the device. */
  readonly batch?: number;
  /** Answers of the first row that do not count. */
  readonly warmup: number;
  /** Keep what was measured at every layer. */
  readonly trace?: boolean;
  readonly shard: Shard;
  /** Where the files of the shard go. */
  readonly folder: string;
}

/** Output and signal of the process that evaluates a shard. */
export interface ShardContext extends CommandContext {
  readonly onProgress: (progress: Progress) => void;
}

/** Evaluates one shard into its folder, going on with what is there. */
export async function evaluateShard(
  job: ShardJob,
  {out, signal, onProgress}: ShardContext,
): Promise<EvaluationMetrics> {
  const {task, shard, folder, generation} = job;
  // Wrong inputs are found before the model is loaded.
  const answers = job.answers === undefined ? undefined : readAnswers(job.answers);
  const open = (onBadRow?: OnBadRow): Dataset => openDataset(job.data, {task, ...job.dataset, onBadRow});
  open();
  const data = await dataFingerprint(job.data, signal);
  const rowsInFile = await countRows(job.data);
  makeFolder(folder);
  const {model: opened, device} = await openModel(job.model, out, signal);
  using model = opened;
  // Command lines have no policies in code: there is a plan.
  const exit = model.resolveExits(task, job.exit).plan!;
  const batch = batchOf(job, model, exit);
  const hints = new Hints(out);
  const {exif, maxPixels} = job.model.load;
  const run: RunFile = {
    version: 1,
    task,
    model: {name: path.basename(path.resolve(job.model.folder ?? SHIPPED_MODEL)), sha256: model.sha256 ?? null},
    depths: depthsWith(model.model, exit),
    data,
    exit,
    device,
    threads: threadsOf(model),
    options: rowOptions(job, batch),
    shard,
  };
  return await evaluateInto(folder, {
    run,
    openDataset: open,
    rowsInFile,
    answerer: model,
    generation,
    answers,
    premise: model.readsPremise,
    readPicture: async (source) => await decodeImage(readRowPicture(source), {exif, maxPixels, signal}),
    batch,
    warmup: job.warmup,
    signal,
    onProgress,
    onBad: (row, hint) => {
      // Every shard meets a line that is no row; one of them says so.
      if (row.index === undefined && !inShard(row.line, shard)) return;
      out.warn(badRowText(row));
      hints.say({hint});
    },
  });
}

/** Depths of the stacks that a plan can leave early. */
function depthsWith({stacks, optionalStacks = {}}: VisionLanguageModel, exit: ExitPlan): RunFile['depths'] {
  const named = Object.entries(optionalStacks).filter(([stack]) => Object.hasOwn(exit.stacks, stack));
  return {...Object.fromEntries(named), ...stacks};
}

function badRowText({line, id, message}: BadRowRecord): string {
  return `row skipped: ${id === undefined ? '' : `line ${line} (${id}): `}${message}`;
}

/** Options that change what rows say. Where images lie is not one of them. */
function rowOptions({model, dataset, generation, limit, trace, answers}: ShardJob, batch: number): RunFile['options'] {
  const all = {
    ...generation,
    exif: model.load.exif,
    maxPixels: model.load.maxPixels,
    columns: dataset.columns,
    split: dataset.split,
    limit,
    trace,
    tf32: model.load.tf32,
    relaxed: model.load.relaxed === false ? false : undefined,
    functions: model.load.functions === false ? false : undefined,
    answers: answers && path.basename(answers),
    annotations: dataset.annotations && path.basename(dataset.annotations),
    batch: batch > 1 ? batch : undefined,
  };
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string | number | boolean] => entry[1] !== undefined),
  );
}

/** Rows of a batch where nothing is said: on a GPU a batch costs hardly more than one. */
const CUDA_BATCH = 16;

/** @throws UsageError `batch-reference` */
function batchOf({batch}: ShardJob, {runsOn}: VisionLanguagePipeline, {mode}: ExitPlan): number {
  if (mode !== 'reference') return batch ?? (runsOn?.device === 'cuda' ? CUDA_BATCH : 1);
  if (batch === undefined || batch === 1) return 1;
  throw new UsageError(
    'batch-reference',
    `--batch ${batch}: in reference mode one picture at a time decides, as in the authors' scripts`,
    {hint: 'Leave --batch out, or use --mode corrected.'},
  );
}

function threadsOf({runsOn}: VisionLanguagePipeline): number | null {
  const threads = runsOn && 'threads' in runsOn ? runsOn.threads : undefined;
  return typeof threads === 'number' ? threads : null;
}
