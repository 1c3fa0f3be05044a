import fs from 'node:fs';
import v8 from 'node:v8';

/** What kernels/kernels.c exports; the comments there say what each does with a job. */
export interface Kernels {
  run(job: number): void;
  begin(job: number, helpers: number): number;
  end(job: number): number;
  leave(job: number, failed: number): void;
  serve(job: number, thread: number, patience: number): void;
}

/** The files of kernels/build.mjs: exact multiplications and additions, or fused ones where the processor has them. */
export type KernelBuild = 'simd' | 'relaxed';

/** Bytes of a stack, which every instance of the kernels needs. */
export const STACK_BYTES = 65_536;
const FILES = new URL('../../../../kernels/', import.meta.url);
/** 'env' 'memory' as the import of a memory, before the byte that says of which kind. */
const IMPORT = Buffer.from('03656e76066d656d6f727902', 'hex');
const WITH_MAXIMUM = 1;

/**
 * Compiles a build of the kernels.
 * @param shared   whether the memory that they are for is shared among threads
 * @returns undefined where the engine lacks relaxed SIMD
 */
export function compileKernels(build: KernelBuild, shared: boolean): WebAssembly.Module | undefined {
  const bytes = fs.readFileSync(new URL(`${build}.wasm`, FILES));
  if (!shared) bytes[bytes.indexOf(IMPORT) + IMPORT.length] = WITH_MAXIMUM;
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
