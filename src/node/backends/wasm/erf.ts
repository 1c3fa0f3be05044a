import * as tf from '@tensorflow/tfjs';
import {replaceKernel, type WasmBackend} from '../kernels.js';

let patched = false;

/**
 * Replaces the error function of the wasm backend by the rational function that Eigen and XLA use for float32, which is
 * off by at most 6.5e-8. tfjs-backend-wasm 4.22 takes an exponential for each number, is off by up to 1.5e-7, and takes
 * three times as long (256×1024 numbers: 11.8 ms, here 4.0 ms).
 */
export function patchWasmErf(): void {
  if (patched) return;
  patched = true;
  replaceKernel(tf.Erf, 'wasm', (original) => (call) => {
    const {x} = call.inputs as {x: tf.TensorInfo};
    if (x.dtype !== 'float32') return original(call);
    const wasm = call.backend as unknown as WasmBackend;
    const out = wasm.makeOutput(x.shape, 'float32');
    const [from, to] = [wasm.typedArrayFromHeap(x), wasm.typedArrayFromHeap(out)];
    for (let i = 0; i < from.length; i++) to[i] = erf(from[i]!);
    return out;
  });
}

/** The error function to float32's precision. Beyond ±4 it is ±1 but for the last digit. NaN stays NaN. */
export function erf(v: number): number {
  const x = v > 4 ? 4 : Math.max(v, -4);
  const t = x * x;
  const p =
    ((((((-2.72614225801306e-10 * t + 2.77068142495902e-8) * t - 2.10102402082508e-6) * t - 5.69250639462346e-5) * t -
      7.34990630326855e-4) *
      t -
      2.95459980854025e-3) *
      t -
      1.60960333262415e-2) *
    x;
  const q =
    (((-1.45660718464996e-5 * t - 2.13374055278905e-4) * t - 1.68282697438203e-3) * t - 7.37332916720468e-3) * t -
    1.42647390514189e-2;
  return p / q;
}
