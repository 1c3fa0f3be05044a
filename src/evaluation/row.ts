import {z} from 'zod';
import type {DatasetItem, DatasetTask} from '../data/dataset.js';
import {STACK_NAMES, type StackName} from '../exit/policy.js';
import type {Macs} from '../exit/trace.js';
import {type Answer, type EntailmentLabel, type LayersRun, meanLayers} from '../tasks/answer.js';

/** Milliseconds of one row. They come last in a row, and are all of it that differs between two runs. */
export interface RowMilliseconds {
  /** Reading and decoding the picture; rows that follow each other with one picture share one measurement, and each counts it. */
  readonly image: number;
  readonly preprocess: number;
  readonly encode: number;
  readonly decode: number;
  /** What the row alone takes: the sum of the four. */
  readonly total: number;
  /** From the end of the row before to the end of this one, whatever happened in between: their sum is the time of the run. */
  readonly wall: number;
}

/** A pass through a stack as `--trace` keeps it. */
export interface RowExit {
  readonly stack: StackName;
  readonly step?: number | undefined;
  readonly layer: number;
  readonly scores: readonly (number | null)[];
  readonly thresholds: readonly (number | null)[];
}

/** One line of predictions.jsonl. */
export interface EvaluationRow {
  /** Place among the readable rows of the data set, from 0; the same whatever the shard. */
  readonly index: number;
  readonly id: string;
  readonly image_id: string;
  readonly answer: string;
  /** Log-probability of the answer, as the search ranks it. */
  readonly score: number;
  /** Entailment: log-softmax over the three answers. */
  readonly scores?: Readonly<Record<EntailmentLabel, number>> | undefined;
  readonly label?: EntailmentLabel | undefined;
  readonly references?: readonly string[] | undefined;
  /** Accepted answers and the confidence of each. */
  readonly answers?: readonly (readonly [string, number])[] | undefined;
  /** Entailment: 1 or 0; a question: the confidence of the answer. Absent where the data says nothing. */
  readonly correct?: number | undefined;
  /** Layers that ran; in a decoder that writes, one number a step. */
  readonly layers: Readonly<Partial<Record<StackName, number | readonly number[]>>>;
  readonly macs: Macs;
  /** Further fields of the data, such as a difficulty. */
  readonly extra?: Readonly<Record<string, unknown>> | undefined;
  readonly exits?: readonly RowExit[] | undefined;
  readonly ms: RowMilliseconds;
}

const count = z.number().int().nonnegative();
const layers = z.union([z.number().positive(), z.array(z.number().positive()).min(1)]);
const measured = z.array(z.number().nullable());

export const evaluationRowSchema: z.ZodType<EvaluationRow> = z.strictObject({
  index: count,
  id: z.string(),
  image_id: z.string(),
  answer: z.string(),
  score: z.number(),
  scores: z.strictObject({no: z.number(), yes: z.number(), maybe: z.number()}).optional(),
  label: z.enum(['no', 'yes', 'maybe']).optional(),
  references: z.array(z.string()).min(1).optional(),
  answers: z.array(z.tuple([z.string(), z.number()])).optional(),
  correct: z.number().optional(),
  layers: z.partialRecord(z.enum(STACK_NAMES), layers),
  macs: z.strictObject({run: z.number().nonnegative(), full: z.number().nonnegative()}),
  extra: z.record(z.string(), z.unknown()).optional(),
  exits: z
    .array(
      z.strictObject({
        stack: z.enum(STACK_NAMES),
        step: count.optional(),
        layer: count,
        scores: measured,
        thresholds: measured,
      }),
    )
    .optional(),
  ms: z.strictObject({
    image: z.number(),
    preprocess: z.number(),
    encode: z.number(),
    decode: z.number(),
    total: z.number(),
    wall: z.number(),
  }),
}) as unknown as z.ZodType<EvaluationRow>;

/** What a row's answer is put beside. */
export interface RowContext {
  readonly task: DatasetTask;
  readonly index: number;
  /** Keep what was measured at every layer. */
  readonly trace: boolean;
  /** Milliseconds of the picture, and since the row before. */
  readonly image: number;
  readonly wall: number;
}

/** The row of one answer; keys in the order of the file. */
export function evaluationRow(
  item: DatasetItem,
  answer: Answer,
  {task, index, trace, image, wall}: RowContext,
): EvaluationRow {
  const {label, references, answers, extra} = item;
  const {preprocess, encode, decode} = answer.ms;
  const scores = 'scores' in answer ? (answer.scores as Readonly<Record<EntailmentLabel, number>>) : undefined;
  const correct = correctness(item, task, answer.text);
  return {
    index,
    id: item.id,
    image_id: item.imageId,
    answer: answer.text,
    score: answer.score,
    ...(scores ? {scores: {no: scores.no, yes: scores.yes, maybe: scores.maybe}} : {}),
    ...(label === undefined ? {} : {label}),
    ...(references?.length ? {references} : {}),
    ...(answers ? {answers: [...answers]} : {}),
    ...(correct === undefined ? {} : {correct}),
    layers: Object.fromEntries(Object.entries(answer.layers).map(([stack, {run}]) => [stack, run])),
    macs: {run: answer.macs.run, full: answer.macs.full},
    ...(extra ? {extra} : {}),
    ...(trace ? {exits: answer.trace.map(rowExit)} : {}),
    ms: rounded({image, preprocess, encode, decode, total: image + preprocess + encode + decode, wall}),
  };
}

/** Mean layers that a row ran in a stack; undefined if the stack did not run. */
export function rowLayers(row: EvaluationRow, stack: StackName): number | undefined {
  const run = row.layers[stack];
  return run === undefined ? undefined : meanLayers({run, of: 0} satisfies LayersRun);
}

/** Worth of an answer: 1 or 0, or the confidence of an accepted answer to a question; undefined where the data says nothing. */
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
    ...(step === undefined ? {} : {step}),
    layer: exitLayer,
    scores: scores.map(finite),
    thresholds: thresholds.map(finite),
  };
}

/** JSON knows no NaN: what could not be measured is null. */
function finite(x: number | null): number | null {
  return x === null || !Number.isFinite(x) ? null : x;
}

/** Microseconds are enough. */
function rounded(times: RowMilliseconds): RowMilliseconds {
  return Object.fromEntries(
    Object.entries(times).map(([name, ms]) => [name, Math.round(ms * 1e3) / 1e3]),
  ) as unknown as RowMilliseconds;
}
