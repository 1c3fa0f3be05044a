import fs from 'node:fs';
import path from 'node:path';
import {evaluationMetrics} from '../../evaluation/metrics.js';
import type {ReportInputs} from '../../report/points.js';
import {parseSweep} from '../../calibration/sweep/file.js';
import {parsePlan} from '../../exit/plan/schema.js';
import {InputError} from '../../runtime/errors.js';
import {parseTrainingLog, type TrainingCurves} from '../../report/training.js';
import {readEvaluation} from './evaluation-folder.js';
import {readRowLog} from './row-log.js';
import {folderEntries} from '../dataset/open.js';
import {namedEntry, readTextFile, whyUnreadable} from '../files/regular-file.js';
import {parseJson} from '../../runtime/parse-json.js';

interface Found {
  evaluations: ReportInputs['evaluations'][number][];
  sweeps: ReportInputs['sweeps'][number][];
  plans: ReportInputs['plans'][number][];
  trainings: TrainingCurves[];
}

const KINDS =
  'a folder of `mue evaluate` or `mue train` (run.json), of `mue sweep` (sweep.json), a plan.json, or a folder that holds such folders';

/**
 * Reads evaluations, sweeps, plans and trainings, told apart by their files.
 * @throws InputError `report-input-missing`, `report-input-unknown`, `evaluation-unfinished`, and those of damaged
 *   files
 */
export async function readReportInputs(inputs: readonly string[]): Promise<ReportInputs> {
  const found: Found = {evaluations: [], sweeps: [], plans: [], trainings: []};
  const names = new Set<string>();
  for (const input of inputs) {
    const entry = namedEntry(input);
    if (entry.kind === 'neither') throw new InputError('report-input-missing', `${input}: ${entry.why}`);
    if (entry.kind === 'file') readFile(input, found, names);
    else if (!(await readFolder(input, found, names))) {
      const inner = folderEntries(input)
        .filter((entry) => entry.isDirectory())
        .map((entry) => path.join(input, entry.name))
        .sort();
      let any = false;
      for (const folder of inner) any = (await readFolder(folder, found, names)) || any;
      if (!any)
        throw new InputError('report-input-unknown', `${input} has nothing to report`, {hint: `Wanted is ${KINDS}.`});
    }
  }
  return found;
}

/**
 * Adds the contents of one folder.
 * @returns whether there was anything to add
 */
async function readFolder(folder: string, found: Found, names: Set<string>): Promise<boolean> {
  const has = (name: string): boolean => fs.existsSync(path.join(folder, name));
  if (has('run.json') && isTraining(path.join(folder, 'run.json'))) {
    const name = unique(folder, names);
    const log = path.join(folder, 'log.jsonl');
    found.trainings.push(parseTrainingLog(fs.existsSync(log) ? readRowLog(log).rows : [], name));
    return true;
  }
  if (has('run.json')) {
    const {run, metrics, rows} = await readEvaluation(folder);
    if (metrics === undefined)
      throw new InputError(
        'evaluation-unfinished',
        `${folder}: the evaluation is not finished: it has no metrics.json`,
        {
          hint: 'Run the same `mue evaluate` again, or merge its shards with `mue merge`.',
        },
      );
    if (metrics.n !== rows.length)
      throw new InputError(
        'evaluation-damaged',
        `${folder}: metrics.json is of ${metrics.n} rows, but predictions.jsonl has ${rows.length}`,
      );
    // The metrics are computed again: only the presence and the count of metrics.json are trusted.
    found.evaluations.push({
      name: unique(folder, names),
      metrics: evaluationMetrics(rows, run, {unreadable: 0, failed: 0}),
      rows,
    });
  }
  for (const name of ['sweep.json', 'plan.json']) if (has(name)) readFile(path.join(folder, name), found, names);
  return has('run.json') || has('sweep.json') || has('plan.json');
}

/** Whether a run.json is of `mue train`; one that cannot be read is said to be damaged by whoever reads it next. */
function isTraining(file: string): boolean {
  try {
    return (JSON.parse(readTextFile(file)) as {format?: unknown} | null)?.format === 'mue-training-run';
  } catch {
    return false;
  }
}

function readFile(file: string, found: Found, names: Set<string>): void {
  let text: string;
  let json: unknown;
  try {
    text = readTextFile(file);
  } catch (cause) {
    throw new InputError('report-input-corrupt', `${file}: ${whyUnreadable(cause)}`, {cause});
  }
  try {
    json = parseJson(text);
  } catch (cause) {
    throw new InputError('report-input-corrupt', `${file} is no JSON: ${(cause as Error).message}`, {cause});
  }
  const record = typeof json === 'object' && json !== null ? json : {};
  const folder =
    path.basename(file) === 'sweep.json' || path.basename(file) === 'plan.json' ? path.dirname(file) : file;
  if ('points' in record) found.sweeps.push({name: unique(folder, names), sweep: parseSweep(json, file)});
  else if ('stacks' in record) found.plans.push({name: unique(folder, names), plan: parsePlan(text, file, '')});
  else
    throw new InputError('report-input-unknown', `${file} is neither a sweep (points) nor a plan (stacks)`, {
      hint: `Wanted is ${KINDS}.`,
    });
}

/** A name that no other input has: the folder's own, or with its parents' where that is taken. */
function unique(folder: string, names: Set<string>): string {
  const parts = path.resolve(folder).split(path.sep);
  let name = parts.at(-1)!;
  for (let n = 2; names.has(name) && n <= parts.length; n++) name = parts.slice(-n).join('/');
  for (let n = 2; names.has(name); n++) name = `${parts.at(-1)} (${n})`;
  names.add(name);
  return name;
}
