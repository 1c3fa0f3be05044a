import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../../src/node/backends/select.js';
import {asOutOfMemory} from '../../../src/node/backends/out-of-memory.js';
import {BackendError} from '../../../src/runtime/errors.js';

test("asOutOfMemory: WebAssembly's abort is a full heap", async () => {
  await selectBackend('wasm');
  const cause = new WebAssembly.RuntimeError('Aborted(). Build with -sASSERTIONS for more info.');
  const error = asOutOfMemory(cause);
  expect(error).toMatchObject({code: 'out-of-memory', exitCode: 4, cause});
  expect(error?.message).toMatch(/^wasm: out of memory with \d+ MiB of tensors: Aborted/);
  expect(error?.hint).toBeTruthy();
});

test('asOutOfMemory: returns an error that says so already', () => {
  const error = new BackendError('out-of-memory', 'full');
  expect(asOutOfMemory(error)).toBe(error);
});

test.each([
  new Error('Error in matMul: inner shapes (3) and (4) must match'),
  new BackendError('backend-unavailable', 'no'),
  'Aborted()',
  undefined,
])('asOutOfMemory: %s is something else', (error) => {
  expect(asOutOfMemory(error)).toBeUndefined();
});

test('watchForFullMemory: a kernel that finds memory full says so, any other error stays', async () => {
  await selectBackend('wasm');
  const throwing = (error: Error): unknown => {
    tf.registerKernel({
      kernelName: 'MueTestFull',
      backendName: 'wasm',
      kernelFunc: () => {
        throw error;
      },
    });
    try {
      return tf.engine().runKernel('MueTestFull', {});
    } catch (caught) {
      return caught;
    } finally {
      tf.unregisterKernel('MueTestFull', 'wasm');
    }
  };
  expect(throwing(new WebAssembly.RuntimeError('Aborted(). Build with -sASSERTIONS for more info.'))).toMatchObject({
    code: 'out-of-memory',
  });
  const other = new Error('inner shapes must match');
  expect(throwing(other)).toBe(other);
});
