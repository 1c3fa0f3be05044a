import * as tf from '@tensorflow/tfjs';
import fc from 'fast-check';
import {selectBackend} from '../../../../src/node/backends/select.js';

// The same gradients on wasm and in plain JavaScript.

beforeAll(async () => {
  await selectBackend('cpu');
  await selectBackend('wasm');
});

type Pad = number | 'same' | 'valid';

function numbers(shape: readonly number[], seed: number): tf.Tensor {
  return tf.randomNormal([...shape], 0, 1, 'float32', seed);
}

/** Values of a function's tensors on each backend. It makes all tensors that it needs, and none is left. */
async function onBoth(run: () => tf.Tensor[]): Promise<[wasm: number[][], cpu: number[][]]> {
  const values: number[][][] = [];
  for (const backend of ['wasm', 'cpu']) {
    await tf.setBackend(backend);
    const before = tf.memory();
    const results = tf.tidy(run);
    values.push(await Promise.all(results.map(async (x) => [...(await x.data())])));
    tf.dispose(results);
    const after = tf.memory();
    expect([after.numTensors, after.numDataBuffers]).toEqual([before.numTensors, before.numDataBuffers]);
  }
  await tf.setBackend('wasm');
  return values as [number[][], number[][]];
}

function expectClose(got: readonly number[][], want: readonly number[][]): void {
  for (const [i, one] of want.entries()) {
    const largest = Math.max(1, ...one.map(Math.abs));
    expect(got[i]!.length).toBe(one.length);
    for (const [j, value] of one.entries()) expect(Math.abs(got[i]![j]! - value) / largest).toBeLessThan(1e-5);
  }
}

type Shape = [number, number, number, number];

/** Both gradients of a convolution, by their kernels alone. */
function convGradients(inputShape: Shape, filterShape: Shape, strides: [number, number], pad: Pad): () => tf.Tensor[] {
  const {outShape} = tf.backend_util.computeConv2DInfo(inputShape, filterShape, strides, 1, pad, 'floor');
  const attrs = {strides, pad, inputShape, filterShape, dataFormat: 'NHWC', dimRoundingMode: 'floor'};
  return () => {
    const [x, filter, dy] = [numbers(inputShape, 1), numbers(filterShape, 2), numbers(outShape, 3)];
    const run = (kernel: string, inputs: tf.NamedTensorMap): tf.Tensor => tf.engine().runKernel(kernel, inputs, attrs);
    return [run(tf.Conv2DBackpropInput, {dy, filter}), run(tf.Conv2DBackpropFilter, {x, dy})];
  };
}

describe('registerWasmGradients: gradients of a convolution are those of plain JavaScript', () => {
  test.each<[string, Shape, Shape, [number, number], Pad]>([
    ['the 1×1 convolution of a bottleneck', [2, 5, 7, 6], [1, 1, 6, 4], [1, 1], 0],
    ['a shortcut: 1×1 at stride 2', [2, 7, 6, 5], [1, 1, 5, 3], [2, 2], 0],
    ['3×3, padded', [2, 6, 5, 4], [3, 3, 4, 5], [1, 1], 1],
    ['3×3 at stride 2, padded', [1, 7, 8, 3], [3, 3, 3, 2], [2, 2], 1],
    ['a stem: 7×7 at stride 2', [1, 15, 14, 3], [7, 7, 3, 4], [2, 2], 3],
    ['patches of CoCa: as large as the stride', [2, 8, 8, 3], [4, 4, 3, 5], [4, 4], 'valid'],
    ['an asymmetric padding', [1, 6, 6, 2], [3, 3, 2, 2], [2, 2], 'same'],
    ['columns that no patch reaches', [1, 6, 8, 2], [2, 2, 2, 2], [3, 3], 'valid'],
    ['padding larger than a row', [1, 2, 2, 20], [5, 5, 20, 3], [1, 1], 4],
  ])('%s', async (_name, shape, filter, strides, pad) => {
    const [got, want] = await onBoth(convGradients(shape, filter, strides, pad));
    expectClose(got, want);
  });

  test('any sizes', async () => {
    const size = fc.integer({min: 1, max: 5});
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(fc.integer({min: 1, max: 2}), size, size, size, size),
        fc.tuple(size, size),
        fc.tuple(fc.integer({min: 1, max: 3}), fc.integer({min: 1, max: 3})),
        fc.integer({min: 0, max: 4}),
        async ([batch, height, width, inputs, outputs], [kh, kw], strides, pad) => {
          fc.pre(height + 2 * pad >= kh && width + 2 * pad >= kw);
          const shape: Shape = [batch, height, width, inputs];
          const [got, want] = await onBoth(convGradients(shape, [kh, kw, inputs, outputs], strides, pad));
          expectClose(got, want);
        },
      ),
      {numRuns: 40},
    );
  });
});

describe('registerWasmGradients: sums of segments', () => {
  test.each(['float32', 'int32'] as const)('%s rows, some of them in no segment', async (dtype) => {
    const [got, want] = await onBoth(() => {
      const x = numbers([6, 2, 3], 4).mul(10).cast(dtype);
      return [tf.unsortedSegmentSum(x, tf.tensor1d([3, 0, -1, 3, 7, 1], 'int32'), 4)];
    });
    expect(got[0]!.length).toBe(24);
    expectClose(got, want);
  });

  test.each([0, 1, 2])('the gradient of a gather along axis %i, indices repeated', async (axis) => {
    const [got, want] = await onBoth(() => {
      const x = numbers([3, 4, 5], 5);
      const index = tf.tensor1d([2, 0, 2, 1], 'int32');
      const dy = numbers(
        [3, 4, 5].map((n, i) => (i === axis ? 4 : n)),
        6,
      );
      return [tf.grad((t) => tf.gather(t, index, axis))(x, dy)];
    });
    expectClose(got, want);
  });
});
