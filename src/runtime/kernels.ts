import * as tf from '@tensorflow/tfjs';

// Traits of the tfjs backend at work. Names of backends stand here and in src/node/backends alone.

/** Tensors live in this process's memory: reading one is a copy, not a wait for a device. */
export function hostMemory(): boolean {
  const name = tf.getBackend();
  if (name === 'wasm' || name === 'cpu') return true;
  return name === 'tensorflow' && (tf.backend() as {isUsingGpuDevice?: boolean}).isUsingGpuDevice === false;
}

/**
 * A batched matMul is as quick as its parts. On wasm a batched or transposed one runs a naive loop (900x64x900 in 12
 * batches: 429 ms, as 12 matrices 30 ms; one thread); it is composed only where gradients are taken.
 */
export function fastBatchedMatMul(): boolean {
  return tf.getBackend() !== 'wasm';
}

/**
 * Kernels of this project's own: what tfjs composes of many, as one call. A backend has those that pay there
 * (src/node/backends); elsewhere, and where gradients are taken, the block around
 * composes it of tfjs' operations.
 * - `MueLayerNorm`: x [..., D], gain [D], bias [D], attribute epsilon → the shape of x
 * - `MueGelu`: x → the shape of x
 * - `MueLinear`: x [..., in], weight [in, out], bias [out], attribute activation, 'gelu' or 'linear' → [..., out]
 * - `MueConvAddRelu`: x [B, h, w, in], filter [k, k, in, out], bias [out], addend [B, h', w', out], attributes strides
 *   and pad, numbers → max(0, conv(x) + bias + addend)
 * - `MueAttend`: queries x [B, H, T, d], keys [B, H, d, S], values [B, H, S, d], bias0, bias1 … [B or 1, H or 1, T or 1, S]
 *   (axes before may be absent), scale [H] or absent, attributes biases, their number, and keep, whether keys and values
 *   are read again → softmax(x · keys + biases) · values · scale, of the shape of x
 * - `MueSelfAttentionStep`, `MueCrossAttentionStep`, `MueFeedForwardStep`: the parts of a decoder layer for a new token
 *   of few rows, x [R, 1, D]; weights of linear maps are `qWeight` [in, out] and `qBias` [out], of norms `innerGain` and
 *   `innerBias`, before, `outerGain` and `outerBias`, after (src/nn/few-row-steps.ts) → [R, 1, D], and of self-attention
 *   keys [R, H, d, n] and values [R, H, n, d] with those of the new token, too
 */
export type FusedKernel =
  | 'MueLayerNorm'
  | 'MueGelu'
  | 'MueLinear'
  | 'MueConvAddRelu'
  | 'MueAttend'
  | 'MueSelfAttentionStep'
  | 'MueCrossAttentionStep'
  | 'MueFeedForwardStep';

/** Operations are being recorded for gradients, one by one; inside a kernel or a custom gradient they are not. */
export function recordsGradients(): boolean {
  const {gradientDepth, kernelDepth} = tf.engine().state;
  return gradientDepth > 0 && kernelDepth === 0;
}

/**
 * Runs a kernel of these.
 * @returns its output or outputs, the caller's (or the tidy's around); undefined where there is no such kernel, or a gradient
 *   is taken
 */
export function runFused<T extends tf.Tensor | tf.Tensor[] = tf.Tensor>(
  kernel: FusedKernel,
  inputs: {readonly x: tf.Tensor} & tf.NamedTensorMap,
  attrs: tf.NamedAttrMap = {},
): T | undefined {
  return hasFused(kernel) ? (tf.engine().runKernel(kernel, inputs, attrs) as T) : undefined;
}

/** Whether `runFused` would run a kernel now. */
export function hasFused(kernel: FusedKernel): boolean {
  // The own kernels have no gradients.
  return !recordsGradients() && tf.getKernel(kernel, tf.engine().backendName) != null;
}
