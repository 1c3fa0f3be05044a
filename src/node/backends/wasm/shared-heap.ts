import {createRequire} from 'node:module';
import path from 'node:path';
import type * as tf from '@tensorflow/tfjs';

/** What the wasm backend keeps of Emscripten's module; tfjs adds its own functions to it. */
interface EmscriptenModule {
  cwrap(name: string, returns: string | null, takes: readonly string[]): (...numbers: number[]) => unknown;
  readonly wasmMemory: WebAssembly.Memory;
  tfjs?: Readonly<Record<string, (...numbers: number[]) => unknown>>;
}
type Factory = (config: Readonly<Record<string, unknown>>) => Promise<EmscriptenModule>;
type Package = {
  setThreadsCount(count: number): void;
  readonly BackendWasm: new (module: never) => tf.KernelBackend;
};

const NAME = '@tensorflow/tfjs-backend-wasm';
const PAGES = {initial: 256, maximum: 65_536};
/** The functions that the backend calls: name there, name in the module, type of the result, count of numbers. */
const FUNCTIONS = [
  ['init', 'init', null, 0],
  ['initWithThreadsCount', 'init_with_threads_count', null, 1],
  ['getThreadsCount', 'get_threads_count', 'number', 0],
  ['registerTensor', 'register_tensor', null, 3],
  ['disposeData', 'dispose_data', null, 1],
  ['dispose', 'dispose', null, 0],
] as const;

const require = createRequire(import.meta.url);

/**
 * tfjs' wasm backend on a heap that threads of this project's can share: the build of it that has threads, with none of
 * its own. Its public start makes an object URL of a worker, which Node refuses, and eight of them.
 * @param wasm the package of the backend
 */
export async function startOnSharedHeap(wasm: Package): Promise<tf.KernelBackend> {
  const script = require.resolve(`${NAME}/wasm-out/tfjs-backend-wasm-threaded-simd.js`);
  const memory = new WebAssembly.Memory({...PAGES, shared: true});
  const started = withoutWorkers(() =>
    (require(script) as Factory)({
      wasmMemory: memory,
      locateFile: (file: string) => path.join(path.dirname(require.resolve(NAME)), file),
    }),
  );
  const module = await started;
  module.tfjs = Object.fromEntries(
    FUNCTIONS.map(([name, inner, returns, numbers]) => [
      name,
      module.cwrap(inner, returns, new Array<string>(numbers).fill('number')),
    ]),
  );
  wasm.setThreadsCount(1);
  return new wasm.BackendWasm(module as never);
}

/** A worker of Emscripten's that says it is ready and is never asked for more, since the backend has one thread. */
class IdleWorker {
  #listen: ((message: object) => void) | undefined;

  on(event: string, listener: (message: object) => void): void {
    if (event === 'message') this.#listen = listener;
  }
  postMessage({cmd}: {cmd: string}): void {
    if (cmd !== 'load') throw new Error(`wasm: tfjs started a thread of its own (${cmd})`);
    this.#listen?.({cmd: 'loaded'});
  }
  ref(): void {}
  unref(): void {}
  terminate(): void {}
}

/** Runs what makes workers by the global name, which Emscripten sets itself; its own are made before it first waits. */
function withoutWorkers<T>(start: () => T): T {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'Worker');
  Object.defineProperty(globalThis, 'Worker', {configurable: true, get: () => IdleWorker, set: () => undefined});
  try {
    return start();
  } finally {
    if (before) Object.defineProperty(globalThis, 'Worker', before);
    else Reflect.deleteProperty(globalThis, 'Worker');
  }
}
