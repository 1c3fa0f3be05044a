import * as tf from '@tensorflow/tfjs';
import type {Embedding} from '../../nn/embedding.js';
import {multiplyHeads, splitHeads, splitKeys} from '../../nn/heads.js';
import type {Linear} from '../../nn/linear.js';

// Positions act only through attention biases: a content-free product of position vectors, shared by all layers, and a
// table of relative positions, one a layer (ofa_mue sections 3.2, 3.3, 4.2).   N positions, H heads

/** Product of position vectors a head. @param from [1, N, D]. @param to [1, M, D]. @returns [1, H, N, M], the caller's. */
export function absoluteBias(from: tf.Tensor3D, to: tf.Tensor3D, q: Linear, k: Linear, heads: number, scaleFactor: number): tf.Tensor4D {
  return tf.tidy(() => {
    const scale = ((q.config.units / heads) * scaleFactor) ** -0.5;
    return multiplyHeads(splitHeads(q.forward(from).mul(scale) as tf.Tensor3D, heads), splitKeys(k.forward(to), heads));
  });
}

/**
 * Rows of a relative table as a bias. @param table [rows, H]. @param buckets [N · M] row numbers.
 * @returns [1, H, N, M], the caller's.
 */
export function relativeBias(table: Embedding, buckets: Int32Array, n: number, m: number): tf.Tensor4D {
  return tf.tidy(() => {
    const rows = table.forward(tf.tensor1d(buckets, 'int32')) as tf.Tensor2D; // [N·M, H]
    return rows.transpose().reshape([1, -1, n, m]) as tf.Tensor4D;
  });
}
