import {z} from 'zod';
import type {DatasetItem, DatasetTask} from '../data/dataset.js';
import {STACK_NAMES, type StackName} from '../exit/policy.js';
import {type Answer, type Entailment, meanLayers} from '../tasks/answer.js';

const count = z.number().int().nonnegative();
const stackName = z.enum(STACK_NAMES);
const layers = z.number().nonnegative();
const measured = z.array(z.number().nullable()).readonly();

const exitSchema = z
  .strictObject({
    stack: stackName,
    /** Decoding step, from 0; absent in an encoder and in scoring. */
    step: count.optional(),
    layer: count,
    /** Score and threshold after each layer; null where nothing was measured. */
    scores: measured,
    thresholds: measured,
  })
  .readonly();

const millisecondsSchema = z
  .strictObject({
    /** Reading and decoding the picture; successive rows with one picture share one measurement, and each counts it. */
    image: z.number(),
    preprocess: z.number(),
    encode: z.number(),
    decode: z.number(),
    /** Time of the row alone: the sum of the four. */
    total: z.number(),
    /** From the end of the row before to the end of this one, with all in between: their sum is the run's time. */
    wall: z.number(),
  })
  .readonly();

export const evaluationRowSchema = z
  .strictObject({
    /** Place among the readable rows of the data set, from 0, whatever the shard. */
    index: count,
    id: z.string(),
    image_id: z.string(),
    answer: z.string(),
    /** Log-probability of the answer, as the search ranks it. */
    score: z.number(),
    /** Entailment: log-softmax over the three answers. */
    scores: z.strictObject({no: z.number(), yes: z.number(), maybe: z.number()}).readonly().optional(),
    label: z.enum(['no', 'yes', 'maybe']).optional(),
    references: z.array(z.string()).min(1).readonly().optional(),
    /** Accepted answers and the confidence of each. */
    answers: z
      .array(z.tuple([z.string(), z.number()]).readonly())
      .readonly()
      .optional(),
    /** Entailment: 1 or 0; a question: the confidence of the answer. Absent where the data says nothing. */
    correct: z.number().optional(),
    /** Layers that ran in each stack; in one that runs for every token, a number for each step. */
    layers: z.partialRecord(stackName, z.union([layers, z.array(layers).min(1).readonly()])).readonly(),
    /** Multiply-accumulates. */
    macs: z.strictObject({run: z.number().nonnegative(), full: z.number().nonnegative()}).readonly(),
    /** Further fields of the data, such as a difficulty. */
    extra: z.record(z.string(), z.unknown()).readonly().optional(),
    /** Passes through stacks, with --trace. */
    exits: z.array(exitSchema).readonly().optional(),
    /** Last in a row: all of it that differs between two runs. */
    ms: millisecondsSchema,
  })
  .readonly();

/** A line of predictions.jsonl. */
export type EvaluationRow = z.infer<typeof evaluationRowSchema>;
type RowExit = z.infer<typeof exitSchema>;

/** Circumstances of a row's answer. */
export interface RowContext {
  readonly task: DatasetTask;
  readonly index: number;
  /** Keep the passes through the stacks, layer by layer. */
  readonly trace: boolean;
  /** Milliseconds of the picture, and since the row before. */
  readonly image: number;
  readonly wall: number;
}

/** The row of one answer; keys in the order of the file. */
export function evaluationRow(
  item: DatasetItem,
  answer: Answer | Entailment,
  {task, index, trace, image, wall}: RowContext,
): EvaluationRow {
  const {label, references, answers, extra} = item;
  const {preprocess, encode, decode} = answer.ms;
  const scores = 'scores' in answer ? answer.scores : undefined;
  return {
    index,
    id: item.id,
    image_id: item.imageId,
    answer: answer.text,
    score: answer.score,
    scores: scores && {no: scores.no, yes: scores.yes, maybe: scores.maybe},
    label,
    references: references?.length ? references : undefined,
    answers: answers && [...answers],
    correct: correctness(item, task, answer.text),
    layers: Object.fromEntries(Object.entries(answer.layers).map(([stack, {run}]) => [stack, run])),
    macs: {run: answer.macs.run, full: answer.macs.full},
    extra,
    exits: trace ? answer.trace.map(rowExit) : undefined,
    ms: {
      image: microseconds(image),
      preprocess: microseconds(preprocess),
      encode: microseconds(encode),
      decode: microseconds(decode),
      total: microseconds(image + preprocess + encode + decode),
      wall: microseconds(wall),
    },
  };
}

/** Mean layers that a row ran in a stack; undefined if the stack did not run. */
export function rowLayers(row: EvaluationRow, stack: StackName): number | undefined {
  const run = row.layers[stack];
  return run === undefined ? undefined : meanLayers({run, of: 0});
}

/** Worth of an answer: 1, 0, or the confidence of an accepted answer to a question; undefined without a label. */
export function correctness(
  {label, answers}: Pick<DatasetItem, 'label' | 'answers'>,
  task: DatasetTask,
  text: string,
): number | undefined {
  if (task === 'snli-ve') return label === undefined ? undefined : Number(text === label);
  return task === 'vqa' ? answers && (answers.get(text) ?? 0) : undefined;
}

function rowExit({stack, step, exitLayer, scores, thresholds}: Answer['trace'][number]): RowExit {
  return {
    stack,
    step,
    layer: exitLayer,
    scores: scores.map(finite),
    thresholds: thresholds.map(finite),
  };
}

/** JSON has no NaN: a number that could not be measured is null. */
function finite(x: number | null): number | null {
  return x === null || !Number.isFinite(x) ? null : x;
}

/** Milliseconds to the microsecond. */
function microseconds(ms: number): number {
  return Math.round(ms * 1e3) / 1e3;
}
