import * as tf from '@tensorflow/tfjs';

/** −1e9 where a key comes after its query: [1, 1, T, n] for the last T of n positions, the caller's. */
export function causalMask(tokens: number, keys: number): tf.Tensor4D {
  const values = Float32Array.from({length: tokens * keys}, (_, i) => ((i % keys) - (keys - tokens) > Math.floor(i / keys) ? -1e9 : 0));
  return tf.tensor4d(values, [1, 1, tokens, keys]);
}
