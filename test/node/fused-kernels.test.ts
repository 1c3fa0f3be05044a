import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import * as tf from '@tensorflow/tfjs';
import {gelu} from '../../src/nn/gelu.js';
import {LayerNorm} from '../../src/nn/layer-norm.js';
import {Linear} from '../../src/nn/linear.js';
import {selectBackend} from '../../src/node/backends.js';
import {type FusedKernel, runFused} from '../../src/runtime/fused-kernels.js';

const native = process.env['MUE_TEST_NATIVE'];
/** What has kernels of this project's own, and which. */
const DEVICES: readonly (readonly [string, readonly FusedKernel[]])[] = [
  ['wasm', ['MueLayerNorm', 'MueGelu']],
  ...(native ? [[native, ['MueLayerNorm', 'MueGelu', 'MueLinear']] as const] : []),
];
const numbers = (size: number, seed: number): number[] => Array.from({length: size}, (_, i) => Math.sin(i * i + seed) * 3 + 1);
const tensor = (shape: number[], seed: number): tf.Tensor => tf.tensor(numbers(tf.util.sizeFromShape(shape), seed), shape);
const SHAPES = [
  [5, 1, 48],
  [7, 48],
  [2, 3, 4, 48],
  [1, 300, 48],
];

async function fill(block: LayerNorm | Linear): Promise<void> {
  const weights = new Map(
    block.requests().map(({name, shape}, i) => [name, {shape, data: Float32Array.from(numbers(tf.util.sizeFromShape([...shape]), i))}]),
  );
  await block.load({
    names: () => [...weights.keys()],
    shape: (name) => weights.get(name)?.shape,
    read: (name) => Promise.resolve(weights.get(name)!.data),
  });
}

describe.each(DEVICES)('the kernels of %s', (device, kernels) => {
  const norm = new LayerNorm({size: 48});
  const linear = new Linear({inputSize: 48, units: 20});
  let before = 0;
  beforeAll(async () => {
    await selectBackend(device);
    before = tf.memory().numTensors;
    await fill(norm);
    await fill(linear);
  });
  afterAll(() => {
    norm[Symbol.dispose]();
    linear[Symbol.dispose]();
    expect(tf.memory().numTensors).toBe(before);
  });

  test('are there, and are run', () => {
    const x = tensor([5, 48], 1);
    const row = tensor([48], 2);
    const weight = tensor([48, 48], 3);
    for (const kernel of kernels) {
      const y = runFused(kernel, {x, gain: row, bias: row, weight}, {epsilon: 1e-5});
      expect(y?.shape).toEqual([5, 48]);
      y?.dispose();
    }
    tf.dispose([x, row, weight]);
  });

  test.each(SHAPES.map((shape) => [shape]))('give what tfjs composes, %j', async (shape) => {
    // Where a gradient is taken, the blocks compose.
    const composed = (f: (x: tf.Tensor) => tf.Tensor, x: tf.Tensor): tf.Tensor => {
      let inside: tf.Tensor | undefined;
      const gradient = tf.grad((t: tf.Tensor) => {
        inside = tf.keep(f(t).clone());
        return inside.sum();
      });
      gradient(x).dispose();
      return inside!;
    };
    const x = tensor(shape, 5);
    for (const block of [(t: tf.Tensor) => norm.forward(t), gelu, (t: tf.Tensor) => linear.forward(t)]) {
      const [fused, wanted] = [block(x), composed(block, x)];
      expect(fused.shape).toEqual(wanted.shape);
      const [a, b] = [await fused.data(), await wanted.data()];
      const largest = Math.max(...b.map(Math.abs));
      // Sums of 48 products in another order.
      expect(Math.max(...a.map((v, i) => Math.abs(v - b[i]!))) / largest).toBeLessThan(2e-6);
      tf.dispose([fused, wanted]);
    }
    x.dispose();
  });
});
