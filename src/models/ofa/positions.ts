import * as tf from '@tensorflow/tfjs';
import type {Embedding} from '../../nn/embedding.js';
import {batchedMatMul, splitHeads, splitHeadsTransposed} from '../../nn/heads.js';
import type {Linear} from '../../nn/linear.js';

// Row of a relative-position table that a pair of positions reads (docs/reference/ofa-mue.md 3.3).

/** Row of the token table for a distance query − key: exact up to half the bucket size, logarithmic beyond. */
export function tokenBucket(distance: number, bucketSize: number, maxPosition = 1024): number {
  const middle = bucketSize / 2;
  const size = Math.abs(distance);
  if (size <= middle) return distance + bucketSize - 1;
  const far = Math.ceil((Math.log(size / middle) / Math.log((maxPosition - 1) / middle)) * (middle - 1)) + middle;
  return Math.sign(distance) * far + bucketSize - 1;
}

/** Table rows for all pairs of `length` positions, [length · length], queries first. */
export function tokenBuckets(length: number, bucketSize: number, maxPosition?: number): Int32Array {
  const byDistance = Int32Array.from({length: 2 * length - 1}, (_, i) =>
    tokenBucket(i - length + 1, bucketSize, maxPosition),
  );
  return Int32Array.from(
    {length: length * length},
    (_, i) => byDistance[Math.floor(i / length) - (i % length) + length - 1]!,
  );
}

/**
 * Position id of row y, column x on the grid of `gridSize` columns, whatever the image's size; 0 is kept for "begin".
 */
export function imagePositionIds(height: number, width: number, gridSize: number): Int32Array {
  return Int32Array.from({length: height * width}, (_, p) => Math.floor(p / width) * gridSize + (p % width) + 1);
}

/** Row of the image table for two position ids (1-based on the grid; 0 is "begin"). */
export function imageBucket(query: number, key: number, gridSize: number): number {
  const span = 2 * gridSize - 1;
  const special = span * span;
  if (query === 0 || key === 0) return special + (query === 0 ? (key === 0 ? 2 : 0) : 1);
  const dy = Math.floor((query - 1) / gridSize) - Math.floor((key - 1) / gridSize);
  const dx = ((query - 1) % gridSize) - ((key - 1) % gridSize);
  return (dy + gridSize - 1) * span + dx + gridSize - 1;
}

/** Table rows for all pairs of ids, queries first. */
export function imageBuckets(ids: Int32Array, gridSize: number): Int32Array {
  const n = ids.length;
  return Int32Array.from({length: n * n}, (_, i) => imageBucket(ids[Math.floor(i / n)]!, ids[i % n]!, gridSize));
}

// Positions act only through attention biases: a content-free product of position vectors, shared by all layers, and a
// table of relative positions, one a layer (docs/reference/ofa-mue.md 3.2, 3.3, 4.2).   N positions, H heads

/**
 * Product of position vectors, per head.
 * @param from   [1, N, D]
 * @param to     [1, M, D]
 * @returns      [1, H, N, M], the caller's
 */
export function absoluteBias(
  from: tf.Tensor3D,
  to: tf.Tensor3D,
  q: Linear,
  k: Linear,
  heads: number,
  scaleFactor: number,
): tf.Tensor4D {
  return tf.tidy(() => {
    const scale = ((q.config.units / heads) * scaleFactor) ** -0.5;
    return batchedMatMul(
      splitHeads(q.forward(from).mul(scale) as tf.Tensor3D, heads),
      splitHeadsTransposed(k.forward(to), heads),
    );
  });
}

/**
 * Rows of a relative table as a bias.
 * @param table     [rows, H]
 * @param buckets   [N · M] row numbers
 * @returns         [1, H, N, M], the caller's
 */
export function relativeBias(table: Embedding, buckets: Int32Array, n: number, m: number): tf.Tensor4D {
  return tf.tidy(() => {
    const rows = table.forward(tf.tensor1d(buckets, 'int32')) as tf.Tensor2D; // [N·M, H]
    return rows.transpose().reshape([1, -1, n, m]) as tf.Tensor4D;
  });
}
