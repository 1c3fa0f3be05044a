import * as tf from '@tensorflow/tfjs';
import {registerAttention} from './attention.js';
import {replaceConvolutions} from './convolutions.js';
import {registerRowKernels} from './fused.js';
import {type KernelBuild, KernelHeap} from './heap.js';
import {replaceProducts} from './products.js';

let heap: KernelHeap | undefined;

/**
 * Makes this project's kernels those of the wasm backend, which has been started and mended (a full heap throws).
 * @param relaxed   whether fused multiplications and additions may be used where the engine has them: quicker, and in
 *   the seventh digit not the same on every processor
 * @returns the build that runs
 */
export function useOwnKernels(relaxed: boolean): KernelBuild {
  if (!heap) {
    heap = new KernelHeap(tf.backend());
    replaceProducts(heap);
    replaceConvolutions(heap);
    registerRowKernels(heap);
    registerAttention(heap);
  }
  return heap.use(relaxed ? 'relaxed' : 'simd');
}
