import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {z} from 'zod';
import {InputError} from '../../src/runtime/errors.js';

const rowSchema = z.strictObject({
  /** Rows of a group are a table: 'op', 'layer', 'caption', … */
  group: z.string(),
  name: z.string(),
  unit: z.enum(['ms', 'µs', 's', 'MiB', 'tensors']),
  /** The fields of `Summary`. */
  median: z.number(),
  p10: z.number(),
  p90: z.number(),
  n: z.number().int(),
  /** Median processor time of all threads, in the same unit; a busy machine disturbs it least. */
  cpu: z.number().optional(),
  /** Multiply-accumulates of one execution, where they are known. */
  macs: z.number().optional(),
  note: z.string().optional(),
});
/** A measured thing. */
export type Row = Readonly<z.infer<typeof rowSchema>>;

const machineSchema = z.strictObject({
  cpu: z.string(),
  cores: z.number(),
  memoryGiB: z.number(),
  platform: z.string(),
  node: z.string(),
  /** How busy it was with other things: the load average of the last minute before and after. */
  load: z.tuple([z.number(), z.number()]),
});

const resultSchema = z.strictObject({
  format: z.literal('mue-bench'),
  version: z.literal(1),
  /** The name of the bench: 'parts', 'base', 'growth', … */
  what: z.string(),
  date: z.string(),
  machine: machineSchema,
  device: z.string(),
  backend: z.string(),
  threads: z.number().optional(),
  /** The options of the run beside the device. */
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  rows: z.array(rowSchema),
});
/** The result of a bench. */
export type BenchResult = Readonly<Omit<z.infer<typeof resultSchema>, 'rows'>> & {readonly rows: readonly Row[]};

/**
 * Reads a result.
 * @throws InputError if the file is missing or not a result of a bench
 */
export function readResult(file: string): BenchResult {
  let json: unknown;
  try {
    json = JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new InputError('bench-file', `${file}: cannot be read as JSON: ${(cause as Error).message}`, {cause});
  }
  const parsed = resultSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const {path: at = [], message = ''} = parsed.error.issues[0] ?? {};
  throw new InputError(
    'bench-file',
    `${file} was not written by the bench: ${at.join('.') || 'top level'}: ${message}`,
    {
      hint: 'npm run bench -- parts --out result.json',
    },
  );
}

/** The JSON of a result, a row a line, so that differences between two runs can be read. */
export function formatResult(result: BenchResult): string {
  const {rows, ...head} = result;
  const lines = rows.map((row) => `    ${JSON.stringify(shorten(row))}`).join(',\n');
  return `${JSON.stringify(head, null, 2).slice(0, -2)},\n  "rows": [\n${lines}\n  ]\n}\n`;
}

/** Rounds a row to five digits, more than a clock is good for. */
function shorten(row: Row): Row {
  const digits = (x: number): number => Number(x.toPrecision(5));
  return {
    ...row,
    median: digits(row.median),
    p10: digits(row.p10),
    p90: digits(row.p90),
    cpu: row.cpu && digits(row.cpu),
  };
}

export function writeResult(file: string, result: BenchResult): void {
  fs.mkdirSync(path.dirname(path.resolve(file)), {recursive: true});
  fs.writeFileSync(file, formatResult(result));
}

/**
 * The machine that this process runs on.
 * @param before its load when the run began
 */
export function thisMachine(before: number): BenchResult['machine'] {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGiB: Math.round((os.totalmem() / 2 ** 30) * 10) / 10,
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    load: [round(before), round(os.loadavg()[0]!)],
  };
}

function round(x: number): number {
  return Math.round(x * 100) / 100;
}
