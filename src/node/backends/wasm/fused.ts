import * as tf from '@tensorflow/tfjs';
import {floatBits, type KernelHeap, sizeOf} from './heap.js';

/** What a number of these costs, in multiply-accumulates of a product. */
const NORM_WORK = 10;
const GELU_WORK = 20;

/** Registers layer norm and GELU as kernels of this project's. */
export function registerRowKernels(heap: KernelHeap): void {
  tf.registerKernel({
    kernelName: 'MueLayerNorm',
    backendName: 'wasm',
    kernelFunc: ({inputs, attrs}) => {
      const {x, gain, bias} = inputs as {x: tf.TensorInfo; gain: tf.TensorInfo; bias: tf.TensorInfo};
      const {epsilon} = attrs as unknown as {epsilon: number};
      const size = sizeOf(gain.shape);
      const out = heap.output(x.shape);
      const rows = sizeOf(x.shape) / size;
      const each = heap.pieceSize(rows, rows * size * NORM_WORK);
      const parameters = [x, gain, bias, out].map((tensor) => heap.address(tensor));
      heap.run('layer_norm', Math.ceil(rows / each), [...parameters, rows, size, floatBits(epsilon), each]);
      return out;
    },
  });
  tf.registerKernel({
    kernelName: 'MueGelu',
    backendName: 'wasm',
    kernelFunc: ({inputs}) => {
      const {x} = inputs as {x: tf.TensorInfo};
      const out = heap.output(x.shape);
      const size = sizeOf(x.shape);
      const each = heap.pieceSize(size, size * GELU_WORK, 4);
      heap.run('gelu', Math.ceil(size / each), [heap.address(x), heap.address(out), size, each]);
      return out;
    },
  });
}
