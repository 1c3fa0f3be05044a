import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../../../src/node/backends/select.js';

/**
 * A product on a backend of [-1, 1] numbers that depend on the seed, k = 100: more than the naive loop's block of 48.
 */
async function product(
  device: string,
  shapes: readonly (readonly number[])[],
  transposeA: boolean,
  transposeB: boolean,
  activation: 'linear' | 'relu' | 'relu6' | 'elu' | 'sigmoid' | undefined,
): Promise<{values: Float32Array; shape: readonly number[]}> {
  await selectBackend(device);
  const before = tf.memory().numTensors;
  const y = tf.tidy(() => {
    const [a, b, bias] = shapes.map((shape, i) => tf.randomUniform([...shape], -1, 1, 'float32', 7 + i)) as [
      tf.Tensor2D,
      tf.Tensor2D,
      tf.Tensor?,
    ];
    return activation
      ? tf.fused.matMul({a, b, transposeA, transposeB, activation, ...(bias ? {bias} : {})})
      : tf.matMul(a, b, transposeA, transposeB);
  });
  const values = (await y.data()) as Float32Array;
  const {shape} = y;
  y.dispose();
  expect(tf.memory().numTensors).toBe(before);
  return {values, shape};
}

describe.each([
  [
    'plain',
    [
      [20, 100],
      [100, 30],
    ],
    false,
    false,
  ],
  [
    'b transposed',
    [
      [20, 100],
      [30, 100],
    ],
    false,
    true,
  ],
  [
    'a transposed',
    [
      [100, 20],
      [100, 30],
    ],
    true,
    false,
  ],
  [
    'both transposed, one batch',
    [
      [1, 100, 20],
      [1, 30, 100],
    ],
    true,
    true,
  ],
  [
    'small, b transposed',
    [
      [2, 100],
      [3, 100],
    ],
    false,
    true,
  ],
  [
    'batched',
    [
      [3, 4, 100],
      [3, 100, 5],
    ],
    false,
    false,
  ],
  [
    'batched, b transposed',
    [
      [3, 4, 100],
      [3, 5, 100],
    ],
    false,
    true,
  ],
  [
    'batch broadcast',
    [
      [3, 4, 100],
      [1, 100, 5],
    ],
    false,
    false,
  ],
] as const)('patchWasmKernels: a %s product on wasm equals cpu', (_, [a, b], transposeA, transposeB) => {
  const n = transposeB ? b.at(-2)! : b.at(-1)!;
  test.each([
    ['alone', [], undefined],
    ['with bias', [[n]], 'linear'],
    ['with relu', [], 'relu'],
    ['with bias and relu', [[n]], 'relu'],
    ['with bias and sigmoid', [[n]], 'sigmoid'],
  ] as const)('%s', async (__, bias, activation) => {
    const got = await product('wasm', [a, b, ...bias], transposeA, transposeB, activation);
    const wanted = await product('cpu', [a, b, ...bias], transposeA, transposeB, activation);
    expect(got.shape).toEqual(wanted.shape);
    for (const [i, want] of wanted.values.entries()) expect(got.values[i]).toBeCloseTo(want, 4);
  });
});

test('patchWasmKernels: a full heap is an error, and earlier tensors are unharmed', async () => {
  await selectBackend('wasm');
  const {wasm} = tf.backend() as unknown as {wasm: {_malloc(bytes: number): number; _free(offset: number): void}};
  const full = expect.objectContaining({code: 'out-of-memory', exitCode: 4});
  const first = tf.tensor1d([1, 2, 3]);
  const column = tf.ones([2 ** 15, 1]);
  expect(() => tf.tidy(() => tf.matMul(column, column, false, true))).toThrow(full); // 4 GiB
  const most = wasm._malloc(3 * 2 ** 30);
  expect(() => wasm._malloc(2 ** 30)).toThrow(full);
  wasm._free(most);
  wasm._free(wasm._malloc(2 ** 30));
  expect([...(await first.data())]).toEqual([1, 2, 3]);
  tf.dispose([first, column]);
});
