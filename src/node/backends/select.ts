import fs from 'node:fs';
import {createRequire} from 'node:module';
import os from 'node:os';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../runtime/errors.js';
import {checkArguments, OBJECT, TEXT} from '../../runtime/check-arguments.js';
import {type ConcreteDevice, deviceNamed} from '../../runtime/devices.js';
import {AUTO, type DeviceProbe, DeviceUnavailableError} from './devices.js';
import {loadNativeBinding, NATIVE_FOLDER, type NativeBackend, NOT_BUILT} from './native/binding.js';
import {fuseNativeKernels} from './native/fused.js';
import {useFunctions} from './native/functions/joiner.js';
import {patchNativeKernels} from './native/kernels.js';
import {watchForFullMemory} from './out-of-memory.js';
import {patchWasmCopies} from './wasm/copies.js';
import {patchWasmErf} from './wasm/erf.js';
import {registerWasmGradients} from './wasm/gradients.js';
import {patchWasmKernels} from './wasm/kernels.js';
import {useOwnKernels} from './wasm/own.js';
import {startOnSharedHeap} from './wasm/shared-heap.js';
import {refuseAfterErrors, type WebgpuBackend} from './webgpu/errors.js';

export interface SelectedBackend {
  /** The name that `tf.getBackend()` gives: 'tensorflow', 'webgpu', 'wasm' or 'cpu'. */
  readonly backend: string;
  readonly device: ConcreteDevice;
  /** Threads that one operation may use; absent where the device decides. */
  readonly threads?: number;
  /** A line for people: what runs, and why not something faster. */
  readonly note: string;
  /** Every device that was tried, in that order. */
  readonly tried: readonly DeviceProbe[];
}

export interface BackendOptions {
  /** Lets CUDA round the factors of products to TF32 (10 bits of mantissa); default: exact fp32. */
  readonly tf32?: boolean;
  /**
   * Lets wasm round a product and a sum once instead of twice where the engine can (relaxed SIMD), the default: quicker,
   * and in the seventh digit not the same on every processor.
   */
  readonly relaxed?: boolean | undefined;
  /**
   * Joins the operations of a layer to one call on native and cuda, the default (docs/glossary.md, function); false
   * calls TensorFlow operation by operation. The choice is the process's: the last one counts.
   */
  readonly functions?: boolean | undefined;
  /**
   * Threads of the devices native and wasm; default: all cores, on wasm at most eight. Whether wasm has one or several
   * counts when it is first started, and so does native's number.
   */
  readonly threads?: number | 'auto' | undefined;
  /**
   * Folder of native builds, `cpu/` and `gpu/`; default: `.native` in this package, where `mue native` puts them.
   */
  readonly nativeFolder?: string;
}

interface Running {
  readonly backend: string;
  readonly threads?: number;
  /** A few words on what runs, for people. */
  readonly what: string;
}

const require = createRequire(import.meta.url);

/** The options of a device that starts. */
type StartOptions = BackendOptions & {readonly threads?: number | undefined};

const START: Readonly<Record<ConcreteDevice, (options: StartOptions) => Promise<Running>>> = {
  cuda: startCuda,
  native: startNative,
  webgpu: startWebgpu,
  wasm: startWasm,
  cpu: startCpu,
};

/**
 * Starts a tfjs backend and makes it the current one. This is the only place that imports backend packages, and it
 * imports them when they are needed.
 * @param device one of `DEVICES`; 'auto' takes the fastest that works
 * @throws BackendError 'unknown-device', or 'backend-unavailable' with the cause and the command that helps
 */
export async function selectBackend(device: string, options: BackendOptions = {}): Promise<SelectedBackend> {
  checkArguments('selectBackend', {device: [device, TEXT], options: [options, OBJECT]});
  const wanted = deviceNamed(device);
  const threads = options.threads === 'auto' ? undefined : options.threads;
  const tried: DeviceProbe[] = [];
  for (const candidate of wanted === 'auto' ? AUTO : [wanted]) {
    try {
      const {what, ...running} = await START[candidate]({...options, threads});
      tried.push({device: candidate, ok: true});
      return {...running, device: candidate, note: note(what, tried), tried};
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const hint = error instanceof DeviceUnavailableError ? error.hint : undefined;
      if (wanted !== 'auto')
        throw new BackendError('backend-unavailable', `--device ${device}: ${reason}`, {cause: error, hint});
      tried.push({device: candidate, ok: false, reason, hint});
    }
  }
  throw new BackendError('backend-unavailable', `no device can run here: ${reasons(tried)}`);
}

/** Says what runs, and which faster devices are broken. What was never built is no news; `mue doctor` lists it. */
function note(what: string, tried: readonly DeviceProbe[]): string {
  const failed = tried.filter((t) => !t.ok && t.reason !== NOT_BUILT);
  return failed.length > 0 ? `${what}; not ${reasons(failed)}` : what;
}

function reasons(tried: readonly DeviceProbe[]): string {
  return tried.map((t) => `${t.device} (${t.reason})`).join(', ');
}

/** Starts TensorFlow on the CPU. */
async function startNative(options: StartOptions): Promise<Running> {
  const {threads, tf32 = false, nativeFolder = NATIVE_FOLDER} = options;
  const native = loadNativeBinding('cpu', {folder: nativeFolder, tf32, threads});
  const calls = await startTensorflow(native, options);
  const count = threads ?? os.availableParallelism();
  return {
    backend: 'tensorflow',
    threads: count,
    what: `native CPU (TensorFlow ${native.tensorflow}, ${count} threads, ${calls})`,
  };
}

/** Starts TensorFlow on an NVIDIA GPU. */
async function startCuda(options: BackendOptions): Promise<Running> {
  const {tf32 = false, nativeFolder = NATIVE_FOLDER} = options;
  const native = loadNativeBinding('gpu', {folder: nativeFolder, tf32});
  if (!native.gpu) throw new DeviceUnavailableError(...whyNoGpu(native.log));
  const calls = await startTensorflow(native, options);
  return {backend: 'tensorflow', what: `CUDA (TensorFlow ${native.tensorflow}, ${tf32 ? 'TF32' : 'fp32'}, ${calls})`};
}

/** @returns how layers are called, for people */
async function startTensorflow(native: NativeBackend, {functions = true}: BackendOptions): Promise<string> {
  if (!tf.findBackendFactory('tensorflow')) {
    tf.registerBackend('tensorflow', native.create, PRIORITY.tensorflow);
    patchNativeKernels();
  }
  await start('tensorflow');
  fuseNativeKernels();
  return useFunctions(functions) ? 'layers as functions' : 'layers operation by operation';
}

function whyNoGpu(log: string): [reason: string, hint: string] {
  if (process.env.CUDA_VISIBLE_DEVICES === '-1')
    return ['CUDA_VISIBLE_DEVICES=-1 hides the GPU', 'unset CUDA_VISIBLE_DEVICES'];
  if (!fs.existsSync('/proc/driver/nvidia/version'))
    return ['no NVIDIA driver is loaded', 'install the NVIDIA driver, or --device native'];
  const complaint = log.match(/^[EW]\d{4} .*?\] (.*)$/m)?.[1];
  return [
    `TensorFlow sees no usable GPU${complaint === undefined ? '' : `: ${complaint}`}`,
    'nvidia-smi shows whether the driver works; TF_CPP_MIN_LOG_LEVEL=0 shows what TensorFlow says',
  ];
}

/** Starts a GPU through WebGPU. */
async function startWebgpu(): Promise<Running> {
  const {registerWebgpu} = await import('./webgpu/device.js');
  const adapter = tf.findBackendFactory('webgpu') ? 'started before' : await registerWebgpu();
  const first = tf.engine().registry.webgpu === undefined;
  await start('webgpu');
  if (first) refuseAfterErrors(tf.backend() as unknown as WebgpuBackend);
  return {backend: 'webgpu', what: `WebGPU (${adapter})`};
}

/** Starts WebAssembly with SIMD, on a heap that threads share where there shall be several. */
async function startWasm({relaxed = true, threads = automaticThreads()}: StartOptions): Promise<Running> {
  if (tf.engine().registry.wasm === undefined) {
    // Required: importing a CommonJS package reads its exports out of half a megabyte of text first.
    const wasm = require('@tensorflow/tfjs-backend-wasm') as typeof import('@tensorflow/tfjs-backend-wasm');
    const files = path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm'));
    wasm.setWasmPaths(`${files}${path.sep}`);
    wasm.setThreadsCount(1);
    if (threads > 1) await preferSharedHeap(wasm);
  }
  await start('wasm');
  patchWasmKernels();
  patchWasmCopies();
  patchWasmErf();
  registerWasmGradients();
  const running = useOwnKernels(relaxed, threads);
  // Emscripten takes over uncaught errors of the whole process (to exit with 7); that is not its business.
  for (const event of ['uncaughtException', 'unhandledRejection']) {
    for (const listener of process.rawListeners(event) as ((...args: unknown[]) => void)[]) {
      if (/ExitStatus|throw reason/.test(String(listener))) process.removeListener(event, listener);
    }
  }
  const simd = running.build === 'relaxed' ? 'relaxed SIMD' : 'SIMD';
  const count = running.threads === 1 ? '1 thread' : `${running.threads} threads`;
  return {backend: 'wasm', threads: running.threads, what: `wasm (${simd}, ${count})`};
}

/** Puts tfjs' wasm backend on a heap that threads can share; where that fails it will start as it does, for one thread. */
async function preferSharedHeap(wasm: typeof import('@tensorflow/tfjs-backend-wasm')): Promise<void> {
  try {
    const started = await startOnSharedHeap(wasm);
    tf.removeBackend('wasm');
    tf.registerBackend('wasm', () => started, PRIORITY.wasm);
  } catch {
    // An address space too small for 4 GiB, for one.
  }
}

/** Threads where nobody asks for a number: more than these gain little (src/node/backends/wasm/pool.ts). */
const MOST_AUTOMATIC = 8;

function automaticThreads(): number {
  return Math.min(os.availableParallelism(), MOST_AUTOMATIC);
}

/** Starts plain JavaScript, which is exact and slow and runs everywhere. */
async function startCpu(): Promise<Running> {
  await start('cpu');
  // Keeps the backend from advertising tfjs-node on stderr.
  const backend = tf.backend() as unknown as {firstUse?: boolean};
  backend.firstUse = false;
  return {backend: 'cpu', threads: 1, what: 'cpu (plain JavaScript, slow)'};
}

/** tfjs' own order of preference, for those who let it choose. */
const PRIORITY: Readonly<Record<string, number>> = {cpu: 1, wasm: 2, tensorflow: 3, webgpu: 3};

/**
 * Makes a registered backend the current one. `tf.setBackend` prints why it failed and returns false; this throws the
 * cause.
 */
async function start(name: string): Promise<void> {
  const factory = tf.findBackendFactory(name);
  if (!factory) throw new DeviceUnavailableError(`no tfjs backend '${name}' is registered`);
  if (tf.engine().registry[name] === undefined) {
    const started = await factory();
    tf.removeBackend(name);
    tf.registerBackend(name, () => started, PRIORITY[name] ?? 1);
  }
  watchForFullMemory();
  if (!(await tf.setBackend(name))) throw new DeviceUnavailableError(`tfjs refused the backend '${name}'`);
}
