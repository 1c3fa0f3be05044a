import fs from 'node:fs';
import {createRequire} from 'node:module';
import os from 'node:os';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../runtime/errors.js';
import {loadNativeBinding, NATIVE_FOLDER, type NativeBackend, NOT_BUILT} from './native/binding.js';
import {fuseNativeKernels} from './native/fused.js';
import {mendNativeKernels} from './native/kernels.js';
import {accelerateWasm} from './wasm/onnx-kernels.js';
import {watchForFullMemory} from './out-of-memory.js';
import {Unavailable} from './unavailable.js';
import {mendWasmCopies} from './wasm/copies.js';
import {mendWasmErf} from './wasm/erf.js';
import {fuseWasmKernels} from './wasm/fused.js';
import {mendWasmKernels} from './wasm/kernels.js';
import {refuseAfterErrors, type WebgpuBackend} from './webgpu/errors.js';

/** Every word that `--device` takes. */
export const DEVICES = ['auto', 'native', 'cuda', 'webgpu', 'onnx', 'wasm', 'cpu'] as const;
export type Device = (typeof DEVICES)[number];
/** A device that runs: every one but 'auto'. */
export type RealDevice = Exclude<Device, 'auto'>;
/** `auto` takes the first that works. It never downloads or builds anything, and leaves WebGPU (fp32 less exact) and onnx to who asks for it. */
export const AUTO: readonly RealDevice[] = ['cuda', 'native', 'wasm', 'cpu'];

/** One device that was tried, in the order of the trials. */
export interface Attempt {
  readonly device: RealDevice;
  readonly ok: boolean;
  /** Why it cannot run here, in a sentence. */
  readonly reason?: string;
  /** What to type to change that. */
  readonly hint?: string;
}

export interface SelectedBackend {
  /** What `tf.getBackend()` says: 'tensorflow', 'webgpu', 'wasm' or 'cpu'. */
  readonly backend: string;
  readonly device: RealDevice;
  /** Threads that one operation may use; absent where the device decides. */
  readonly threads?: number;
  /** One line for people: what runs, and why not something faster. */
  readonly note: string;
  readonly tried: readonly Attempt[];
}

export interface BackendOptions {
  /** Lets CUDA round the factors of products to TF32 (10 bits of mantissa); default: exact fp32. */
  readonly tf32?: boolean;
  /** Threads of the native CPU device; default: all cores. Counts when it is first started. */
  readonly threads?: number;
  /** Folder of native builds, `cpu/` and `gpu/`; default: `.native` in this package, where `npm run native` puts them. */
  readonly nativeFolder?: string;
}

interface Running {
  readonly backend: string;
  readonly threads?: number;
  /** What runs, for people. */
  readonly what: string;
}

const require = createRequire(import.meta.url);

const START: Readonly<Record<RealDevice, (options: BackendOptions) => Promise<Running>>> = {
  cuda: startCuda,
  native: startNative,
  webgpu: startWebgpu,
  onnx: startOnnx,
  wasm: startWasm,
  cpu: startCpu,
};

/**
 * Starts a tfjs backend and makes it the current one. Backend packages are imported here, when they are needed, and nowhere else.
 * @param device one of `DEVICES`; 'auto' takes the fastest that works.
 * @throws BackendError 'unknown-device', or 'backend-unavailable' with the cause and what to type.
 */
export async function selectBackend(device: string, options: BackendOptions = {}): Promise<SelectedBackend> {
  if (!isDevice(device)) {
    throw new BackendError('unknown-device', `--device: wanted one of ${DEVICES.join(', ')}, got '${device}'`, {
      hint: "'auto' takes the fastest that works here",
    });
  }
  const tried: Attempt[] = [];
  for (const candidate of device === 'auto' ? AUTO : [device]) {
    try {
      const {what, ...running} = await START[candidate](options);
      tried.push({device: candidate, ok: true});
      return {...running, device: candidate, note: note(what, tried), tried};
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const hint = error instanceof Unavailable && error.hint !== undefined ? {hint: error.hint} : {};
      if (device !== 'auto')
        throw new BackendError('backend-unavailable', `--device ${device}: ${reason}`, {cause: error, ...hint});
      tried.push({device: candidate, ok: false, reason, ...hint});
    }
  }
  throw new BackendError('backend-unavailable', `no device can run here: ${reasons(tried)}`);
}

function isDevice(word: string): word is Device {
  return (DEVICES as readonly string[]).includes(word);
}

/** What runs, and what was broken or can be had. That nobody built for a GPU is no news. */
function note(what: string, tried: readonly Attempt[]): string {
  const failed = tried.filter((t) => !t.ok && !(t.device === 'cuda' && t.reason === NOT_BUILT));
  return failed.length > 0 ? `${what}; not ${reasons(failed)}` : what;
}

function reasons(tried: readonly Attempt[]): string {
  return tried.map((t) => `${t.device} (${t.reason})`).join(', ');
}

/** TensorFlow on the CPU. */
async function startNative({threads, tf32 = false, nativeFolder = NATIVE_FOLDER}: BackendOptions): Promise<Running> {
  const native = loadNativeBinding('cpu', {folder: nativeFolder, tf32, ...(threads === undefined ? {} : {threads})});
  await startTensorflow(native);
  const count = threads ?? os.availableParallelism();
  return {
    backend: 'tensorflow',
    threads: count,
    what: `native CPU (TensorFlow ${native.tensorflow}, ${count} threads)`,
  };
}

/** TensorFlow on an NVIDIA GPU. */
async function startCuda({tf32 = false, nativeFolder = NATIVE_FOLDER}: BackendOptions): Promise<Running> {
  const native = loadNativeBinding('gpu', {folder: nativeFolder, tf32});
  if (!native.gpu) throw new Unavailable(...whyNoGpu(native.log));
  await startTensorflow(native);
  return {backend: 'tensorflow', what: `CUDA (TensorFlow ${native.tensorflow}, ${tf32 ? 'TF32' : 'fp32'})`};
}

async function startTensorflow(native: NativeBackend): Promise<void> {
  if (!tf.findBackendFactory('tensorflow')) {
    tf.registerBackend('tensorflow', native.create, PRIORITY.tensorflow);
    mendNativeKernels();
  }
  await start('tensorflow');
  fuseNativeKernels();
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

/** A GPU through WebGPU. */
async function startWebgpu(): Promise<Running> {
  const {registerWebgpu} = await import('./webgpu/device.js');
  const adapter = tf.findBackendFactory('webgpu') ? 'started before' : await registerWebgpu();
  const first = tf.engine().registry.webgpu === undefined;
  await start('webgpu');
  if (first) refuseAfterErrors(tf.backend() as unknown as WebgpuBackend);
  return {backend: 'webgpu', what: `WebGPU (${adapter})`};
}

/** XNNPACK in WebAssembly with SIMD. tfjs allows no threads in Node (tensorflow/tfjs#3830). */
async function startWasm(): Promise<Running> {
  if (tf.engine().registry.wasm === undefined) {
    const wasm = await import('@tensorflow/tfjs-backend-wasm');
    const files = path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm'));
    wasm.setWasmPaths(`${files}${path.sep}`);
    wasm.setThreadsCount(1);
  }
  await start('wasm');
  mendWasmKernels();
  mendWasmCopies();
  mendWasmErf();
  fuseWasmKernels();
  accelerateWasm(false, 1);
  // Emscripten takes over uncaught errors of the whole process (to exit with 7); that is not its business.
  for (const event of ['uncaughtException', 'unhandledRejection']) {
    for (const listener of process.rawListeners(event) as ((...args: unknown[]) => void)[]) {
      if (/ExitStatus|throw reason/.test(String(listener))) process.removeListener(event, listener);
    }
  }
  return {backend: 'wasm', threads: 1, what: 'wasm (SIMD, 1 thread)'};
}

/** The wasm backend, its products and convolutions by onnxruntime-node on all cores. */
async function startOnnx({threads = os.availableParallelism()}: BackendOptions): Promise<Running> {
  await startWasm();
  accelerateWasm(true, threads);
  return {backend: 'wasm', threads, what: `wasm with onnxruntime-node (${threads} threads)`};
}

/** Plain JavaScript: exact and slow, it runs everywhere. */
async function startCpu(): Promise<Running> {
  await start('cpu');
  // Keeps the backend from advertising tfjs-node on stderr.
  const backend = tf.backend() as unknown as {firstUse?: boolean};
  backend.firstUse = false;
  return {backend: 'cpu', threads: 1, what: 'cpu (plain JavaScript, slow)'};
}

/** tfjs' own order, for whoever asks it to choose. */
const PRIORITY: Readonly<Record<string, number>> = {cpu: 1, wasm: 2, tensorflow: 3, webgpu: 3};

/** `tf.setBackend` prints why a backend failed and returns false; this throws it. */
async function start(name: string): Promise<void> {
  const factory = tf.findBackendFactory(name);
  if (!factory) throw new Unavailable(`no tfjs backend '${name}' is registered`);
  if (tf.engine().registry[name] === undefined) {
    const started = await factory();
    tf.removeBackend(name);
    tf.registerBackend(name, () => started, PRIORITY[name] ?? 1);
  }
  watchForFullMemory();
  if (!(await tf.setBackend(name))) throw new Unavailable(`tfjs refused the backend '${name}'`);
}
