import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../src/node/backends/select.js';

/** The backends that the goldens run on: MUE_TEST_BACKEND, a comma-separated list of devices, or wasm and cpu. */
export const TEST_DEVICES: readonly string[] = (process.env['MUE_TEST_BACKEND'] ?? 'wasm,cpu').split(',');

/** Runs a suite once a backend, by default on all, and asserts that it leaves no tensor behind. */
export function onBackends(
  name: string,
  suite: (device: string) => void,
  devices: readonly string[] = TEST_DEVICES,
): void {
  describe.each(devices)(`${name} on %s`, (device) => {
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

/** The first of the backends alone, for what takes long and does not depend on numbers. */
export const FIRST_DEVICE: readonly string[] = TEST_DEVICES.slice(0, 1);
