import {jest} from '@jest/globals';
import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../../../src/node/backends/select.js';

test('selectBackend: wasm runs by one thread where no shared heap can be had', async () => {
  const {Memory} = WebAssembly;
  const refuse = jest.spyOn(WebAssembly, 'Memory').mockImplementation((descriptor) => {
    if (descriptor.shared) throw new RangeError('could not allocate memory');
    return new Memory(descriptor);
  });
  const selected = await selectBackend('wasm', {threads: 2});
  expect(refuse).toHaveBeenCalled();
  refuse.mockRestore();
  expect(selected).toMatchObject({backend: 'wasm', threads: 1});
  expect(selected.note).toMatch(/SIMD, 1 thread\)$/);
  const [a, b] = [tf.ones([100, 200]), tf.ones([200, 100])] as [tf.Tensor2D, tf.Tensor2D];
  const product = tf.matMul(a, b);
  expect(new Set(product.dataSync())).toEqual(new Set([200]));
  tf.dispose([a, b, product]);
  expect((await selectBackend('wasm', {threads: 2})).threads).toBe(1);
});
