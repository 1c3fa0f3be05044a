import os from 'node:os';
import {type Command, Option} from 'commander';
import {threadCount, wholeNumber} from '../src/cli/options/values.js';
import {type SelectedBackend, selectBackend} from '../src/node/backends/select.js';
import {type Device, deviceNamed} from '../src/runtime/devices.js';
import type {ClockName} from './measure/clock.js';
import {type BenchResult, formatResult, type Row, thisMachine, writeResult} from './report/result-file.js';
import {formatTables} from './report/table.js';

/** The options of a run: whole numbers by name, and the size of a model. */
export interface Flags {
  readonly device: Device;
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
export interface Bench {
  readonly name: string;
  readonly about: string;
  /** The options that it takes, with their defaults. */
  readonly options: Readonly<Partial<Record<Numbers, number>>> & {
    readonly size?: Flags['size'];
    readonly clock?: ClockName;
  };
  /** Runs on the selected backend. */
  run(flags: Flags, runsOn: SelectedBackend): Promise<Row[]>;
  /** The text that --json prints; default: the whole result. */
  json?(result: BenchResult): string | Promise<string>;
}

/** Writes a line for people to stderr; stdout is data. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/**
 * A bench that runs others one after the other, with the options of all. Where the defaults of an option differ, it is
 * the first bench's, and the others keep their own.
 */
export function together(name: string, about: string, benches: readonly Bench[]): Bench {
  const options: Record<string, number | string> = {};
  for (const bench of benches) for (const [key, value] of Object.entries(bench.options)) options[key] ??= value;
  return {
    name,
    about,
    options,
    run: async (flags, runsOn) => {
      const rows: Row[] = [];
      for (const bench of benches) {
        const own = Object.entries(bench.options).filter(([key, value]) => options[key] !== value);
        rows.push(...(await bench.run({...flags, ...Object.fromEntries(own)}, runsOn)));
      }
      return rows;
    },
  };
}

/**
 * Declares the command of a bench. It prints tables, or JSON with --json; --out writes the whole result to a file, too.
 */
export function addBench(program: Command, {name, about, options, run, json = formatResult}: Bench): void {
  const {size, clock, ...numbers} = options;
  const command = program
    .command(name)
    .description(about)
    .option('--device <name>', 'auto, native, cuda, webgpu, wasm or cpu', deviceNamed, 'auto' as Device)
    .option('--threads <n>', 'threads of native and wasm, or auto (default)', threadCount)
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
    const runsOn = await selectBackend(flags.device, {threads: flags.threads});
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
      threads,
      settings: Object.fromEntries(
        Object.keys(options).map((key) => [key, flags[key as keyof Flags] as string | number]),
      ),
      rows,
    };
    if (flags.out) writeResult(flags.out, result);
    process.stdout.write(flags.json ? await json(result) : formatTables(result));
  });
}
