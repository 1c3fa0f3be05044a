import fs from 'node:fs';
import path from 'node:path';
import {z} from 'zod';
import type {EvaluationSetup} from '../../evaluation/metrics.js';
import {exitPlanSchema} from '../../exit/plan/schema.js';
import {STACK_NAMES} from '../../exit/policy.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import {dataFingerprintSchema} from '../dataset/fingerprint.js';
import {writeAtomic} from './write-atomic.js';
import {readTextFile} from '../files/regular-file.js';
import {parseJson} from '../../runtime/parse-json.js';

export const runSchema = z.strictObject({
  version: z.literal(1),
  task: z.enum(['caption', 'snli-ve', 'vqa']),
  model: z.strictObject({name: z.string(), sha256: z.string().nullable()}),
  depths: z.partialRecord(z.enum(STACK_NAMES), z.number()),
  data: dataFingerprintSchema,
  exit: exitPlanSchema,
  device: z.string(),
  threads: z.number().nullable(),
  /** The options of search and data, by name; absent where the default holds. */
  options: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  shard: z.strictObject({index: z.number(), count: z.number()}),
});

type RunFields = z.infer<typeof runSchema>;
/** run.json: everything that decides the rows of a run. Two runs with equal files differ in times only. */
export type RunFile = EvaluationSetup & Readonly<Pick<RunFields, 'version' | 'data' | 'options' | 'shard'>>;

const NAME = 'run.json';

/**
 * Reads run.json.
 * @returns undefined if the folder holds no run
 * @throws InputError `run-corrupt`
 */
export function readRun(folder: string): RunFile | undefined {
  const file = path.join(folder, NAME);
  let text: string;
  try {
    text = readTextFile(file);
  } catch (cause) {
    const {code, message} = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new InputError('run-corrupt', `${file}: ${message}`, {cause});
  }
  try {
    return runSchema.parse(parseJson(text));
  } catch (cause) {
    const why =
      cause instanceof z.ZodError
        ? `${cause.issues[0]!.path.join('.')}: ${cause.issues[0]!.message}`
        : (cause as Error).message;
    throw new InputError('run-corrupt', `${file} does not describe a run: ${why}`, {
      cause,
      hint: 'Evaluate into an empty folder.',
    });
  }
}

/**
 * Makes a folder the one of a run, or checks that it is.
 * @throws UsageError `run-differs` if it holds a run with other settings, `output-exists` if it holds rows of an
 *   unknown run
 */
export function claimFolder(folder: string, run: RunFile): void {
  const before = readRun(folder);
  if (before === undefined) {
    if (fs.existsSync(path.join(folder, 'predictions.jsonl')))
      throw new UsageError('output-exists', `${folder}: there are predictions, but no run.json says whose`, {
        hint: 'Name another folder.',
      });
    writeAtomic(path.join(folder, NAME), `${JSON.stringify(run, null, 2)}\n`);
    return;
  }
  const differences = runDifferences(before, run);
  if (differences.length > 0)
    throw new UsageError('run-differs', `${folder} holds a run with other settings: ${differences.join('; ')}`, {
      hint: 'Name another folder for other settings; with the same, the run goes on where it stopped.',
    });
}

/** The settings in which two runs differ, each as a phrase with both values. */
export function runDifferences(before: object, now: object, ignore: readonly string[] = []): string[] {
  const flat = (run: object): Map<string, string> => new Map(flatten(JSON.parse(JSON.stringify(run)), ''));
  const [a, b] = [flat(before), flat(now)];
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter((key) => a.get(key) !== b.get(key) && !ignore.some((name) => key === name || key.startsWith(`${name}.`)))
    .map((key) => `${key} was ${a.get(key) ?? 'not given'}, is ${b.get(key) ?? 'not given'}`);
}

function flatten(value: unknown, at: string): [string, string][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return [[at, JSON.stringify(value).slice(0, 80)]];
  return Object.entries(value).flatMap(([key, inner]) => flatten(inner, at === '' ? key : `${at}.${key}`));
}
