import {createRequire} from 'node:module';
import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../../../src/node/backends/select.js';
import {fastBatchedMatMul} from '../../../../src/runtime/kernels.js';
import {BackendError} from '../../../../src/runtime/errors.js';
import {closeArrays} from '../../../support/golden/close-to.js';

function installed(): boolean {
  try {
    createRequire(import.meta.url).resolve('onnxruntime-node');
    return true;
  } catch {
    return false;
  }
}

if (!installed())
  console.log(
    'onnx kernels: not tested, onnxruntime-node is not installed (npm i --no-save --ignore-scripts onnxruntime-node)',
  );

(installed() ? describe.skip : describe)('without onnxruntime-node', () => {
  test('selectBackend onnx: without the package, says what to type', async () => {
    const error = await selectBackend('onnx').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(BackendError);
    expect((error as BackendError).code).toBe('backend-unavailable');
    expect((error as BackendError).message).toContain('onnxruntime-node is not installed');
    expect((error as BackendError).hint).toMatch(/npm i .*onnxruntime-node/);
  });
});

(installed() ? describe : describe.skip)('onnx kernels against plain JavaScript', () => {
  let before = 0;
  beforeAll(async () => {
    await selectBackend('onnx');
    before = tf.memory().numTensors;
  });
  afterAll(async () => {
    expect(tf.memory().numTensors).toBe(before);
    await selectBackend('wasm');
  });

  const random = (shape: number[], seed: number): tf.Tensor => tf.randomUniform(shape, -1, 1, 'float32', seed);

  async function both(shapes: readonly number[][], run: (...inputs: tf.Tensor[]) => tf.Tensor): Promise<void> {
    const on = async (device: string): Promise<{shape: number[]; values: Float32Array}> => {
      await selectBackend(device);
      const result = tf.tidy(() => run(...shapes.map((shape, i) => random(shape, i + 1))));
      const values = (await result.data()) as Float32Array;
      const {shape} = result;
      result.dispose();
      return {shape, values};
    };
    const wanted = await on('cpu');
    const got = await on('onnx');
    expect(got.shape).toEqual(wanted.shape);
    closeArrays(got.values, wanted.values, 1e-4, wanted.shape);
  }

  test.each([
    [
      'plain',
      [
        [20, 30],
        [30, 40],
      ],
      false,
      false,
    ],
    [
      'transposed left',
      [
        [30, 20],
        [30, 40],
      ],
      true,
      false,
    ],
    [
      'transposed right',
      [
        [20, 30],
        [40, 30],
      ],
      false,
      true,
    ],
    [
      'both transposed',
      [
        [30, 20],
        [40, 30],
      ],
      true,
      true,
    ],
    [
      'batched',
      [
        [3, 20, 30],
        [3, 30, 40],
      ],
      false,
      false,
    ],
    [
      'batched, transposed right',
      [
        [2, 3, 20, 30],
        [2, 3, 40, 30],
      ],
      false,
      true,
    ],
    [
      'one right for all',
      [
        [3, 20, 30],
        [1, 30, 40],
      ],
      false,
      false,
    ],
    [
      'few rows',
      [
        [2, 30],
        [30, 40],
      ],
      false,
      false,
    ],
  ] as const)('matMul: %s', async (_, shapes, ta, tb) => {
    await both(shapes as unknown as number[][], (a, b) => tf.matMul(a, b, ta, tb));
  });

  test.each(['linear', 'relu', 'relu6', 'elu'] as const)('fused matMul with bias and %s', async (activation) => {
    await both([[20, 30], [30, 40], [40]], (a, b, bias) =>
      tf.fused.matMul({a: a as tf.Tensor2D, b: b as tf.Tensor2D, bias: bias!, activation}),
    );
  });

  test.each([
    [1, 1, 'valid', 1],
    [1, 2, 'valid', 1],
    [3, 1, 'same', 1],
    [3, 2, 'same', 1],
    [3, 1, 1, 1],
    [3, 1, 'same', 2],
    [7, 2, 3, 1],
  ] as const)('conv2d of side %i, stride %i, pad %s, dilation %i', async (kernel, stride, pad, dilation) => {
    const shapes = [[2, 15, 13, 5], [kernel, kernel, 5, 6], [6]];
    await both(shapes, (x, filter, bias) =>
      tf.fused.conv2d({
        x: x as tf.Tensor4D,
        filter: filter as tf.Tensor4D,
        strides: stride,
        pad,
        ...(typeof pad === 'number' ? {dimRoundingMode: 'floor'} : {}),
        dilations: dilation,
        bias: bias!,
        activation: 'relu',
      }),
    );
    await both(shapes.slice(0, 2), (x, filter) =>
      tf.conv2d(
        x as tf.Tensor4D,
        filter as tf.Tensor4D,
        stride,
        pad,
        'NHWC',
        dilation,
        typeof pad === 'number' ? 'floor' : undefined,
      ),
    );
  });

  test('useOnnxMatMul: the plain wasm device has its own kernels back', async () => {
    const product = async (device: string): Promise<ArrayLike<number>> => {
      const {note} = await selectBackend(device);
      expect(note).toMatch(
        device === 'onnx' ? /^wasm with onnxruntime-node \(\d+ threads?\)$/ : /^wasm \((relaxed )?SIMD, 1 thread\)$/,
      );
      expect(fastBatchedMatMul()).toBe(device === 'onnx');
      const result = tf.tidy(() => tf.matMul(random([64, 500], 1) as tf.Tensor2D, random([500, 64], 2) as tf.Tensor2D));
      const values = await result.data();
      result.dispose();
      return values;
    };
    const [first, onnx, again] = [await product('wasm'), await product('onnx'), await product('wasm')];
    expect(again).toEqual(first);
    // Sums in another order: not the same last digits.
    closeArrays(onnx, first, 1e-4);
    expect(onnx).not.toEqual(first);
  });
});
