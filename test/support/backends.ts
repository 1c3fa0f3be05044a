import {afterAll, beforeAll, describe} from '@jest/globals';
import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../src/node/backends.js';

/** The backends that the goldens run on: MUE_TEST_BACKEND, a comma-separated list of devices, or wasm and cpu. */
export const TEST_DEVICES: readonly string[] = (process.env['MUE_TEST_BACKEND'] ?? 'wasm,cpu').split(',');

/** Runs a suite once a backend and asserts that it leaves no tensor behind. */
export function onBackends(name: string, suite: (device: string) => void): void {
  describe.each(TEST_DEVICES)(`${name} on %s`, (device) => {
    let before = 0;
    beforeAll(async () => {
      await selectBackend(device);
      before = tf.memory().numTensors;
    });
    suite(device);
    afterAll(() => {
      const left = tf.memory().numTensors - before;
      if (left !== 0) throw new Error(`${name} on ${device} left ${left} tensors`);
    });
  });
}
