import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../src/node/backends.js';
import {BackendError} from '../../src/runtime/errors.js';

test('an unknown device is an error of exit code 4 that lists the devices', async () => {
  const error = await selectBackend('tpu').catch((e: unknown) => e);
  expect(error).toBeInstanceOf(BackendError);
  expect(error).toMatchObject({code: 'unknown-device', exitCode: 4});
  expect((error as Error).message).toMatch(/auto, native, cuda, webgpu, wasm, cpu.*'tpu'/);
});

test.each(['wasm', 'cpu'])('%s multiplies matrices', async (device) => {
  const selected = await selectBackend(device);
  expect(selected).toMatchObject({backend: device, device, threads: 1, tried: [{device, ok: true}]});
  expect(tf.getBackend()).toBe(device);
  const product = tf.tidy(() => tf.matMul(tf.tensor2d([[1, 2]]), tf.tensor2d([[3], [4]])));
  expect([...(await product.data())]).toEqual([11]);
  product.dispose();
});
