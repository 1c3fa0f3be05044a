import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../src/node/backends/select.js';
import {type Device, deviceNamed} from '../../src/runtime/devices.js';

/** Threads of wasm (MUE_TEST_THREADS, or 1), and whether its kernels may be relaxed ones (not with MUE_TEST_RELAXED=0). */
const WASM = {
  threads: Number(process.env['MUE_TEST_THREADS'] ?? 1),
  relaxed: process.env['MUE_TEST_RELAXED'] !== '0',
};

/** The backends that numbers are tested on: MUE_TEST_BACKEND, devices separated by commas, or wasm. */
export const TEST_DEVICES: readonly Device[] = (process.env['MUE_TEST_BACKEND'] ?? 'wasm').split(',').map(deviceNamed);

/** Declares a suite for each backend, and asserts that it leaves no tensor behind. */
export function onBackends(
  name: string,
  suite: (device: Device) => void,
  devices: readonly Device[] = TEST_DEVICES,
): void {
  describe.each(devices)(`${name} on %s`, (device) => {
    let before = 0;
    beforeAll(async () => {
      await selectBackend(device, device === 'wasm' ? WASM : {});
      before = tf.memory().numTensors;
    });
    suite(device);
    afterAll(() => {
      const left = tf.memory().numTensors - before;
      if (left !== 0) throw new Error(`${name} on ${device} left ${left} tensors`);
    });
  });
}

/** The first backend alone, for suites that take long and do not depend on numbers. */
export const FIRST_DEVICE: readonly Device[] = TEST_DEVICES.slice(0, 1);
