import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {z} from 'zod';
import {InputError} from '../../src/runtime/errors.js';
import type {Summary} from './statistics.js';

/** The machine, and how busy it was with other things: the load average of the last minute before and after. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly platform: string;
  readonly node: string;
  readonly load: readonly [before: number, after: number];
}

/** One measured thing. */
export interface Row extends Summary {
  /** What belongs together in a table: 'op', 'layer', 'caption', … */
  readonly group: string;
  readonly name: string;
  readonly unit: 'ms' | 'µs' | 's' | 'MiB' | 'tensors';
  /** Median processor time of all threads, in the same unit: what a busy machine disturbs least. */
  readonly cpu?: number | undefined;
  /** Multiply-accumulates of one execution, where they are known. */
  readonly macs?: number | undefined;
  readonly note?: string | undefined;
}

/** What a run of the bench writes. */
export interface BenchResult {
  readonly format: 'mue-bench';
  readonly version: 1;
  /** The command: 'parts', 'base', 'growth', … */
  readonly what: string;
  readonly date: string;
  readonly machine: Machine;
  readonly device: string;
  readonly backend: string;
  readonly threads?: number | undefined;
  /** What the run was asked for beside the device. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  readonly rows: readonly Row[];
}

const rowSchema = z.strictObject({
  group: z.string(),
  name: z.string(),
  unit: z.enum(['ms', 'µs', 's', 'MiB', 'tensors']),
  median: z.number(),
  p10: z.number(),
  p90: z.number(),
  n: z.number().int(),
  cpu: z.number().optional(),
  macs: z.number().optional(),
  note: z.string().optional(),
});
const resultSchema: z.ZodType<BenchResult> = z.strictObject({
  format: z.literal('mue-bench'),
  version: z.literal(1),
  what: z.string(),
  date: z.string(),
  machine: z.strictObject({
    cpu: z.string(),
    cores: z.number(),
    memoryGiB: z.number(),
    platform: z.string(),
    node: z.string(),
    load: z.tuple([z.number(), z.number()]),
  }),
  device: z.string(),
  backend: z.string(),
  threads: z.number().optional(),
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  rows: z.array(rowSchema),
});

/** @throws InputError if the file is missing or not what a run of the bench writes */
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

/** One row a line, so that differences between two runs can be read. */
export function formatResult(result: BenchResult): string {
  const {rows, ...head} = result;
  const lines = rows.map((row) => `    ${JSON.stringify(shorten(row))}`).join(',\n');
  return `${JSON.stringify(head, null, 2).slice(0, -2)},\n  "rows": [\n${lines}\n  ]\n}\n`;
}

/** Four digits are more than a clock is good for. */
function shorten(row: Row): Row {
  const digits = (x: number): number => Number(x.toPrecision(5));
  return {
    ...row,
    median: digits(row.median),
    p10: digits(row.p10),
    p90: digits(row.p90),
    ...(row.cpu === undefined ? {} : {cpu: digits(row.cpu)}),
  };
}

export function writeResult(file: string, result: BenchResult): void {
  fs.mkdirSync(path.dirname(path.resolve(file)), {recursive: true});
  fs.writeFileSync(file, formatResult(result));
}

/** This machine; `before` is the load when the run began. */
export function thisMachine(before: number): Machine {
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
