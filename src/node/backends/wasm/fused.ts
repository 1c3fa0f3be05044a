import * as tf from '@tensorflow/tfjs';
import {layerNormRows, type WasmBackend} from '../kernels.js';
import {erf} from './erf.js';

let done = false;

/**
 * Registers layer norm and GELU on the wasm backend as loops of JavaScript on its heap. They serve the few rows of a
 * decoder's step, where the nine calls that tfjs makes cost more than the numbers (layer norm of 5×256: 0.38 → 0.05
 * ms). Call with the backend started.
 */
export function fuseWasmKernels(): void {
  if (done) return;
  done = true;
  const add = (
    kernelName: string,
    run: (to: Float32Array, attrs: {epsilon: number}, ...from: Float32Array[]) => void,
    names: string[],
  ): void =>
    tf.registerKernel({
      kernelName,
      backendName: 'wasm',
      kernelFunc: ({inputs, attrs, backend}) => {
        const wasm = backend as unknown as WasmBackend;
        const tensors = names.map((name) => inputs[name] as tf.TensorInfo);
        const out = wasm.makeOutput(tensors[0]!.shape, 'float32');
        run(
          wasm.typedArrayFromHeap(out),
          attrs as unknown as {epsilon: number},
          ...tensors.map((t) => wasm.typedArrayFromHeap(t)),
        );
        return out;
      },
    });
  add('MueLayerNorm', (to, {epsilon}, x, gain, bias) => layerNormRows(to, x!, gain!, bias!, epsilon), [
    'x',
    'gain',
    'bias',
  ]);
  add('MueGelu', (to, _, x) => gelu(to, x!), ['x']);
}

function gelu(to: Float32Array, x: Float32Array): void {
  for (let i = 0; i < x.length; i++) {
    const v = x[i]!;
    to[i] = 0.5 * v * (1 + erf(v * Math.SQRT1_2));
  }
}
