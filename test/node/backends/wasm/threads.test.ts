import {spawnSync} from 'node:child_process';
import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../../../src/node/backends/select.js';
import {runFused} from '../../../../src/runtime/kernels.js';

const numbers = (shape: readonly number[], seed: number): tf.Tensor => {
  const size = shape.reduce((product, n) => product * n, 1);
  return tf.tensor(
    new Float32Array(size).map((_, i) => ((i * 7919 + seed * 104_729) % 1009) / 505 - 0.9),
    [...shape],
  );
};

/** One call of each kernel, of a size that is cut into pieces, ragged at the ends. */
const CALLS: Readonly<Record<string, () => tf.Tensor>> = {
  'a product cut by rows': () => tf.matMul(numbers([203, 129], 1) as tf.Tensor2D, numbers([129, 61], 2) as tf.Tensor2D),
  'a product cut by columns': () =>
    tf.matMul(numbers([13, 300], 1) as tf.Tensor2D, numbers([300, 413], 2) as tf.Tensor2D),
  'a product of few rows': () =>
    runFused(
      'MueLinear',
      {x: numbers([5, 400], 1), weight: numbers([400, 1003], 2), bias: numbers([1003], 3)},
      {
        activation: 'gelu',
      },
    )!,
  'a convolution': () =>
    tf.conv2d(numbers([2, 21, 19, 24], 1) as tf.Tensor4D, numbers([3, 3, 24, 20], 2) as tf.Tensor4D, 2, 'same'),
  'attention of many queries': () =>
    runFused(
      'MueAttend',
      {
        x: numbers([1, 3, 203, 20], 1),
        keys: numbers([1, 3, 20, 131], 2),
        values: numbers([1, 3, 131, 20], 3),
        bias0: numbers([3, 203, 131], 4),
      },
      {biases: 1, keep: false},
    )!,
  'attention of one query': () =>
    runFused(
      'MueAttend',
      {x: numbers([13, 8, 1, 32], 1), keys: numbers([13, 8, 32, 301], 2), values: numbers([13, 8, 301, 32], 3)},
      {biases: 0, keep: false},
    )!,
  'layer norm': () =>
    runFused(
      'MueLayerNorm',
      {x: numbers([403, 301], 1), gain: numbers([301], 2), bias: numbers([301], 3)},
      {
        epsilon: 1e-5,
      },
    )!,
  GELU: () => runFused('MueGelu', {x: numbers([60_003], 1)})!,
};

/** The bytes of what `compute` gives. */
const read = (compute: () => tf.Tensor): Buffer => {
  const y = tf.tidy(compute);
  const values = y.dataSync<'float32'>();
  y.dispose();
  expect(values.every(Number.isFinite)).toBe(true);
  return Buffer.from(values.buffer);
};

describe.each([true, false])('threads on the wasm heap, relaxed kernels wanted: %s', (relaxed) => {
  test.each(Object.keys(CALLS))('%s is the same, bit for bit, by one, two and three threads', async (name) => {
    await selectBackend('wasm', {relaxed, threads: 2});
    const before = tf.memory().numTensors;
    const alone = await selectBackend('wasm', {relaxed, threads: 1});
    const wanted = read(CALLS[name]!);
    expect(alone.threads).toBe(1);
    for (const threads of [2, 3]) {
      expect((await selectBackend('wasm', {relaxed, threads})).threads).toBe(threads);
      for (let i = 0; i < 3; i++) expect(read(CALLS[name]!).equals(wanted)).toBe(true);
    }
    expect(tf.memory().numTensors).toBe(before);
  });
});

test('threads see a heap that has grown since they started, and panels that are older', async () => {
  await selectBackend('wasm', {threads: 2});
  const {wasmMemory} = (tf.backend() as unknown as {wasm: {wasmMemory: WebAssembly.Memory}}).wasm;
  const [a, b] = [numbers([203, 129], 1), numbers([129, 61], 2)] as [tf.Tensor2D, tf.Tensor2D];
  const wanted = read(() => tf.matMul(a, b));
  const size = wasmMemory.buffer.byteLength;
  const large = tf.zeros([Math.ceil(size / 4)]);
  expect(wasmMemory.buffer.byteLength).toBeGreaterThan(size);
  const copy = tf.clone(a);
  const late = tf.tensor2d(a.dataSync(), [203, 129]);
  for (let i = 0; i < 5; i++) expect(read(() => tf.matMul(late, b)).equals(wanted)).toBe(true);
  tf.dispose([a, b, copy, late, large]);
});

test.each([
  ['ends by itself', '', 0],
  ['ends by an error', 'throw new Error("on purpose")', 1],
  ['ends by a rejected promise', 'await Promise.reject(new Error("on purpose"))', 1],
])('a process with threads %s', (_, last, code) => {
  const script = `
    const {selectBackend} = await import('./dist/node.js');
    const tf = await import('@tensorflow/tfjs');
    const {threads} = await selectBackend('wasm', {threads: 3});
    const x = tf.ones([300, 300]);
    for (let i = 0; i < 20; i++) x.matMul(x).dispose();
    console.log(threads);
    ${last}`;
  const done = spawnSync(process.execPath, ['--input-type=module', '-e', script], {encoding: 'utf8', timeout: 60_000});
  expect([done.status, done.stdout]).toEqual([code, '3\n']);
});
