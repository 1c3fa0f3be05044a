import * as tf from '@tensorflow/tfjs';
import type {Block} from '../../../src/nn/block.js';
import {ConvBatchNorm} from '../../../src/models/ofa/conv-batch-norm.js';
import {gelu} from '../../../src/nn/activations.js';
import {LayerNorm} from '../../../src/nn/layer-norm.js';
import {Linear} from '../../../src/nn/linear.js';
import {selectBackend} from '../../../src/node/backends/select.js';
import {type FusedKernel, runFused} from '../../../src/runtime/kernels.js';

const native = process.env['MUE_TEST_NATIVE'];
/** The devices that have kernels of this project's own, and which. */
const DEVICES: readonly (readonly [string, readonly FusedKernel[]])[] = [
  ['wasm', ['MueLayerNorm', 'MueGelu', 'MueLinear', 'MueConvAddRelu']],
  ...(native
    ? [
        [
          native,
          ['MueLayerNorm', 'MueGelu', 'MueLinear', ...(native === 'native' ? ['MueConvAddRelu' as const] : [])],
        ] as const,
      ]
    : []),
];
const numbers = (size: number, seed: number): number[] =>
  Array.from({length: size}, (_, i) => Math.sin(i * i + seed) * 3 + 1);
const tensor = (shape: number[], seed: number): tf.Tensor =>
  tf.tensor(numbers(tf.util.sizeFromShape(shape), seed), shape);
const SHAPES = [
  [5, 1, 48],
  [7, 48],
  [2, 3, 4, 48],
  [1, 300, 48],
];

async function fill(block: Block): Promise<void> {
  const weights = new Map(
    block
      .storedWeights()
      .map(({name, shape}, i) => [
        name,
        {shape, data: Float32Array.from(numbers(tf.util.sizeFromShape([...shape]), i), Math.abs)},
      ]),
  );
  await block.load({
    names: () => [...weights.keys()],
    shape: (name) => weights.get(name)?.shape,
    read: (name) => Promise.resolve(weights.get(name)!.data),
  });
}

describe.each(DEVICES)('fused kernels of %s', (device, kernels) => {
  const norm = new LayerNorm({size: 48});
  const linear = new Linear({inputSize: 48, units: 20});
  const conv = new ConvBatchNorm({
    conv: 'conv',
    norm: 'bn',
    inputs: 6,
    filters: 8,
    kernel: 3,
    stride: 2,
    epsilon: 1e-5,
    relu: true,
  });
  let before = 0;
  beforeAll(async () => {
    await selectBackend(device);
    before = tf.memory().numTensors;
    await fill(norm);
    await fill(linear);
    await fill(conv);
  });
  afterAll(() => {
    norm[Symbol.dispose]();
    linear[Symbol.dispose]();
    conv[Symbol.dispose]();
    expect(tf.memory().numTensors).toBe(before);
  });

  test('are registered, and run', () => {
    const row = tensor([48], 2);
    const rows = {x: tensor([5, 48], 1), gain: row, bias: row, weight: tensor([48, 48], 3)};
    const picture = {
      x: tensor([1, 6, 6, 2], 1),
      filter: tensor([1, 1, 2, 2], 2),
      bias: tensor([2], 3),
      addend: tensor([1, 6, 6, 2], 4),
    };
    for (const kernel of kernels) {
      const inputs = kernel === 'MueConvAddRelu' ? picture : rows;
      const y = runFused(kernel, inputs, {epsilon: 1e-5, activation: 'linear', strides: 1, pad: 0});
      expect(y?.shape).toEqual(inputs.x.shape);
      y?.dispose();
    }
    tf.dispose([rows, picture]);
  });

  test.each(SHAPES.map((shape) => [shape]))('equal what tfjs composes, %j', async (shape) => {
    const x = tensor(shape, 5);
    for (const block of [
      (t: tf.Tensor) => norm.forward(t),
      gelu,
      (t: tf.Tensor) => linear.forward(t),
      (t: tf.Tensor) => linear.forward(t, 'gelu'),
    ])
      await compare(block, x);
    x.dispose();
  });

  if (!kernels.includes('MueConvAddRelu')) return;
  test('equal the convolution that tfjs composes, with its addend', async () => {
    const [x, addend] = [tensor([2, 9, 9, 6], 1) as tf.Tensor4D, tensor([2, 5, 5, 8], 2) as tf.Tensor4D];
    const spread = tf.tidy(() => addend.mul(20) as tf.Tensor4D);
    await compare((t) => conv.forward(t as tf.Tensor4D), x);
    await compare((t) => conv.forwardAddRelu(t as tf.Tensor4D, spread), x);
    tf.dispose([x, addend, spread]);
  });
});

/** A block as it runs beside what it composes where a gradient is taken. */
async function compare(block: (x: tf.Tensor) => tf.Tensor, x: tf.Tensor): Promise<void> {
  let wanted: tf.Tensor | undefined;
  tf.grad((t: tf.Tensor) => {
    wanted = tf.keep(block(t).clone());
    return t.sum();
  })(x).dispose();
  const fused = block(x);
  expect(fused.shape).toEqual(wanted!.shape);
  const [a, b] = [await fused.data(), await wanted!.data()];
  const largest = Math.max(...b.map(Math.abs));
  expect(largest).toBeGreaterThan(0);
  // Sums of 48 or 54 products in another order.
  expect(Math.max(...a.map((v, i) => Math.abs(v - b[i]!))) / largest).toBeLessThan(2e-6);
  tf.dispose([fused, wanted!]);
}
