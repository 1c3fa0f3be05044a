import * as tf from '@tensorflow/tfjs';
import {mostFused} from './backend-traits.js';

/**
 * Kernels of this project's own: what tfjs composes of many, as one call. A backend has those that pay there (src/node/native-fused.ts,
 * src/node/wasm-fused.ts); elsewhere, and where gradients are taken, the block around composes it of tfjs' operations.
 * - `MueLayerNorm`: x [..., D], gain [D], bias [D], attribute epsilon → the shape of x
 * - `MueGelu`: x → the shape of x
 * - `MueLinear`: x [..., in], weight [in, out], bias [out], attribute activation, 'gelu' or 'linear' → [..., out]
 * - `MueConvAddRelu`: x [B, h, w, in], filter [k, k, in, out], bias [out], addend [B, h', w', out], attributes strides and pad, numbers →
 *   max(0, conv(x) + bias + addend)
 */
export type FusedKernel = 'MueLayerNorm' | 'MueGelu' | 'MueLinear' | 'MueConvAddRelu';

/** Runs a kernel of these. @returns its output, the caller's (or the tidy's around); undefined where it would not pay. */
export function runFused<T extends tf.Tensor>(
  kernel: FusedKernel,
  inputs: {readonly x: tf.Tensor} & tf.NamedTensorMap,
  attrs: tf.NamedAttrMap = {},
): T | undefined {
  const engine = tf.engine();
  // They have no gradients.
  if (engine.state.gradientDepth > 0 || inputs.x.size > mostFused() || !tf.getKernel(kernel, engine.backendName)) return undefined;
  return engine.runKernel(kernel, inputs, attrs) as T;
}
