import fs from 'node:fs';
import v8 from 'node:v8';
import type * as tf from '@tensorflow/tfjs';
import type {WasmBackend} from '../kernels.js';

/** A kernel takes addresses and sizes; an address beyond 2 GiB may be given as the negative number of the same bits. */
type Kernel = (...numbers: number[]) => void;

/** What kernels/kernels.c exports; the comments there say what each takes. */
export interface Kernels {
  readonly pack: Kernel;
  readonly pack_each: Kernel;
  readonly product: Kernel;
  readonly few_rows: Kernel;
  readonly convolution: Kernel;
  readonly attend: Kernel;
  readonly attend_once: Kernel;
  readonly layer_norm: Kernel;
  readonly gelu: Kernel;
}

/** Emscripten's module under tfjs' wasm backend, and what the backend keeps of a tensor. */
interface TfjsWasm extends WasmBackend {
  readonly wasm: {
    readonly asm: {readonly memory: WebAssembly.Memory};
    _malloc(bytes: number): number;
    _free(address: number): void;
  };
  readonly dataIdMap: {get(dataId: object): {readonly memoryOffset: number}};
  disposeData(dataId: object, force?: boolean): boolean;
}

/** The numbers of kernels/kernels.c's activations. */
export const ACTIVATIONS: Readonly<Record<string, number>> = {linear: 0, relu: 1, gelu: 2};

const STACK_BYTES = 65_536;
const PAGE_BYTES = 65_536;
const FILES = new URL('../../../../kernels/', import.meta.url);

/** The files of kernels/build.mjs: exact multiplications and additions, or fused ones where the processor has them. */
export type KernelBuild = 'simd' | 'relaxed';

/**
 * Compiles a build of the kernels.
 * @returns undefined where the engine lacks relaxed SIMD
 */
export function compileKernels(build: KernelBuild): WebAssembly.Module | undefined {
  const bytes = fs.readFileSync(new URL(`${build}.wasm`, FILES));
  if (build === 'relaxed' && !WebAssembly.validate(bytes)) {
    // Node 20 has it behind a flag; later versions have it, and do not know the flag.
    v8.setFlagsFromString('--experimental-wasm-relaxed-simd');
    if (!WebAssembly.validate(bytes)) return undefined;
  }
  return new WebAssembly.Module(bytes);
}

/** Kernels on a memory; `stack` is the address behind the STACK_BYTES that are theirs, a multiple of 16. */
export function instantiateKernels(module: WebAssembly.Module, memory: WebAssembly.Memory, stack: number): Kernels {
  const {exports} = new WebAssembly.Instance(module, {env: {memory}});
  // As it is, the stack lies in the first megabyte, amid foreign data.
  (exports['__stack_pointer'] as WebAssembly.Global).value = stack | 0;
  return exports as unknown as Kernels;
}

/**
 * This project's kernels on the heap of tfjs' wasm backend: addresses of tensors, scratch memory, and the right
 * operands of products as panels, which are made at the first use of a tensor and freed with it.
 */
export class KernelHeap {
  readonly #backend: TfjsWasm;
  readonly #builds = new Map<KernelBuild, Kernels>();
  #run: Kernels | undefined;
  readonly #scratch = {address: 0, bytes: 0};
  /** By what a tensor holds, and the shape that it was packed as: tensors of several shapes may share numbers. */
  readonly #panels = new WeakMap<object, Map<string, number>>();

  /** @param backend started; its malloc throws where the heap is full */
  constructor(backend: tf.KernelBackend) {
    this.#backend = backend as unknown as TfjsWasm;
    const dispose = this.#backend.disposeData.bind(backend);
    this.#backend.disposeData = (dataId, force) => {
      const disposed = dispose(dataId, force);
      if (disposed) this.#forget(dataId);
      return disposed;
    };
  }

  /** The kernels of the build that `use` chose last. */
  get run(): Kernels {
    return this.#run!;
  }

  /**
   * Changes to a build of the kernels, or from 'relaxed' to 'simd' where the engine lacks it.
   * @returns the build that runs from now on
   */
  use(wanted: KernelBuild): KernelBuild {
    const relaxed = wanted === 'relaxed' ? compileKernels('relaxed') : undefined;
    const build = relaxed ? 'relaxed' : 'simd';
    this.#run = this.#builds.get(build);
    if (!this.#run) {
      const stack = (this.allocate(STACK_BYTES) + STACK_BYTES - 16) & ~15;
      this.#run = instantiateKernels(relaxed ?? compileKernels('simd')!, this.#backend.wasm.asm.memory, stack);
      this.#builds.set(build, this.#run);
    }
    return build;
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

  /** Memory for the time of one kernel; the next call may hand out the same. */
  scratch(bytes: number): number {
    const {address, bytes: held} = this.#scratch;
    if (bytes > held) {
      const wanted = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
      if (held > 0) this.free(address);
      Object.assign(this.#scratch, {address: 0, bytes: 0});
      Object.assign(this.#scratch, {address: this.allocate(wanted), bytes: wanted});
    }
    return this.#scratch.address;
  }

  /** Writes 32-bit numbers to the heap. */
  write(address: number, numbers: readonly number[]): void {
    new Uint32Array(this.#backend.wasm.asm.memory.buffer, address, numbers.length).set(numbers);
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
    this.run.pack_each(this.address(tensor), 0, count, K, N, address);
    return address;
  }

  #forget(dataId: object): void {
    for (const address of this.#panels.get(dataId)?.values() ?? []) this.free(address);
    this.#panels.delete(dataId);
  }
}

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
