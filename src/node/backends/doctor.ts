import {spawn} from 'node:child_process';
import os from 'node:os';
import {fileURLToPath} from 'node:url';
import type {ConcreteDevice} from '../../runtime/devices.js';
import {AUTO} from './devices.js';
import type {MicroBench} from './micro-bench.js';

/** One device: whether it runs here and how fast, or why not. */
export interface DeviceReport {
  readonly device: ConcreteDevice;
  readonly ok: boolean;
  readonly backend?: string;
  readonly threads?: number;
  /** A line on what runs. */
  readonly note?: string;
  /** Why it cannot run here, and the command that changes that. */
  readonly reason?: string;
  readonly hint?: string;
  readonly bench?: MicroBench;
}

export interface DoctorReport {
  readonly node: string;
  readonly platform: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  /** Facts about this machine that change what can run. */
  readonly remarks: readonly string[];
  /** The devices that `auto` tries, in its order, then those that it leaves alone. */
  readonly devices: readonly DeviceReport[];
  /** The device that `--device auto` takes; absent where nothing works. */
  readonly auto?: ConcreteDevice;
  /** Seconds that the whole examination took. */
  readonly seconds: number;
}

export interface DoctorOptions {
  /** Default: all. */
  readonly devices?: readonly ConcreteDevice[];
  /** Seconds of measuring for each device that works; 0 leaves it out. Default: 1.5. */
  readonly benchSeconds?: number;
  /** See BackendOptions. */
  readonly nativeFolder?: string;
  /** The compiled doctor-child.js; default: beside this file. */
  readonly child?: string;
  /** Seconds after which a device that has not answered is stopped. Default: 30. */
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
}

const ALL: readonly ConcreteDevice[] = [...AUTO, 'webgpu'];

/**
 * Tries every device in a process of its own, one after the other, and measures those that work. A device that fails is
 * a line of the report.
 * @throws AbortError only
 */
export async function doctor(options: DoctorOptions = {}): Promise<DoctorReport> {
  const began = performance.now();
  const devices: DeviceReport[] = [];
  for (const device of options.devices ?? ALL) {
    options.signal?.throwIfAborted();
    devices.push(await examine(device, options));
  }
  const auto = AUTO.find((name) => devices.some((d) => d.device === name && d.ok));
  return {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGiB: Math.round((os.totalmem() / 2 ** 30) * 10) / 10,
    remarks: remarks(),
    devices,
    auto,
    seconds: Math.round((performance.now() - began) / 100) / 10,
  };
}

function remarks(): string[] {
  const major = Number(process.versions.node.split('.')[0]);
  return [
    ...(major >= 23
      ? ['Node 23 and later: two functions that tfjs-node calls are put back (util.isNullOrUndefined, util.isArray)']
      : []),
    ...(process.env.npm_config_ignore_scripts === 'true'
      ? ['npm runs no install scripts here: official tfjs-node packages come without their binary']
      : []),
    ...(process.env.CUDA_VISIBLE_DEVICES === undefined
      ? []
      : [`CUDA_VISIBLE_DEVICES=${process.env.CUDA_VISIBLE_DEVICES}`]),
  ];
}

function examine(device: ConcreteDevice, options: DoctorOptions): Promise<DeviceReport> {
  const {
    benchSeconds = 1.5,
    child = fileURLToPath(new URL('./doctor-child.js', import.meta.url)),
    timeoutSeconds = 30,
  } = options;
  const folder = options.nativeFolder === undefined ? [] : [options.nativeFolder];
  return new Promise((resolve) => {
    const started = spawn(process.execPath, [child, device, String(benchSeconds), ...folder], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutSeconds * 1e3,
      signal: options.signal,
    });
    let out = '';
    let errors = '';
    started.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    started.stderr.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString()).slice(-2000);
    });
    started.on('error', (error) => resolve({device, ok: false, reason: error.message}));
    started.on('close', (status, signal) =>
      resolve(explained(parse(out), errors) ?? crashed(device, status, signal, errors, timeoutSeconds)),
    );
  });
}

/**
 * Adds to WebGPU's reason what Dawn wrote to stderr, the only place where it says why it passes an adapter by: no
 * Vulkan loader, no driver, a driver that lacks a feature.
 */
function explained(report: DeviceReport | undefined, errors: string): DeviceReport | undefined {
  const said = errors.match(/^Warning: (.*)$/m)?.[1];
  return report?.device === 'webgpu' && !report.ok && said !== undefined
    ? {...report, reason: `${report.reason}: ${said}`}
    : report;
}

function parse(out: string): DeviceReport | undefined {
  const line = out.trimEnd().split('\n').at(-1) ?? '';
  return line.startsWith('{"device"') ? (JSON.parse(line) as DeviceReport) : undefined;
}

function crashed(
  device: ConcreteDevice,
  status: number | null,
  signal: string | null,
  errors: string,
  limit: number,
): DeviceReport {
  const last = errors.trim().split('\n').at(-1)?.slice(0, 200) ?? '';
  const how =
    signal === 'SIGTERM'
      ? `gave no answer in ${limit} s`
      : `took its process down (${signal ?? `exit code ${status}`})`;
  const build = device === 'native' ? 'cpu' : device === 'cuda' ? 'gpu' : undefined;
  const hint = build && `mue native ${build} --force`;
  return {device, ok: false, reason: `${how}${last ? `: ${last}` : ''}`, hint};
}

/** The report as text for a terminal of about 100 columns. */
export function formatDoctor(report: DoctorReport): string {
  const lines = [
    `Node ${report.node} on ${report.platform}, ${report.cores} × ${report.cpu}, ${report.memoryGiB} GiB`,
    ...report.remarks.map((remark) => `note: ${remark}`),
    '',
    `${'device'.padEnd(8)}${'matMul'.padStart(14)}${'conv 3×3'.padStart(14)}${'per op'.padStart(10)}   (GFLOPS, GFLOPS, µs)`,
    ...report.devices.flatMap((d) => {
      const name = d.device.padEnd(8);
      if (!d.ok) return [`${name}  ✗ ${d.reason}`, ...(d.hint === undefined ? [] : [`${' '.repeat(10)}→ ${d.hint}`])];
      if (!d.bench) return [`${name}  ✓ ${d.note}`];
      const cell = (x: number, width: number): string => (x < 10 ? x.toFixed(1) : x.toFixed(0)).padStart(width);
      return [
        `${name}${cell(d.bench.matMulGflops, 14)}${cell(d.bench.convGflops, 14)}${cell(d.bench.opMicros, 10)}   ✓ ${d.note}`,
      ];
    }),
    '',
    report.auto === undefined ? 'Nothing works here.' : `--device auto takes ${report.auto}.`,
  ];
  return `${lines.join('\n')}\n`;
}
