import * as tf from '@tensorflow/tfjs';

/** What kernels of this project's own use of the wasm backend. */
export interface WasmBackend {
  makeOutput(shape: number[], dtype: tf.DataType): tf.TensorInfo;
  /** A view, valid until the heap grows: made after every allocation. */
  typedArrayFromHeap<T extends Float32Array | Int32Array = Float32Array>(tensor: tf.TensorInfo): T;
}

export type KernelCall = Parameters<tf.KernelFunc>[0];

/** Puts another function in the place of a kernel of a backend that has started. @param make gets the one that is there now */
export function replaceKernel(name: string, backend: string, make: (original: tf.KernelFunc) => tf.KernelFunc): void {
  const {setupFunc: _, ...config} = tf.getKernel(name, backend); // its setup has run
  tf.unregisterKernel(name, backend);
  tf.registerKernel({...config, kernelFunc: make(config.kernelFunc)});
}
