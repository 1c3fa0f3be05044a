import fs from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../../../src/node/backends/select.js';
import {NATIVE_FOLDER} from '../../../../src/node/backends/native/binding.js';
import {OPERATIONS, relativeError} from '../../../support/operations.js';

// TensorFlow against tfjs' plain JavaScript, operation by operation. MUE_TEST_NATIVE=cuda runs the same on a GPU.
const device = process.env.MUE_TEST_NATIVE ?? 'native';
const here = fs.existsSync(path.join(NATIVE_FOLDER, device === 'cuda' ? 'gpu' : 'cpu', 'tfjs_binding.node'));
// Jest does not print the console of a suite whose tests are all skipped.
if (!here) process.stderr.write(`native-numerics.test: skipped, ${device} is not built (npm run native)\n`);

/** Relative error over all outputs; measured: at most 2e-6. */
const TOLERANCE = 1e-5;

(here ? describe : describe.skip)(`${device} against cpu`, () => {
  test.each(Object.keys(OPERATIONS))('%s', async (name) => {
    const error = await relativeError(name, device);
    expect(error).toBeLessThan(TOLERANCE);
  });

  test('disposed work leaves nothing, in tfjs and in TensorFlow', async () => {
    await selectBackend(device);
    const {binding} = tf.backend() as unknown as {binding: {getNumOfTensors(): number}};
    const work = (): void =>
      tf.tidy(() => {
        const x = tf.range(0, 30000).reshape([1, 100, 300]);
        const y = tf.fused.matMul({
          a: x as tf.Tensor3D,
          b: tf.ones([1, 300, 200]) as tf.Tensor3D,
          bias: tf.ones([200]),
        });
        tf.maxPool(tf.softmax(y).reshape([1, 100, 200, 1]) as tf.Tensor4D, 3, 2, 1, 'floor').dataSync();
      });
    work();
    const before = [tf.memory().numTensors, tf.memory().numBytes, binding.getNumOfTensors()];
    for (let i = 0; i < 20; i++) work();
    expect([tf.memory().numTensors, tf.memory().numBytes, binding.getNumOfTensors()]).toEqual(before);
  });
});
