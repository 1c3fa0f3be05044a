import os from 'node:os';
import {type Command, Option} from 'commander';
import {wholeNumber} from '../../src/cli/options/values.js';
import {type SelectedBackend, selectBackend} from '../../src/node/backends/select.js';
import type {ClockName} from './clock.js';
import {type BenchResult, formatResult, type Row, thisMachine, writeResult} from './result-file.js';
import {formatTables} from './table.js';

/** What a measurement is told: whole numbers by name, and the sizes of a model. */
export interface Flags {
  readonly device: string;
  readonly threads?: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly pictures: number;
  readonly captions: number;
  readonly beams: number;
  readonly side: number;
  readonly clock: ClockName;
  readonly size: 'tiny' | 'medium' | 'base' | 'large' | 'huge';
}
type Numbers = 'rounds' | 'seconds' | 'pictures' | 'captions' | 'beams' | 'side';

const ABOUT: Readonly<Record<Numbers, string>> = {
  rounds: 'measurements of each',
  seconds: 'most seconds for each case',
  pictures: 'test pictures',
  captions: 'captions in one process',
  beams: 'beams of a caption',
  side: 'side of the picture, pixels',
};

/** A command that measures on one device. */
export interface Measurement {
  readonly name: string;
  readonly about: string;
  /** The options that it takes, with their defaults. */
  readonly options: Readonly<Partial<Record<Numbers, number>>> & {
    readonly size?: Flags['size'];
    readonly clock?: ClockName;
  };
  /** Runs on the selected backend. */
  run(flags: Flags, runsOn: SelectedBackend): Promise<Row[]>;
  /** What --json prints; default: the whole result. */
  json?(result: BenchResult): string;
}

/** For people: stdout is data. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Declares the command. It prints tables, or JSON with --json; --out writes the whole result to a file, too. */
export function addMeasurement(program: Command, {name, about, options, run, json = formatResult}: Measurement): void {
  const {size, clock, ...numbers} = options;
  const command = program
    .command(name)
    .description(about)
    .option('--device <name>', 'auto, native, cuda, webgpu, onnx, wasm or cpu', 'auto')
    .option('--threads <n>', 'threads of the native device (default: all cores)', wholeNumber(1))
    .option('--json', 'JSON on stdout instead of tables')
    .option('--out <file.json>', 'write the whole result to a file, too');
  for (const [key, value] of Object.entries(numbers) as [Numbers, number][])
    command.option(`--${key} <n>`, ABOUT[key], wholeNumber(1), value);
  if (size) command.option('--size <name>', 'tiny, medium, base, large or huge', size);
  if (clock)
    command.addOption(
      new Option('--clock <name>', 'cpu: processor time of all threads, for a busy machine')
        .choices(['wall', 'cpu'])
        .default(clock),
    );
  command.action(async (flags: Flags & {json?: boolean; out?: string}) => {
    const before = os.loadavg()[0]!;
    const runsOn = await selectBackend(flags.device, flags.threads ? {threads: flags.threads} : {});
    say(runsOn.note);
    const rows = await run(flags, runsOn);
    const {device, backend, threads} = runsOn;
    const result: BenchResult = {
      format: 'mue-bench',
      version: 1,
      what: name,
      date: new Date().toISOString(),
      machine: thisMachine(before),
      device,
      backend,
      ...(threads === undefined ? {} : {threads}),
      settings: Object.fromEntries(
        Object.keys(options).map((key) => [key, flags[key as keyof Flags] as string | number]),
      ),
      rows,
    };
    if (flags.out) writeResult(flags.out, result);
    process.stdout.write(flags.json ? json(result) : formatTables(result));
  });
}
