import * as tf from '@tensorflow/tfjs';
import {TensorScope} from '../../runtime/tensor-scope.js';

/**
 * Three measures of a device, each a median. A read-back of one number ends each round, so that a GPU has finished.
 */
export interface MicroBench {
  /** Milliseconds of a product [300, 768] · [768, 768] (0.35 GFLOP), and the rate. */
  readonly matMulMs: number;
  readonly matMulGflops: number;
  /** Milliseconds of a 3×3 convolution, 64 to 64 channels at 30×30 (0.066 GFLOP), and the rate. */
  readonly convMs: number;
  readonly convGflops: number;
  /** Microseconds that an operation costs whatever its size. */
  readonly opMicros: number;
}

/** Measures the current backend for about `seconds`, and leaves no tensor. */
export async function microBench(seconds: number): Promise<MicroBench> {
  using scope = new TensorScope();
  const uniform = (shape: number[]): tf.Tensor => scope.hold(tf.randomUniform(shape, -1, 1, 'float32', 1));
  const a = uniform([300, 768]) as tf.Tensor2D;
  const b = uniform([768, 768]) as tf.Tensor2D;
  const x = uniform([1, 30, 30, 64]) as tf.Tensor4D;
  const w = uniform([3, 3, 64, 64]) as tf.Tensor4D;
  const z = uniform([4]);
  const third = seconds / 3;
  const matMulMs = await median(() => tf.matMul(a, b), third);
  const convMs = await median(() => tf.conv2d(x, w, 1, 'same'), third);
  const opMicros = 1e3 * (await median(() => tf.add(z, z), third, 300));
  return {
    matMulMs,
    matMulGflops: (2 * 300 * 768 * 768) / matMulMs / 1e6,
    convMs,
    convGflops: (2 * 900 * 64 * 64 * 9) / convMs / 1e6,
    opMicros,
  };
}

/** The median of one call in milliseconds, over rounds of up to `inner` calls, after one round that warms up. */
async function median(operation: () => tf.Tensor, seconds: number, inner = 5): Promise<number> {
  const round = async (calls: number): Promise<number> => {
    const began = performance.now();
    for (let i = 1; i < calls; i++) operation().dispose();
    const last = operation();
    const number = tf.tidy(() => tf.slice(tf.reshape(last, [-1]), [0], [1]));
    await number.data();
    tf.dispose([last, number]);
    return (performance.now() - began) / calls;
  };
  const calls = (await round(1)) > 50 ? 1 : inner; // plain JavaScript takes a second
  const until = performance.now() + seconds * 1e3;
  const times: number[] = [];
  while (times.length < 2 || (times.length < 100 && performance.now() < until)) times.push(await round(calls));
  times.sort((p, q) => p - q);
  return times[times.length >> 1] ?? Number.NaN;
}
