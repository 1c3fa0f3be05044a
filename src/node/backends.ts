import {createRequire} from 'node:module';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../runtime/errors.js';

/** Every word that `--device` takes. */
export const DEVICES = ['auto', 'native', 'cuda', 'webgpu', 'wasm', 'cpu'] as const;
export type Device = (typeof DEVICES)[number];

/** One device that was tried, in the order of the trials. */
export interface Attempt {
  readonly device: Exclude<Device, 'auto'>;
  readonly ok: boolean;
  /** Why it cannot run here, in a sentence. */
  readonly reason?: string;
  /** What to type to change that. */
  readonly hint?: string;
}

export interface SelectedBackend {
  /** What `tf.getBackend()` says: 'tensorflow', 'webgpu', 'wasm' or 'cpu'. */
  readonly backend: string;
  readonly device: Exclude<Device, 'auto'>;
  /** Threads that one operation may use; absent where the device decides. */
  readonly threads?: number;
  /** One line for people: what runs, and why not something faster. */
  readonly note: string;
  readonly tried: readonly Attempt[];
}

/** Why a device cannot run here; becomes an `Attempt`, or a BackendError where the device was asked for by name. */
class Unavailable extends Error {
  constructor(
    message: string,
    readonly hint?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

interface Running {
  readonly backend: string;
  readonly threads?: number;
  readonly what: string;
}

const require = createRequire(import.meta.url);

const START: Readonly<Partial<Record<Device, () => Promise<Running>>>> = {wasm: startWasm, cpu: startCpu};
/** `auto` takes the first that works. Nothing is downloaded or built on the way. */
const AUTO: readonly Exclude<Device, 'auto'>[] = ['wasm', 'cpu'];

/**
 * Starts a tfjs backend and makes it the current one. Backend packages are imported here, when they are needed, and nowhere else.
 * @param device one of `DEVICES`; 'auto' takes the fastest that works.
 * @throws BackendError 'unknown-device', or 'backend-unavailable' with the cause and what to type.
 */
export async function selectBackend(device: string): Promise<SelectedBackend> {
  if (!isDevice(device)) {
    throw new BackendError('unknown-device', `--device: wanted one of ${DEVICES.join(', ')}, got '${device}'`, {
      hint: "'auto' takes the fastest that works here",
    });
  }
  const tried: Attempt[] = [];
  for (const candidate of device === 'auto' ? AUTO : [device]) {
    try {
      const start = START[candidate];
      if (!start) throw new Unavailable('not built into this version');
      const {what, ...running} = await start();
      tried.push({device: candidate, ok: true});
      return {...running, device: candidate, note: note(what, tried), tried};
    } catch (error) {
      const {message, hint} = asUnavailable(error);
      if (device !== 'auto') {
        throw new BackendError('backend-unavailable', `device '${device}' cannot run here: ${message}`, {
          cause: error,
          ...(hint === undefined ? {} : {hint}),
        });
      }
      tried.push({device: candidate, ok: false, reason: message, ...(hint === undefined ? {} : {hint})});
    }
  }
  const reasons = tried.map((t) => `${t.device}: ${t.reason}`).join('; ');
  throw new BackendError('backend-unavailable', `no device can run here: ${reasons}`);
}

function isDevice(word: string): word is Device {
  return (DEVICES as readonly string[]).includes(word);
}

function asUnavailable(error: unknown): Unavailable {
  if (error instanceof Unavailable) return error;
  return new Unavailable(error instanceof Error ? error.message : String(error), undefined, {cause: error});
}

function note(what: string, tried: readonly Attempt[]): string {
  const failed = tried.filter((t) => !t.ok).map((t) => `${t.device}: ${t.reason}`);
  return failed.length > 0 ? `${what} (${failed.join('; ')})` : what;
}

/** XNNPACK in WebAssembly with SIMD. tfjs allows no threads in Node (tensorflow/tfjs#3830). */
async function startWasm(): Promise<Running> {
  if (tf.getBackend() !== 'wasm') {
    const wasm = await import('@tensorflow/tfjs-backend-wasm');
    const files = path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm'));
    wasm.setWasmPaths(`${files}${path.sep}`);
    wasm.setThreadsCount(1);
    await start('wasm');
  }
  return {backend: 'wasm', threads: 1, what: 'wasm (SIMD, 1 thread)'};
}

/** Plain JavaScript: exact and slow, it runs everywhere. */
async function startCpu(): Promise<Running> {
  await start('cpu');
  // Keeps the backend from advertising tfjs-node on stderr.
  const backend = tf.backend() as unknown as {firstUse?: boolean};
  backend.firstUse = false;
  return {backend: 'cpu', threads: 1, what: 'cpu (plain JavaScript, slow)'};
}

/** `tf.setBackend` prints why a backend failed and returns false; this throws it. */
async function start(name: string): Promise<void> {
  const factory = tf.findBackendFactory(name);
  if (!factory) throw new Unavailable(`no tfjs backend '${name}' is registered`);
  if (!(name in tf.engine().registry)) {
    const started = await factory();
    tf.removeBackend(name);
    tf.registerBackend(name, () => started, PRIORITY[name] ?? 1);
  }
  if (!(await tf.setBackend(name))) throw new Unavailable(`tfjs refused the backend '${name}'`);
}

/** tfjs' own order, for whoever asks it to choose. */
const PRIORITY: Readonly<Record<string, number>> = {cpu: 1, wasm: 2, tensorflow: 3, webgpu: 3};
