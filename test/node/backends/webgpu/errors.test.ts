import * as tf from '@tensorflow/tfjs';
import {refuseAfterErrors, type WebgpuBackend} from '../../../../src/node/backends/webgpu/errors.js';
import {BackendError} from '../../../../src/runtime/errors.js';
import {whyNoWebgpu} from '../../../support/webgpu.js';

/** A backend whose reads give [1], or whatever `read` does; and the end of its device. */
function fake(read: () => Promise<number[]> = async () => [1]): {
  backend: WebgpuBackend;
  lose: (reason: string, message: string) => void;
} {
  let lose: (reason: string, message: string) => void = () => {};
  const lost = new Promise<{reason: string; message: string}>((resolve) => {
    lose = (reason, message) => resolve({reason, message});
  });
  const backend: WebgpuBackend = {device: {onuncapturederror: null, lost}, read};
  refuseAfterErrors(backend);
  return {backend, lose};
}

test('refuseAfterErrors: a device that refuses nothing is read as before', async () => {
  expect(await fake().backend.read({})).toEqual([1]);
});

test.each([
  ['Buffer size (17179869184) exceeds the max buffer size limit (268435456).\n - While calling …', 'out-of-memory'],
  ['vkAllocateMemory failed with VK_ERROR_OUT_OF_DEVICE_MEMORY', 'out-of-memory'],
  ['Binding size (1) is larger than the maximum storage buffer binding size (0)', 'out-of-memory'],
  ['Dispatch size X exceeds maximum of 65535', 'device-error'],
])('after "%s" every read is refused', async (message, code) => {
  const {backend} = fake();
  backend.device.onuncapturederror?.({error: {message}});
  backend.device.onuncapturederror?.({error: {message: 'a later one'}});
  for (let i = 0; i < 2; i++) {
    const error = await backend.read({}).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(BackendError);
    expect(error).toMatchObject({code, exitCode: 4, hint: expect.any(String)});
    expect((error as BackendError).message).toMatch(/^webgpu: (out of memory|the device refused a command): /);
    expect((error as BackendError).message).toContain(message.split('\n')[0]!);
  }
});

test('refuseAfterErrors: the loss of the device takes the place of whatever the read says', async () => {
  const {backend, lose} = fake(() => Promise.reject(new Error('AbortError')));
  await expect(backend.read({})).rejects.toThrow('AbortError');
  lose('unknown', 'driver reset');
  await Promise.resolve();
  await expect(backend.read({})).rejects.toMatchObject({
    code: 'device-error',
    message: expect.stringContaining('driver reset'),
  });
});

const missing = await whyNoWebgpu('webgpu-errors.test');

(missing === undefined ? test : test.skip)(
  'on a device: a buffer that cannot be is an error of the next read',
  async () => {
    const ones = tf.ones([2000]);
    const sum = tf.sum(ones);
    const backend = tf.backend() as unknown as {device: {createBuffer(descriptor: object): unknown}};
    backend.device.createBuffer({size: 2 ** 50, usage: 128});
    await expect(sum.data()).rejects.toMatchObject({code: 'out-of-memory', exitCode: 4});
    tf.dispose([ones, sum]);
  },
);
