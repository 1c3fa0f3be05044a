import type * as tf from '@tensorflow/tfjs';
import type {GoldenArray} from './golden.js';

/** Tolerances of the goldens' README, absolute. */
export const STATES = 1e-4;
export const LOGITS = 2e-4;
export const SIMILARITIES = 1e-5;

/** Compares a tensor with a golden, element by element; the error names the worst index and both values. */
export async function closeTo(actual: tf.Tensor, expected: GoldenArray, tolerance: number): Promise<void> {
  const size = expected.shape.reduce((a, b) => a * b, 1);
  if (actual.size !== size) throw new Error(`shape [${actual.shape}] against a golden of [${expected.shape}]`);
  closeArrays(await actual.data(), expected.data as Float32Array, tolerance, expected.shape);
}

export function closeArrays(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  shape: readonly number[] = [expected.length],
): void {
  if (actual.length !== expected.length)
    throw new Error(`${actual.length} values against a golden of ${expected.length}`);
  let worst = -1;
  let difference = tolerance;
  for (let i = 0; i < expected.length; i++) {
    const d = actual[i] === expected[i] ? 0 : Math.abs(actual[i]! - expected[i]!);
    if (!(d <= difference)) {
      worst = i;
      difference = d;
      if (Number.isNaN(d)) break;
    }
  }
  if (worst >= 0)
    throw new Error(
      `off by ${difference} (allowed ${tolerance}) at ${worst} of [${shape}]: ${actual[worst]} against ${expected[worst]}`,
    );
}
