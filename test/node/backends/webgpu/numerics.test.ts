import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../../../src/node/backends/select.js';
import {OPERATIONS, relativeError} from '../../../support/operations.js';
import {whyNoWebgpu} from '../../../support/webgpu.js';

// WebGPU against tfjs' plain JavaScript, operation by operation.
const missing = await whyNoWebgpu('webgpu-numerics.test');

/** Relative error over all outputs; measured on llvmpipe: at most 1.2e-6 (resize), products and convolutions 3.2e-7. */
const TOLERANCE = 1e-5;

(missing === undefined ? describe : describe.skip)('webgpu against cpu', () => {
  test.each(Object.keys(OPERATIONS))('%s', async (name) => {
    const error = await relativeError(name, 'webgpu');
    expect(error).toBeLessThan(TOLERANCE);
  });

  test('disposed work leaves nothing, in tfjs and on the device', async () => {
    await selectBackend('webgpu');
    const memory = (): readonly unknown[] => {
      const {numTensors, numBytes, numBytesInGPU} = tf.memory() as tf.MemoryInfo & {numBytesInGPU: number};
      return [numTensors, numBytes, numBytesInGPU];
    };
    const work = async (): Promise<void> => {
      const pooled = tf.tidy(() => {
        const x = tf.range(0, 30000).reshape([1, 100, 300]);
        const y = tf.fused.matMul({
          a: x as tf.Tensor3D,
          b: tf.ones([1, 300, 200]) as tf.Tensor3D,
          bias: tf.ones([200]),
        });
        return tf.maxPool(tf.softmax(y).reshape([1, 100, 200, 1]) as tf.Tensor4D, 3, 2, 1, 'floor');
      });
      await pooled.data();
      pooled.dispose();
    };
    await work();
    const before = memory();
    for (let i = 0; i < 10; i++) await work();
    expect(memory()).toEqual(before);
  });
});
