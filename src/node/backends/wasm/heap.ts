import type * as tf from '@tensorflow/tfjs';
import type {WasmBackend} from '../kernels.js';
import {compileKernels, instantiateKernels, type KernelBuild, STACK_BYTES} from './modules.js';
import {type Job, JOB_BYTES, type KernelName, ThreadPool} from './pool.js';
import {startThread} from './threads.js';

/** Emscripten's module under tfjs' wasm backend, and what the backend keeps of a tensor. */
interface TfjsWasm extends WasmBackend {
  readonly wasm: {
    readonly asm: {readonly memory?: WebAssembly.Memory};
    /** Of the build with threads, which is given its memory. */
    readonly wasmMemory?: WebAssembly.Memory;
    _malloc(bytes: number): number;
    _free(address: number): void;
  };
  readonly dataIdMap: {get(dataId: object): {readonly memoryOffset: number}};
  disposeData(dataId: object, force?: boolean): boolean;
}

/** The numbers of kernels/kernels.c's activations. */
export const ACTIVATIONS: Readonly<Record<string, number>> = {linear: 0, relu: 1, gelu: 2};

const PAGE_BYTES = 65_536;
/** Multiply-accumulates, or steps that take as long, from which on waking other threads pays: about 50 µs. */
const SHARED_WORK = 1_000_000;
/** Pieces that a job is cut into for each thread, so that one that comes late or is interrupted does not hold it up. */
const PIECES_A_THREAD = 4;

/** Memory of a size that grows when more is asked for; the next call hands out the same. */
class Scratch {
  #address = 0;
  #bytes = 0;

  constructor(private readonly heap: Pick<KernelHeap, 'allocate' | 'free'>) {}

  reserve(bytes: number): number {
    if (bytes > this.#bytes) {
      const wanted = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
      if (this.#bytes > 0) this.heap.free(this.#address);
      this.#bytes = 0;
      this.#address = this.heap.allocate(wanted);
      this.#bytes = wanted;
    }
    return this.#address;
  }
}

/**
 * This project's kernels on the heap of tfjs' wasm backend: addresses of tensors, scratch memory, threads where the heap
 * is shared, and the right operands of products as panels, which are made at the first use of a tensor and freed with it.
 */
export class KernelHeap {
  readonly #backend: TfjsWasm;
  readonly #memory: WebAssembly.Memory;
  readonly #pools = new Map<KernelBuild, ThreadPool>();
  #pool: ThreadPool | undefined;
  readonly #scratch = new Scratch(this);
  readonly #table = new Scratch(this);
  readonly #rows = new Scratch(this);
  /** By what a tensor holds, and the shape that it was packed as: tensors of several shapes may share numbers. */
  readonly #panels = new WeakMap<object, Map<string, number>>();

  /** @param backend started; its malloc throws where the heap is full */
  constructor(backend: tf.KernelBackend) {
    this.#backend = backend as unknown as TfjsWasm;
    this.#memory = this.#backend.wasm.wasmMemory ?? this.#backend.wasm.asm.memory!;
    const dispose = this.#backend.disposeData.bind(backend);
    this.#backend.disposeData = (dataId, force) => {
      const disposed = dispose(dataId, force);
      if (disposed) this.#forget(dataId);
      return disposed;
    };
  }

  /** Whether threads can share the heap. */
  get shared(): boolean {
    return this.#memory.buffer instanceof SharedArrayBuffer;
  }

  /** Threads that a job may use, the caller's included. */
  get threads(): number {
    return this.#pool?.threads ?? 1;
  }

  /**
   * Changes to a build of the kernels, or from 'relaxed' to 'simd' where the engine lacks it.
   * @param threads   as many as may share a job; one where the heap cannot be shared
   * @returns the build that runs from now on
   */
  use(wanted: KernelBuild, threads: number): KernelBuild {
    const relaxed = wanted === 'relaxed' ? compileKernels('relaxed', this.shared) : undefined;
    const build = relaxed ? 'relaxed' : 'simd';
    const pool = this.#pools.get(build) ?? this.#createPool(relaxed ?? compileKernels('simd', this.shared)!);
    this.#pools.set(build, pool);
    if (this.#pool !== pool) this.#pool?.stop();
    pool.threads = threads;
    this.#pool = pool;
    return build;
  }

  #createPool(module: WebAssembly.Module): ThreadPool {
    const memory = this.#memory;
    const newStack = (): number => (this.allocate(STACK_BYTES) + STACK_BYTES - 16) & ~15;
    const job = this.allocate(JOB_BYTES);
    new Uint8Array(memory.buffer, job, JOB_BYTES).fill(0);
    const own = instantiateKernels(module, memory, newStack());
    if (!this.shared) return new ThreadPool(own, memory, job);
    // A thread that is started again has the stack of the one before.
    const stacks: number[] = [];
    return new ThreadPool(own, memory, job, (thread, ended) => {
      stacks[thread] ??= newStack();
      return startThread({module, memory, job, thread, stack: stacks[thread]}, ended);
    });
  }

  /**
   * Runs a kernel to its end.
   * @param scratchBytes   memory that each thread works in
   */
  run(kernel: KernelName, pieces: number, parameters: readonly number[], scratchBytes = 0): void {
    const bytes = Math.ceil(scratchBytes / 64) * 64;
    const scratch = {address: this.#scratch.reserve(bytes * this.threads), bytes};
    const job: Job = {kernel, pieces, parameters, scratch};
    this.#pool!.run(job);
  }

  /**
   * How many of `units` a piece of a job has: all of them where the work is little or there is one thread.
   * @param work     multiply-accumulates of the whole job
   * @param multiple what the number is a multiple of, unless it is all
   */
  pieceSize(units: number, work: number, multiple = 1): number {
    if (this.threads === 1 || work < SHARED_WORK) return units;
    return Math.ceil(units / (this.threads * PIECES_A_THREAD) / multiple) * multiple;
  }

  /** Bytes of the heap, the caller's to free; tensors' views of it are stale afterwards. */
  allocate(bytes: number): number {
    return this.#backend.wasm._malloc(bytes) >>> 0;
  }

  free(address: number): void {
    this.#backend.wasm._free(address);
  }

  /** Where the numbers of a tensor lie; 0 for none. */
  address(tensor: tf.TensorInfo | undefined): number {
    return tensor ? this.#backend.dataIdMap.get(tensor.dataId).memoryOffset >>> 0 : 0;
  }

  /** A new float32 tensor. */
  output(shape: number[]): tf.TensorInfo {
    return this.#backend.makeOutput(shape, 'float32');
  }

  /** Memory for what lies between the kernels of one call; the next call writes over it. @returns its address */
  reserveRows(bytes: number): number {
    return this.#rows.reserve(bytes);
  }

  /** Writes 32-bit numbers that a kernel reads; the next call writes over them. @returns their address */
  writeTable(numbers: readonly number[]): number {
    const address = this.#table.reserve(4 * numbers.length);
    new Uint32Array(this.#memory.buffer, address, numbers.length).set(numbers);
    return address;
  }

  /**
   * The panels of a tensor that is a matrix [K, N], or so many of them. They live as long as its numbers.
   * @returns their address, borrowed
   */
  panels(tensor: tf.TensorInfo, K: number, N: number, count = 1): number {
    const key = `${count},${K},${N}`;
    const ofTensor = this.#panels.get(tensor.dataId) ?? new Map<string, number>();
    this.#panels.set(tensor.dataId, ofTensor);
    let address = ofTensor.get(key);
    if (address === undefined) {
      address = this.pack(tensor, K, N, count);
      ofTensor.set(key, address);
    }
    return address;
  }

  /** The same, made anew; the caller's to free. */
  pack(tensor: tf.TensorInfo, K: number, N: number, count = 1): number {
    const address = this.allocate(4 * count * K * ceil8(N));
    const each = count > 1 ? this.pieceSize(count, count * K * N) : count;
    this.run('pack', Math.ceil(count / each), [this.address(tensor), count, K, N, address, each]);
    return address;
  }

  #forget(dataId: object): void {
    for (const address of this.#panels.get(dataId)?.values() ?? []) this.free(address);
    this.#panels.delete(dataId);
  }
}

/** The bits of a number as float32, as kernels take it among sizes. */
export function floatBits(x: number): number {
  FLOAT[0] = x;
  return BITS[0]!;
}
const FLOAT = new Float32Array(1);
const BITS = new Uint32Array(FLOAT.buffer);

export function ceil8(n: number): number {
  return Math.ceil(n / 8) * 8;
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, n) => size * n, 1);
}

/** Whether all tensors, where given, are of float32. */
export function areFloats(...tensors: readonly (tf.TensorInfo | undefined)[]): boolean {
  return tensors.every((tensor) => !tensor || tensor.dtype === 'float32');
}
