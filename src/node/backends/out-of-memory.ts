import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../runtime/errors.js';

/** The words by which each backend says that its memory is full. */
const SIGNS: Readonly<Record<string, RegExp>> = {
  // RESOURCE_EXHAUSTED is 8; "No algorithm worked" (5) is a convolution that finds no room to work in.
  tensorflow:
    /Invalid TF_Status: 8\b|No algorithm worked|OOM when allocating|failed to allocate memory|ResourceExhausted/i,
  // An allocation inside XNNPACK ends in abort().
  wasm: /^Aborted\(|memory access out of bounds|Array buffer allocation failed/,
  webgpu: /out of memory|exceeds the max buffer size/i,
  cpu: /Array buffer allocation failed|Invalid typed array length/,
};

/**
 * Tells an error that means "memory is full" from others.
 * @param error anything that an operation threw
 * @returns a BackendError 'out-of-memory' with `error` as its cause; undefined where the error is about something else
 */
export function asOutOfMemory(error: unknown): BackendError | undefined {
  if (error instanceof BackendError && error.code === 'out-of-memory') return error;
  const backend = tf.getBackend();
  if (!(error instanceof Error) || !SIGNS[backend]?.test(error.message)) return undefined;
  const mebibytes = Math.round(tf.memory().numBytes / 2 ** 20);
  const lines = error.message.split('\n').map((line) => line.trim());
  const words = lines.find((line) => /OOM|out of memory/i.test(line)) ?? lines[0];
  return new BackendError('out-of-memory', `${backend}: out of memory with ${mebibytes} MiB of tensors: ${words}`, {
    cause: error,
    hint: 'a smaller batch, image or model; or another --device',
  });
}

let watching = false;

/**
 * Makes every kernel, of any backend, throw the error of `asOutOfMemory` where it finds memory full. Lasts for the
 * process.
 */
export function watchForFullMemory(): void {
  if (watching) return;
  watching = true;
  const engine = tf.engine();
  const runKernel = engine.runKernel.bind(engine);
  engine.runKernel = (...call) => {
    try {
      return runKernel(...call) as never;
    } catch (error) {
      throw asOutOfMemory(error) ?? error;
    }
  };
}
