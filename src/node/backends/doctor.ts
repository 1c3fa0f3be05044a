import {spawn} from 'node:child_process';
import os from 'node:os';
import {fileURLToPath} from 'node:url';
import {AUTO, type RealDevice} from './select.js';
import type {MicroBench} from './micro-bench.js';

/** What became of one device. */
export interface DeviceReport {
  readonly device: RealDevice;
  readonly ok: boolean;
  readonly backend?: string;
  readonly threads?: number;
  /** What runs, in a line. */
  readonly note?: string;
  /** Why it cannot run here, and what to type to change that. */
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
  /** Things about this machine that change what can run. */
  readonly remarks: readonly string[];
  /** In the order that `auto` tries them, then the ones that it leaves alone. */
  readonly devices: readonly DeviceReport[];
  /** What `--device auto` takes; absent where nothing works. */
  readonly auto?: RealDevice;
  readonly seconds: number;
}

export interface DoctorOptions {
  /** Default: all. */
  readonly devices?: readonly RealDevice[];
  /** Seconds of measuring for each device that works; 0 leaves it out. Default: 1.5. */
  readonly benchSeconds?: number;
  /** See BackendOptions. */
  readonly nativeFolder?: string;
  /** The compiled doctor-child.js; default: beside this file. */
  readonly child?: string;
  /** A device that has not answered by then is stopped. Default: 30. */
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
}

const ALL: readonly RealDevice[] = [...AUTO, 'onnx', 'webgpu'];

/** Tries every device in a process of its own, one after the other, and measures those that work. Never throws for a device. */
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
    ...(auto === undefined ? {} : {auto}),
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

function examine(device: RealDevice, options: DoctorOptions): Promise<DeviceReport> {
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
      ...(options.signal ? {signal: options.signal} : {}),
    });
    let out = '';
    let words = '';
    started.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    started.stderr.on('data', (chunk: Buffer) => {
      words = (words + chunk.toString()).slice(-2000);
    });
    started.on('error', (error) => resolve({device, ok: false, reason: error.message}));
    started.on('close', (status, signal) =>
      resolve(explained(parse(out), words) ?? crashed(device, status, signal, words, timeoutSeconds)),
    );
  });
}

/** Dawn tells nobody but stderr why it passes an adapter by: no Vulkan loader, no driver, a driver that lacks a feature. */
function explained(report: DeviceReport | undefined, words: string): DeviceReport | undefined {
  const said = words.match(/^Warning: (.*)$/m)?.[1];
  return report?.device === 'webgpu' && !report.ok && said !== undefined
    ? {...report, reason: `${report.reason}: ${said}`}
    : report;
}

function parse(out: string): DeviceReport | undefined {
  const line = out.trimEnd().split('\n').at(-1) ?? '';
  return line.startsWith('{"device"') ? (JSON.parse(line) as DeviceReport) : undefined;
}

function crashed(
  device: RealDevice,
  status: number | null,
  signal: string | null,
  words: string,
  limit: number,
): DeviceReport {
  const last = words.trim().split('\n').at(-1)?.slice(0, 200) ?? '';
  const how =
    signal === 'SIGTERM'
      ? `gave no answer in ${limit} s`
      : `took its process down (${signal ?? `exit code ${status}`})`;
  const hint =
    device === 'native' || device === 'cuda'
      ? {hint: `npm run native -- ${device === 'cuda' ? 'gpu' : 'cpu'} --force`}
      : {};
  return {device, ok: false, reason: `${how}${last ? `: ${last}` : ''}`, ...hint};
}

/** The report for people, for a terminal of about 100 columns. */
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
