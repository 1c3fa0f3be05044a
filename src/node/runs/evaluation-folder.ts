import fs from 'node:fs';
import path from 'node:path';
import {type BadRows, type EvaluationMetrics, evaluationMetrics} from '../../evaluation/metrics.js';
import type {EvaluationRow} from '../../evaluation/row.js';
import {InputError} from '../../runtime/errors.js';
import {schemaName, withoutSchemaName} from '../../runtime/schema-name.js';
import {readPredictions, writePredictions} from './predictions-file.js';
import {readTextFile, whyUnreadable} from '../files/regular-file.js';
import {readRun, type RunFile} from './run-file.js';
import {cannotWrite, writeAtomic} from './write-atomic.js';
import {parseJson} from '../../runtime/parse-json.js';

/** A row that was skipped, as bad-rows.jsonl keeps it. */
export interface BadRowRecord {
  readonly line: number;
  /** Absent if the line is no row at all. */
  readonly index?: number;
  readonly id?: string;
  readonly code: string;
  readonly message: string;
}

export interface Evaluation {
  readonly run: RunFile;
  /** The answered rows, in the order of the data set. */
  readonly rows: readonly EvaluationRow[];
  readonly bad: readonly BadRowRecord[];
  /** Undefined while it is not finished. */
  readonly metrics: EvaluationMetrics | undefined;
}

export const PREDICTIONS = 'predictions.jsonl';
const BAD_ROWS = 'bad-rows.jsonl';
const METRICS = 'metrics.json';

/**
 * Makes the folder of a run.
 * @throws InputError `cannot-write`
 */
export function makeFolder(folder: string): void {
  try {
    fs.mkdirSync(folder, {recursive: true});
    fs.accessSync(folder, fs.constants.W_OK);
  } catch (error) {
    throw cannotWrite(folder, error);
  }
}

/**
 * Reads what a run wrote.
 * @throws InputError `run-missing`, `run-corrupt`, `predictions-corrupt`
 */
export async function readEvaluation(folder: string): Promise<Evaluation> {
  const run = readRun(folder);
  if (run === undefined)
    throw new InputError('run-missing', `${folder} is no folder of an evaluation: it has no run.json`, {
      hint: '`mue evaluate --out` writes one.',
    });
  const rows = (await readPredictions(path.join(folder, PREDICTIONS))).sort((a, b) => a.index - b.index);
  return {run, rows, bad: readBadRows(path.join(folder, BAD_ROWS)), metrics: readMetrics(path.join(folder, METRICS))};
}

/**
 * Removes metrics.json, which marks a run as finished, before the run goes on.
 * @throws InputError `cannot-write`
 */
export function reopenEvaluation(folder: string): void {
  try {
    fs.rmSync(path.join(folder, METRICS), {force: true});
  } catch (error) {
    throw cannotWrite(folder, error);
  }
}

/**
 * Writes the files that are complete only in the end: rows in order, results in COCO's format, skipped rows, and at
 * last metrics.json, which marks the run as finished.
 */
export function finishEvaluation(
  folder: string,
  run: RunFile,
  rows: readonly EvaluationRow[],
  bad: readonly BadRowRecord[],
): EvaluationMetrics {
  const sorted = rows.toSorted((a, b) => a.index - b.index);
  const skipped = bad.toSorted((a, b) => a.line - b.line || (a.index ?? -1) - (b.index ?? -1));
  const unreadable = bad.filter(({index}) => index === undefined).length;
  const counts: BadRows = {unreadable, failed: bad.length - unreadable};
  const metrics = evaluationMetrics(sorted, run, counts);
  writePredictions(path.join(folder, PREDICTIONS), sorted);
  const results = cocoResults(run, sorted);
  if (results) writeAtomic(path.join(folder, results.name), `${JSON.stringify(results.list)}\n`);
  if (skipped.length > 0)
    writeAtomic(
      path.join(folder, BAD_ROWS),
      skipped.map((row) => `${JSON.stringify(row)}\n`),
    );
  else fs.rmSync(path.join(folder, BAD_ROWS), {force: true});
  writeAtomic(path.join(folder, METRICS), `${JSON.stringify({$schema: schemaName('metrics'), ...metrics}, null, 2)}\n`);
  return metrics;
}

/**
 * The results in the format of the evaluation servers of COCO captions and VQA. A picture of several rows has the first
 * caption.
 */
function cocoResults(
  {task, data}: RunFile,
  rows: readonly EvaluationRow[],
): {name: string; list: readonly object[]} | undefined {
  const stem = data.name.replace(/\.gz$/i, '').replace(/\.(tsv|jsonl|ndjson|json)$/i, '');
  if (task === 'vqa')
    return {name: `vqa_${stem}_results.json`, list: rows.map(({id, answer}) => ({question_id: number(id), answer}))};
  if (task !== 'caption') return undefined;
  const captions = new Map<string, string>();
  for (const {image_id, answer} of rows) if (!captions.has(image_id)) captions.set(image_id, answer);
  return {
    name: `captions_${stem}_results.json`,
    list: [...captions].map(([id, caption]) => ({image_id: number(id), caption})),
  };
}

/** COCO's ids are numbers; others stay texts. */
function number(id: string): number | string {
  return /^(0|[1-9]\d{0,14})$/.test(id) ? Number(id) : id;
}

function readBadRows(file: string): BadRowRecord[] {
  if (!fs.existsSync(file)) return [];
  const lines = read(file)
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line, i) => parse(line, `${file}: line ${i + 1}`) as BadRowRecord);
}

function readMetrics(file: string): EvaluationMetrics | undefined {
  return fs.existsSync(file) ? (withoutSchemaName(parse(read(file), file)) as EvaluationMetrics) : undefined;
}

function read(file: string): string {
  try {
    return readTextFile(file);
  } catch (cause) {
    throw new InputError('run-corrupt', `${file}: ${whyUnreadable(cause)}`, {cause});
  }
}

function parse(text: string, what: string): unknown {
  try {
    return parseJson(text);
  } catch (cause) {
    throw new InputError('run-corrupt', `${what} is no JSON: ${(cause as Error).message}`, {cause});
  }
}
