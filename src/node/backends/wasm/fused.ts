import * as tf from '@tensorflow/tfjs';
import {type KernelHeap, sizeOf} from './heap.js';

/** Registers layer norm and GELU as kernels of this project's. */
export function registerRowKernels(heap: KernelHeap): void {
  tf.registerKernel({
    kernelName: 'MueLayerNorm',
    backendName: 'wasm',
    kernelFunc: ({inputs, attrs}) => {
      const {x, gain, bias} = inputs as {x: tf.TensorInfo; gain: tf.TensorInfo; bias: tf.TensorInfo};
      const {epsilon} = attrs as unknown as {epsilon: number};
      const size = sizeOf(gain.shape);
      const {run, ...at} = withOutput(heap, x);
      const parameters = [heap.address(gain), heap.address(bias)];
      run.layer_norm(at.from, ...parameters, at.to, 0, sizeOf(x.shape) / size, size, epsilon);
      return at.out;
    },
  });
  tf.registerKernel({
    kernelName: 'MueGelu',
    backendName: 'wasm',
    kernelFunc: ({inputs}) => {
      const {x} = inputs as {x: tf.TensorInfo};
      const {run, from, to, out} = withOutput(heap, x);
      run.gelu(from, to, 0, sizeOf(x.shape));
      return out;
    },
  });
}

/** A new tensor of the shape of x, and the addresses of both. */
function withOutput(
  heap: KernelHeap,
  x: tf.TensorInfo,
): {run: KernelHeap['run']; out: tf.TensorInfo; from: number; to: number} {
  const out = heap.output(x.shape);
  return {run: heap.run, out, from: heap.address(x), to: heap.address(out)};
}
