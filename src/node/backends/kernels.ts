import * as tf from '@tensorflow/tfjs';

// The common ground of this project's own kernels, for whichever backend they are.

/** The part of the wasm backend that a kernel uses. */
export interface WasmBackend {
  makeOutput(shape: number[], dtype: tf.DataType): tf.TensorInfo;
  /** A view of a tensor's numbers, valid until the heap grows: make it after every allocation. */
  typedArrayFromHeap<T extends Float32Array | Int32Array = Float32Array>(tensor: tf.TensorInfo): T;
}

export type KernelCall = Parameters<tf.KernelFunc>[0];

/**
 * Puts another function in the place of a kernel of a backend that has started.
 * @param make gets the function that is there now, and returns the one that replaces it
 */
export function replaceKernel(name: string, backend: string, make: (original: tf.KernelFunc) => tf.KernelFunc): void {
  const {setupFunc: _, ...config} = tf.getKernel(name, backend); // its setup has run
  tf.unregisterKernel(name, backend);
  tf.registerKernel({...config, kernelFunc: make(config.kernelFunc)});
}

/** Puts a kernel before another, which takes the calls for which the first returns undefined. */
export function preferKernel(
  name: string,
  backend: string,
  kernel: (call: KernelCall) => tf.TensorInfo | tf.TensorInfo[] | undefined,
): void {
  replaceKernel(name, backend, (original) => (call) => kernel(call) ?? original(call));
}

/**
 * Layer norm with gain and bias over rows in this process's memory, in double precision. It serves the few rows of a
 * decoder's step, where calls into a backend cost more than the numbers.
 * @param to   [rows · size], written
 * @param x    [rows · size]
 * @param gain [size]
 * @param bias [size]
 */
export function layerNormRows(
  to: Float32Array,
  x: Float32Array,
  gain: Float32Array,
  bias: Float32Array,
  epsilon: number,
): void {
  const size = gain.length;
  for (let start = 0; start < x.length; start += size) {
    let sum = 0;
    for (let i = 0; i < size; i++) sum += x[start + i]!;
    const mean = sum / size;
    let squares = 0;
    for (let i = 0; i < size; i++) {
      const centred = x[start + i]! - mean;
      squares += centred * centred;
    }
    const scale = 1 / Math.sqrt(squares / size + epsilon);
    for (let i = 0; i < size; i++) to[start + i] = (x[start + i]! - mean) * scale * gain[i]! + bias[i]!;
  }
}
