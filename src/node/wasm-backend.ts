import type * as tf from '@tensorflow/tfjs';

/** What kernels of this project's own use of the wasm backend. */
export interface WasmBackend {
  makeOutput(shape: number[], dtype: tf.DataType): tf.TensorInfo;
  /** A view, valid until the heap grows: made after every allocation. */
  typedArrayFromHeap<T extends Float32Array | Int32Array = Float32Array>(tensor: tf.TensorInfo): T;
}
