import * as tf from '@tensorflow/tfjs';

/**
 * Runs something and fails if tensors are left, whether it returns or throws.
 * @returns its value, or its error
 */
export async function withoutLeaks<T>(run: () => Promise<T>): Promise<{value: T} | {error: Error}> {
  const count = (): string => `${tf.memory().numTensors} tensors, ${tf.memory().numDataBuffers} buffers`;
  const before = count();
  const result = await run().then(
    (value) => ({value}),
    (error: Error) => ({error}),
  );
  if (count() !== before) throw new Error(`${before} before, ${count()} after`);
  return result;
}

/**
 * Runs something that is expected to return, and fails if it throws or tensors are left.
 * @returns its value
 */
export async function valueWithoutLeaks<T>(run: () => Promise<T>): Promise<T> {
  const result = await withoutLeaks(run);
  if ('error' in result) throw result.error;
  return result.value;
}
