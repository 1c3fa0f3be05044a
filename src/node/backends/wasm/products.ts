import * as tf from '@tensorflow/tfjs';
import {type KernelCall, preferKernel} from '../kernels.js';
import {ACTIVATIONS, areFloats, type KernelHeap, sizeOf} from './heap.js';

// M rows, K inner size, N columns

/** Up to so many rows the panels are read once for three or four rows at a time, and rows are not packed. */
const FEW_ROWS = 8;
/** Bytes of packed rows that stay in a core's second cache while all panels pass. */
const BLOCK_BYTES = 384 * 1024;
/** So few rows are not cut: each piece reads all panels. */
export const LEAST_ROWS = 16;
const MOST_ROWS = 256;

/** How many rows are packed at a time, a multiple of 4. */
export function rowsAtOnce(M: number, K: number): number {
  const fit = Math.max(LEAST_ROWS, Math.floor(BLOCK_BYTES / 4 / K) & ~3);
  return Math.min((M + 3) & ~3, MOST_ROWS, fit);
}

interface ProductOperands {
  /** M·K numbers. */
  readonly a: tf.TensorInfo;
  /** K·N numbers; its panels are kept as long as it is. */
  readonly b: tf.TensorInfo;
  readonly bias?: tf.TensorInfo | undefined;
  /** M·N numbers, added before the activation. */
  readonly addend?: tf.TensorInfo | undefined;
  readonly M: number;
  readonly K: number;
  readonly N: number;
}

/** activation(a · b + bias + addend) as a new tensor of a shape. */
export function multiply(
  heap: KernelHeap,
  {a, b, bias, addend, M, K, N}: ProductOperands,
  activation: number,
  shape: number[],
): tf.TensorInfo {
  const panels = heap.panels(b, K, N);
  const out = heap.output(shape);
  const [from, to] = [heap.address(a), heap.address(out)];
  const [first, second] = [heap.address(bias), heap.address(addend)];
  const work = M * K * N;
  if (M <= FEW_ROWS && !addend) {
    const columns = heap.pieceSize(N, work, 8);
    heap.run('few_rows', Math.ceil(N / columns), [from, M, K, panels, N, first, to, activation, columns]);
    return out;
  }
  const rows = Math.max(Math.min(M, LEAST_ROWS), heap.pieceSize(M, work, 4));
  const across = Math.ceil(M / rows);
  // Few pieces of rows are cut again, by columns.
  const columns = across > 1 ? N : heap.pieceSize(N, work, 8);
  const size = rowsAtOnce(rows, K);
  const parameters = [from, M, K, panels, N, first, second, to, activation, size, rows, columns];
  heap.run('product', across * Math.ceil(N / columns), parameters, 4 * size * K);
  return out;
}

/**
 * Puts this project's kernel in the place of tfjs' products of float32 matrices; batched right operands, transposed
 * ones and other activations stay where they were. Registers `MueLinear`.
 */
export function replaceProducts(heap: KernelHeap): void {
  for (const name of [tf.BatchMatMul, tf._FusedMatMul]) preferKernel(name, 'wasm', (call) => product(heap, call));
  tf.registerKernel({
    kernelName: 'MueLinear',
    backendName: 'wasm',
    kernelFunc: ({inputs, attrs}) => {
      const {x, weight, bias} = inputs as {x: tf.TensorInfo; weight: tf.TensorInfo; bias: tf.TensorInfo};
      const [K, N] = weight.shape as [number, number];
      const {activation} = attrs as unknown as {activation: string};
      const operands = {a: x, b: weight, bias, M: sizeOf(x.shape) / K, K, N};
      return multiply(heap, operands, ACTIVATIONS[activation]!, [...x.shape.slice(0, -1), N]);
    },
  });
}

function product(heap: KernelHeap, {inputs, attrs}: KernelCall): tf.TensorInfo | undefined {
  const {a, b, bias} = inputs as {a: tf.TensorInfo; b: tf.TensorInfo; bias?: tf.TensorInfo};
  const {
    transposeA,
    transposeB,
    activation = 'linear',
  } = attrs as unknown as {transposeA: boolean; transposeB: boolean; activation?: string};
  const number = ACTIVATIONS[activation];
  if (transposeA || transposeB || number === undefined || inputs.preluActivationWeights) return undefined;
  if (!areFloats(a, b, bias) || sizeOf(b.shape.slice(0, -2)) !== 1) return undefined;
  const [K, N] = b.shape.slice(-2) as [number, number];
  const M = sizeOf(a.shape) / K;
  if (!(M * K * N > 0) || (bias && sizeOf(bias.shape) !== N)) return undefined;
  const outer = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  return multiply(heap, {a, b, bias, M, K, N}, number, [...outer, a.shape.at(-2)!, N]);
}
