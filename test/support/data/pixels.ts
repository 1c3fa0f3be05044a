import * as tf from '@tensorflow/tfjs';
import type {GoldenArray} from '../golden/golden.js';

/** A golden's uint8 pictures [B, h, w, 3] as model input, (v/255 − 0.5)/0.5; the caller's. */
export function goldenPixels({data, shape}: GoldenArray): tf.Tensor4D {
  return tf.tensor4d(
    Float32Array.from(data as Uint8Array, (v) => (v / 255 - 0.5) / 0.5),
    shape as [number, number, number, number],
  );
}
