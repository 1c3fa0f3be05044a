import * as tf from '@tensorflow/tfjs';
import {registerAttention} from './attention.js';
import {replaceConvolutions} from './convolutions.js';
import {registerRowKernels} from './fused.js';
import {KernelHeap} from './heap.js';
import type {KernelBuild} from './modules.js';
import {replaceProducts} from './products.js';
import {registerSteps} from './steps.js';

let heap: KernelHeap | undefined;

/** What runs. */
export interface OwnKernels {
  readonly build: KernelBuild;
  readonly threads: number;
}

/**
 * Makes this project's kernels those of the wasm backend, which has been started and mended (a full heap throws).
 * @param relaxed   whether fused multiplications and additions may be used where the engine has them: quicker, and in
 *   the seventh digit not the same on every processor
 * @param threads   as many as may share an operation, where the backend was started on a shared heap; no number depends
 *   on it
 */
export function useOwnKernels(relaxed: boolean, threads: number): OwnKernels {
  if (!heap) {
    heap = new KernelHeap(tf.backend());
    replaceProducts(heap);
    replaceConvolutions(heap);
    registerRowKernels(heap);
    registerAttention(heap);
    registerSteps(heap);
  }
  const build = heap.use(relaxed ? 'relaxed' : 'simd', threads);
  return {build, threads: heap.threads};
}
