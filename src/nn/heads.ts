import * as tf from '@tensorflow/tfjs';
import {fastBatchedMatMul} from '../runtime/kernels.js';

// B batch, T queries, S keys, H heads, d head width, D = H·d. A step of one token needs no transposition.

/** [B, T, D] → [B, H, T, d] */
export function splitHeads(x: tf.Tensor3D, heads: number): tf.Tensor4D {
  const [b, t, size] = x.shape;
  if (t === 1) return x.reshape([b, heads, 1, size / heads]);
  return tf.tidy(() => x.reshape([b, t, heads, size / heads]).transpose([0, 2, 1, 3]) as tf.Tensor4D);
}

/** [B, S, D] → [B, H, d, S]: keys are kept transposed, as products need them. */
export function splitHeadsTransposed(x: tf.Tensor3D, heads: number): tf.Tensor4D {
  const [b, s, size] = x.shape;
  if (s === 1) return x.reshape([b, heads, size / heads, 1]);
  return tf.tidy(() => x.reshape([b, s, heads, size / heads]).transpose([0, 2, 3, 1]) as tf.Tensor4D);
}

/** [B, H, T, d] → [B, T, D] */
export function mergeHeads(x: tf.Tensor4D): tf.Tensor3D {
  const [b, h, t, d] = x.shape;
  if (t === 1) return x.reshape([b, 1, h * d]);
  return tf.tidy(() => x.transpose([0, 2, 1, 3]).reshape([b, t, h * d]) as tf.Tensor3D);
}

/** Below this many multiply-accumulates a matrix the naive batched loop costs less than taking the batch apart. */
const SMALL_PRODUCT = 40_000;

/**
 * One matrix a batch element and head, [B, H, m, n], as the right operand of several products (the keys or values of
 * a memory that every decoding step reads): a kernel that packs them may keep what it packed. Owns its tensor.
 */
export class PerHeadMatrices implements Disposable {
  /** Takes ownership of `all`. */
  constructor(readonly all: tf.Tensor4D) {}

  [Symbol.dispose](): void {
    this.all.dispose();
  }
}

/** Batched product [B, H, m, k] × [B, H, k, n] → [B, H, m, n], the caller's. */
export function batchedMatMul(a: tf.Tensor4D, b: tf.Tensor4D | PerHeadMatrices): tf.Tensor4D {
  const right = b instanceof PerHeadMatrices ? b.all : b;
  const [batch, heads, m, k] = a.shape;
  const n = right.shape[3];
  if (fastBatchedMatMul() || m * k * n < SMALL_PRODUCT) return tf.matMul(a, right);
  return tf.tidy(() => {
    const rights = cut(right);
    const products = cut(a).map((left, i) => tf.matMul(left, rights[i]!));
    return tf.stack(products).reshape([batch, heads, m, n]) as tf.Tensor4D;
  });
}

/** [B, H, m, n] → B·H matrices [m, n] */
function cut(x: tf.Tensor4D): tf.Tensor2D[] {
  const [b, h, m, n] = x.shape;
  return tf.tidy(() => tf.unstack(x.reshape([b * h, m, n])) as tf.Tensor2D[]);
}
