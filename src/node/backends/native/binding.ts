import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import util from 'node:util';
import type {KernelBackend} from '@tensorflow/tfjs';
import {DeviceUnavailableError} from '../devices.js';

/** TensorFlow's library behind Node-API; made by `mue native`, or part of an official tfjs-node package. */
interface Binding {
  readonly TF_Version: string;
  isUsingGpuDevice(): boolean;
}

export interface NativeOptions {
  /** Folder of the builds cpu/ and gpu/; default: .native in this package. */
  readonly folder: string;
  /** Threads of one operation on the CPU; default: all cores. */
  readonly threads?: number;
  /** Lets CUDA round the factors of a product to 10 bits of mantissa. */
  readonly tf32: boolean;
}

export interface NativeBackend {
  readonly tensorflow: string;
  readonly gpu: boolean;
  /** The file that was loaded, for reports. */
  readonly file: string;
  /** The text that the library wrote to stderr while it was loaded. */
  readonly log: string;
  /** A new tfjs backend on the loaded library. */
  create(): KernelBackend;
}

interface Candidate {
  readonly kind: 'cpu' | 'gpu';
  readonly file: string;
}

type KernelBackendModule = {readonly NodeJSKernelBackend: new (binding: Binding, packageName: string) => KernelBackend};
type CaptureModule = {begin(): void; end(): string};

const require = createRequire(import.meta.url);
export const NATIVE_FOLDER: string = fileURLToPath(new URL('../../../../.native/', import.meta.url));
/** The reason where there is nothing to load, as opposed to something broken. */
export const NOT_BUILT = 'not built';
const OFFICIAL = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;

/** A process holds one TensorFlow: its threads, and whether it sees a GPU, are settled when it is loaded. */
let loaded: {readonly backend: NativeBackend; readonly want: 'cpu' | 'gpu'} | undefined;

/**
 * Loads TensorFlow's binding: that of an official package where one was installed with it, else the one that `npm run
 * native` built.
 * @throws DeviceUnavailableError with a message that says what is missing or broken
 */
export function loadNativeBinding(want: 'cpu' | 'gpu', options: NativeOptions): NativeBackend {
  if (loaded) {
    if (loaded.want === want || (want === 'cpu' && !loaded.backend.gpu)) return loaded.backend;
    const held = loaded.backend.gpu ? 'the GPU' : 'the CPU';
    throw new DeviceUnavailableError(
      `this process already holds TensorFlow on ${held}`,
      'one of cuda and native in one process',
    );
  }
  const found = candidates(want, options.folder);
  if (found.length === 0) throw notBuilt(want);
  prepare(options);
  const failures: DeviceUnavailableError[] = [];
  for (const candidate of found) {
    // A GPU build would take the GPU.
    if (want === 'cpu' && candidate.kind === 'gpu') process.env.CUDA_VISIBLE_DEVICES = '-1';
    try {
      if (want === 'gpu' && candidate.file.startsWith(options.folder) && isLibrary(candidate.file))
        requireCudaLibraries(path.dirname(candidate.file));
      loaded = {backend: load(candidate), want};
      return loaded.backend;
    } catch (error) {
      failures.push(explain(candidate, error));
    }
  }
  const [first] = failures as [DeviceUnavailableError];
  throw failures.length === 1
    ? first
    : new DeviceUnavailableError(failures.map((f) => f.message).join('; '), first.hint, first);
}

/** Whether a file begins as a shared library does. One that does not is broken, and the linker's message says how. */
function isLibrary(file: string): boolean {
  const magic = Buffer.alloc(4);
  const fd = fs.openSync(file, 'r');
  try {
    fs.readSync(fd, magic);
  } finally {
    fs.closeSync(fd);
  }
  return magic.equals(Buffer.from('\x7fELF', 'latin1'));
}

/** The libraries that TensorFlow 2.21 opens by name once it sees a GPU; requirements-gpu.txt brings them. */
const CUDA_LIBRARIES = [
  'libcudart.so.12',
  'libcublas.so.12',
  'libcublasLt.so.12',
  'libcufft.so.11',
  'libcusolver.so.11',
  'libcusparse.so.12',
  'libcudnn.so.9',
] as const;

/**
 * The NVIDIA libraries that neither a GPU build, the search path nor the system's linker has. They are looked for
 * before TensorFlow is loaded, because it does not report a missing one but ends the process.
 * @param folder of the build, whose libraries are in nvidia/<package>/lib
 * @param search folders, separated by colons
 */
export function missingCudaLibraries(
  folder: string,
  search: string = process.env['LD_LIBRARY_PATH'] ?? '',
): readonly string[] {
  const own = path.join(folder, 'nvidia');
  const packages = fs.existsSync(own) ? fs.readdirSync(own).map((name) => path.join(own, name, 'lib')) : [];
  const folders = [...packages, ...search.split(':').filter((entry) => entry !== '')];
  const absent = CUDA_LIBRARIES.filter((name) => !folders.some((entry) => fs.existsSync(path.join(entry, name))));
  if (absent.length === 0) return absent;
  const known = spawnSync('ldconfig', ['-p'], {encoding: 'utf8'}).stdout ?? '';
  return absent.filter((name) => !known.includes(`\t${name} `));
}

function requireCudaLibraries(folder: string): void {
  const missing = missingCudaLibraries(folder);
  if (missing.length > 0)
    throw new DeviceUnavailableError(`NVIDIA's libraries are missing: ${missing.join(', ')}`, 'mue native gpu --force');
}

/** The files that may serve, best first. A GPU build serves the CPU too. */
function candidates(want: 'cpu' | 'gpu', folder: string): Candidate[] {
  const kinds = want === 'gpu' ? (['gpu'] as const) : (['cpu', 'gpu'] as const);
  const official = OFFICIAL.flatMap((name): Candidate[] => {
    const home = locate(name);
    const file = home === undefined ? undefined : officialBinding(home);
    return file === undefined ? [] : [{kind: name.endsWith('-gpu') ? 'gpu' : 'cpu', file}];
  });
  const built = (['cpu', 'gpu'] as const).map(
    (kind): Candidate => ({kind, file: path.join(folder, kind, 'tfjs_binding.node')}),
  );
  const all = [...official, ...built].filter(({file}) => fs.existsSync(file));
  return kinds.flatMap((kind) => all.filter((c) => c.kind === kind));
}

/** The folder of an npm package; undefined where it is not installed. */
function locate(name: string): string | undefined {
  try {
    return path.dirname(require.resolve(`${name}/package.json`));
  } catch {
    return undefined;
  }
}

/** The file lib/napi-v8/tfjs_binding.node, put there by the package's install script. */
function officialBinding(home: string): string | undefined {
  const lib = path.join(home, 'lib');
  if (!fs.existsSync(lib)) return undefined;
  const versions = fs.readdirSync(lib).filter((name) => name.startsWith('napi-v'));
  return versions.map((name) => path.join(lib, name, 'tfjs_binding.node')).find((file) => fs.existsSync(file));
}

/** Sets the variables that TensorFlow and CUDA read when they are loaded, except those that the user has set. */
function prepare({threads, tf32}: NativeOptions): void {
  const {env} = process;
  env.TF_CPP_MIN_LOG_LEVEL ??= '2'; // 0 all, 1 warnings, 2 errors
  env.TF_FORCE_GPU_ALLOW_GROWTH ??= 'true'; // else TensorFlow takes nearly all of the GPU's memory at once
  if (!tf32) env.NVIDIA_TF32_OVERRIDE ??= '0'; // fp32 products exact to fp32
  if (threads !== undefined) env.TF_NUM_INTRAOP_THREADS = String(threads);
  // tfjs-node 4.22 calls two functions that Node 23 removed; mended upstream, never released.
  const old = util as {isNullOrUndefined?: unknown; isArray?: unknown};
  old.isNullOrUndefined ??= (x: unknown): boolean => x === null || x === undefined;
  old.isArray ??= Array.isArray;
}

function load({kind, file}: Candidate): NativeBackend {
  const homes = OFFICIAL.map((name) => ({name, home: locate(name)})).filter((p) => p.home !== undefined);
  const script = homes.find(({home}) => file.startsWith(`${home}${path.sep}`)) ?? homes[0];
  if (!script)
    throw new DeviceUnavailableError(
      'the npm package @tensorflow/tfjs-node-gpu is not installed',
      'npm install @tensorflow/tfjs-node-gpu@4.22.0',
    );
  // A backend registers with the tfjs that its package imports, which has to be the one that the model imports.
  const theirs = createRequire(require.resolve(`${script.name}/package.json`)).resolve('@tensorflow/tfjs');
  if (theirs !== require.resolve('@tensorflow/tfjs'))
    throw new DeviceUnavailableError(`${script.name} brings its own tfjs, ${theirs}`, 'npm dedupe');
  require(`${script.name}/dist/register_all_kernels`);
  const {NodeJSKernelBackend} = require(`${script.name}/dist/nodejs_kernel_backend`) as KernelBackendModule;
  const {binding, log} = loadQuietly(file);
  const packageName = `@tensorflow/tfjs-node${kind === 'gpu' ? '-gpu' : ''}`;
  const create = (): KernelBackend => new NodeJSKernelBackend(binding, packageName);
  return {tensorflow: binding.TF_Version, gpu: binding.isUsingGpuDevice(), file, log, create};
}

/** Requires the binding while its output to stderr is held back, where the build brought the means for that. */
function loadQuietly(file: string): {binding: Binding; log: string} {
  const helper = path.join(path.dirname(file), 'stderr_capture.node');
  const capture = fs.existsSync(helper) ? (require(helper) as CaptureModule) : undefined;
  let binding: Binding;
  let log = '';
  capture?.begin();
  try {
    binding = require(file) as Binding;
  } finally {
    log = capture?.end() ?? '';
    if (process.env.TF_CPP_MIN_LOG_LEVEL === '0') process.stderr.write(log);
  }
  if (typeof binding.isUsingGpuDevice !== 'function')
    throw new DeviceUnavailableError('an addon, but not this binding');
  return {binding, log};
}

function notBuilt(want: 'cpu' | 'gpu'): DeviceUnavailableError {
  const build = `mue native ${want}`;
  const name = want === 'gpu' ? OFFICIAL[0] : OFFICIAL.find((official) => locate(official) !== undefined);
  const official =
    name && locate(name)
      ? `where the install script of ${name} was blocked: npm rebuild --ignore-scripts=false ${name}`
      : `the official package: npm install ${want === 'gpu' ? OFFICIAL[0] : '@tensorflow/tfjs-node'}@4.22.0`;
  return new DeviceUnavailableError(NOT_BUILT, `${build}; or, ${official}`);
}

/** Turns the dynamic linker's message into a sentence. */
function explain({kind, file}: Candidate, error: unknown): DeviceUnavailableError {
  const where = path.relative(process.cwd(), file);
  const again = file.includes(`${path.sep}node_modules${path.sep}`) ? 'npm rebuild' : `mue native ${kind} --force`;
  if (error instanceof DeviceUnavailableError)
    return new DeviceUnavailableError(`${where}: ${error.message}`, error.hint ?? again, error);
  const words = (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
  const library = words.match(/(lib[\w.+-]+\.so[\w.]*): cannot open shared object file/)?.[1];
  if (library?.startsWith('libcuda.')) {
    return new DeviceUnavailableError(
      `${where}: ${library} is missing, the NVIDIA driver's library`,
      'install the NVIDIA driver, or --device native',
      error,
    );
  }
  if (library !== undefined)
    return new DeviceUnavailableError(`${where}: the library ${library} is missing`, again, error);
  const damaged =
    /invalid ELF header|file too short|not a valid|wrong ELF class|Module did not self-register|undefined symbol/.test(
      words,
    );
  return new DeviceUnavailableError(`${where} is ${damaged ? 'broken' : 'not loadable'}: ${words}`, again, error);
}
