import * as tf from '@tensorflow/tfjs';
import {compileKernels, instantiateKernels, type KernelBuild} from '../../../../src/node/backends/wasm/modules.js';
import {JOB_BYTES, ThreadPool} from '../../../../src/node/backends/wasm/pool.js';
import {selectBackend} from '../../../../src/node/backends/select.js';
import {runFused} from '../../../../src/runtime/kernels.js';

const BUILDS: readonly KernelBuild[] = compileKernels('relaxed', false) ? ['simd', 'relaxed'] : ['simd'];
/** Sums in float32 of terms up to 8 against double precision, relative to the largest number, or to 1. */
const TOLERANCE = 2e-6;

const numbers = (size: number, seed: number): Float32Array =>
  Float32Array.from({length: size}, (_, i) => Math.sin(i * i + seed) * 2 + 0.7);
const sizeOf = (shape: readonly number[]): number => shape.reduce((size, n) => size * n, 1);
const tensor = (shape: number[], seed: number): tf.Tensor => tf.tensor(numbers(sizeOf(shape), seed), shape);

function erf(x: number): number {
  // Abramowitz and Stegun 7.1.5 up to 3, where the rest is below 2.3e-5 of what GELU multiplies by a small number.
  let [sum, term] = [x, x];
  for (let n = 1; n < 80; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}
const ACTIVATE = {
  linear: (x: number) => x,
  relu: (x: number) => Math.max(0, x),
  gelu: (x: number) => (Math.abs(x) > 5.6 ? Math.max(0, x) : 0.5 * x * (1 + erf(x * Math.SQRT1_2))),
};

/** In double precision: activation(a [M, K] · b [K, N] + bias). */
function productOf(
  [a, b, bias]: readonly Float32Array[],
  [M, K, N]: readonly [number, number, number],
  activation: keyof typeof ACTIVATE,
): number[] {
  return Array.from({length: M * N}, (_, i) => {
    const [m, n] = [Math.floor(i / N), i % N];
    let sum = bias?.[n] ?? 0;
    for (let k = 0; k < K; k++) sum += a![m * K + k]! * b![k * N + n]!;
    return ACTIVATE[activation](sum);
  });
}

function expectClose(got: ArrayLike<number>, wanted: readonly number[]): void {
  expect(got).toHaveLength(wanted.length);
  const finite = wanted.map((w, i) => [w, got[i]!] as const).filter(([w]) => Number.isFinite(w));
  const scale = Math.max(1, ...finite.map(([w]) => Math.abs(w)));
  expect(Math.max(0, ...finite.map(([w, g]) => Math.abs(g - w) / scale))).toBeLessThan(TOLERANCE);
  const others = wanted.map((w, i) => [w, got[i]!] as const).filter(([w]) => !Number.isFinite(w));
  expect(others.map(([, g]) => g)).toEqual(others.map(([w]) => w));
}

/** Runs `compute` and reads its tensor; nothing stays. */
function read(compute: () => tf.Tensor): Float32Array {
  const y = tf.tidy(compute);
  const values = y.dataSync<'float32'>();
  y.dispose();
  return values;
}

describe.each(BUILDS)('own wasm kernels, %s', (build) => {
  let before = 0;
  beforeAll(async () => {
    await selectBackend('wasm', {relaxed: build === 'relaxed', threads: 1});
  });
  beforeEach(() => {
    before = tf.memory().numTensors;
  });
  afterEach(() => expect(tf.memory().numTensors).toBe(before));

  const rows = [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 70];
  test.each(rows)('a product of %i rows equals plain JavaScript at any count of columns', (M) => {
    for (const [K, N] of [1, 2, 3, 4, 5, 6, 7, 8, 15, 33].map((N, i) => [[1, 2, 3, 7, 32, 51][i % 6]!, N] as const)) {
      const [a, b, bias] = [tensor([M, K], 1), tensor([K, N], 2), tensor([N], 3)] as [
        tf.Tensor2D,
        tf.Tensor2D,
        tf.Tensor,
      ];
      const operands = [a, b, bias].map((t) => t.dataSync<'float32'>());
      expectClose(
        read(() => tf.matMul(a, b)),
        productOf(operands.slice(0, 2), [M, K, N], 'linear'),
      );
      for (const activation of ['linear', 'relu'] as const)
        expectClose(
          read(() => tf.fused.matMul({a, b, bias, activation})),
          productOf(operands, [M, K, N], activation),
        );
      expectClose(
        read(() => runFused('MueLinear', {x: a, weight: b, bias}, {activation: 'gelu'})!),
        productOf(operands, [M, K, N], 'gelu'),
      );
      tf.dispose([a, b, bias]);
    }
  });

  test('a product of NaN and infinities is that of plain JavaScript, ReLU included', () => {
    for (const M of [1, 3, 20]) {
      const [a, b] = [numbers(M * 5, 1), numbers(5 * 9, 2)];
      a.set([Number.NaN, Infinity, -Infinity].slice(0, M), 0);
      b[12] = Infinity;
      b[44] = Number.NaN;
      const [x, y] = [tf.tensor2d(a, [M, 5]), tf.tensor2d(b, [5, 9])];
      expectClose(
        read(() => tf.matMul(x, y)),
        productOf([a, b], [M, 5, 9], 'linear'),
      );
      expectClose(
        read(() => tf.fused.matMul({a: x, b: y, activation: 'relu'})),
        productOf([a, b], [M, 5, 9], 'relu'),
      );
      tf.dispose([x, y]);
    }
  });

  test('tensors that share numbers in other shapes each get their own panels', () => {
    const b = tensor([6, 10], 2) as tf.Tensor2D;
    const turned = b.reshape([10, 6]) as tf.Tensor2D;
    const [x, y] = [tensor([2, 6], 1), tensor([2, 10], 1)] as [tf.Tensor2D, tf.Tensor2D];
    const weights = b.dataSync<'float32'>();
    expectClose(
      read(() => tf.matMul(x, b)),
      productOf([x.dataSync<'float32'>(), weights], [2, 6, 10], 'linear'),
    );
    expectClose(
      read(() => tf.matMul(y, turned)),
      productOf([y.dataSync<'float32'>(), weights], [2, 10, 6], 'linear'),
    );
    tf.dispose([b, turned, x, y]);
  });

  test('panels outlive growth of the heap, and are freed with their tensor', () => {
    const wasm = (tf.backend() as unknown as {wasm: {asm: {memory: WebAssembly.Memory}}}).wasm;
    const [a, b] = [tensor([9, 40], 1), tensor([40, 24], 2)] as [tf.Tensor2D, tf.Tensor2D];
    const wanted = productOf([a.dataSync<'float32'>(), b.dataSync<'float32'>()], [9, 40, 24], 'linear');
    expectClose(
      read(() => tf.matMul(a, b)),
      wanted,
    );
    const size = wasm.asm.memory.buffer.byteLength;
    const large = tf.zeros([Math.ceil(size / 4)]);
    expect(wasm.asm.memory.buffer.byteLength).toBeGreaterThan(size);
    expectClose(
      read(() => tf.matMul(a, b)),
      wanted,
    );
    tf.dispose([large, a, b]);
    const grown = wasm.asm.memory.buffer.byteLength;
    for (let i = 0; i < 30; i++) {
      const [x, weight] = [tf.ones([1, 500]), tf.ones([500, 1000])] as [tf.Tensor2D, tf.Tensor2D];
      read(() => tf.matMul(x, weight));
      tf.dispose([x, weight]);
    }
    // 30 weights and as many panels of 2 MB.
    expect(wasm.asm.memory.buffer.byteLength - grown).toBeLessThan(30e6);
  });

  test.each([
    {x: [1, 9, 7, 3], filter: [3, 3, 3, 5], strides: 2, pad: 1},
    {x: [2, 8, 8, 4], filter: [3, 3, 4, 8], strides: 1, pad: 1},
    {x: [1, 5, 6, 6], filter: [1, 1, 6, 9], strides: 1, pad: 0},
    {x: [3, 5, 6, 6], filter: [1, 1, 6, 9], strides: 2, pad: 0},
    {x: [1, 19, 20, 3], filter: [7, 7, 3, 16], strides: 2, pad: 3},
    {x: [1, 6, 9, 2], filter: [2, 3, 2, 3], strides: [1, 2], pad: 'same'},
  ] as const)('a convolution equals that of the cpu backend: %j', async ({x, filter, strides, pad}) => {
    const run = (): tf.Tensor => {
      const [picture, kernel] = [tensor([...x], 1) as tf.Tensor4D, tensor([...filter], 2) as tf.Tensor4D];
      const bias = tensor([filter[3]], 3) as tf.Tensor1D;
      const stride = typeof strides === 'number' ? strides : ([...strides] as [number, number]);
      const rounding = pad === 'same' ? undefined : 'floor';
      const plain = tf.conv2d(picture, kernel, stride, pad, 'NHWC', 1, rounding);
      const options = {x: picture, filter: kernel, strides: stride, pad, bias} as const;
      const fused = tf.fused.conv2d({...options, ...(rounding && {dimRoundingMode: rounding}), activation: 'relu'});
      return tf.stack([plain, fused]);
    };
    const got = read(run);
    await selectBackend('cpu');
    const wanted = read(run);
    await selectBackend('wasm', {relaxed: build === 'relaxed', threads: 1});
    expectClose(got, [...wanted]);
  });

  test.each([1, 2, 3, 4, 5, 6, 9])('attention of %i queries equals plain JavaScript at any count of keys', (T) => {
    const [B, H] = [2, 3];
    for (const [S, D] of [1, 2, 5, 7, 8, 9, 15, 16, 17, 33].map((S, i) => [S, [4, 8, 12, 5, 32][i % 5]!] as const)) {
      const x = tf.tidy(() => tensor([B, H, T, D], 1).mul(0.3)) as tf.Tensor4D;
      const [keys, values, scale] = [tensor([B, H, D, S], 2), tensor([B, H, S, D], 3), tensor([H], 4)];
      const bias = [tensor([H, T, S], 5), tensor([B, 1, 1, S], 6)];
      const inputs = {x, keys, values, scale, bias0: bias[0]!, bias1: bias[1]!};
      const [q, k, v, factor, first, second] = Object.values(inputs).map((t) => t.dataSync<'float32'>());
      const wanted = Array.from({length: B * H * T}, (_, row) => {
        const [head, t] = [Math.floor(row / T), row % T];
        const scores = Array.from({length: S}, (_, s) => {
          let sum = first![((head % H) * T + t) * S + s]! + second![Math.floor(head / H) * S + s]!;
          for (let d = 0; d < D; d++) sum += q![row * D + d]! * k![(head * D + d) * S + s]!;
          return sum;
        });
        const weights = scores.map((score) => Math.exp(score - Math.max(...scores)));
        const whole = weights.reduce((sum, w) => sum + w, 0);
        return Array.from({length: D}, (_, d) => {
          const sum = weights.reduce((mixed, w, s) => mixed + w * v![(head * S + s) * D + d]!, 0);
          return (factor![head % H]! * sum) / whole;
        });
      }).flat();
      for (const keep of [false, true])
        expectClose(
          read(() => runFused('MueAttend', inputs, {biases: 2, keep})!),
          wanted,
        );
      tf.dispose([inputs]);
    }
  });

  test('attention: a masked key weighs nothing, whatever it holds; a NaN in a query stays in its row', () => {
    const [x, keys, values] = [numbers(3 * 4, 1), numbers(4 * 9, 2), numbers(9 * 4, 3)];
    x[4] = Number.NaN;
    values[8 * 4] = 3e38;
    const mask = tf.tensor4d([0, 0, 0, 0, 0, 0, 0, 0, -1e9], [1, 1, 1, 9]);
    const inputs = {
      x: tf.tensor4d(x, [1, 1, 3, 4]),
      keys: tf.tensor4d(keys, [1, 1, 4, 9]),
      values: tf.tensor4d(values, [1, 1, 9, 4]),
      bias0: mask,
    };
    const got = read(() => runFused('MueAttend', inputs, {biases: 1, keep: false})!);
    expect([...got].map(Number.isNaN)).toEqual(
      [4, 5, 6, 7].reduce((row, i) => row.with(i, true), new Array<boolean>(12).fill(false)),
    );
    expect(Math.max(...[...got].filter((v) => !Number.isNaN(v)).map(Math.abs))).toBeLessThan(3);
    tf.dispose([inputs]);
  });

  test.each([1, 3, 4, 5, 6, 7, 8, 12, 17, 300])('layer norm and GELU of rows of %i equal plain JavaScript', (N) => {
    const [x, gain, bias] = [tensor([3, N], 1), tensor([N], 2), tensor([N], 3)];
    const [from, g, b] = [x, gain, bias].map((t) => t.dataSync<'float32'>());
    const wanted = [0, 1, 2].flatMap((r) => {
      const row = [...from!.subarray(r * N, (r + 1) * N)];
      const mean = row.reduce((sum, v) => sum + v, 0) / N;
      const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / N;
      return row.map((v, i) => ((v - mean) / Math.sqrt(variance + 1e-5)) * g![i]! + b![i]!);
    });
    expectClose(
      read(() => runFused('MueLayerNorm', {x, gain, bias}, {epsilon: 1e-5})!),
      wanted,
    );
    expectClose(
      read(() => runFused('MueGelu', {x})!),
      Array.from(from!, ACTIVATE.gelu),
    );
    tf.dispose([x, gain, bias]);
  });

  test('GELU of NaN is NaN, of large numbers themselves or 0', () => {
    const x = tf.tensor1d([Number.NaN, Infinity, 1e30, -30, 0]);
    const [nan, infinity, large, small, zero] = read(() => runFused('MueGelu', {x})!);
    expect([nan, infinity, large, zero]).toEqual([Number.NaN, Infinity, Math.fround(1e30), 0]);
    expect(Math.abs(small!)).toBeLessThan(1e-5);
    x.dispose();
  });

  test('addresses beyond 2 GiB are read and written', () => {
    const memory = new WebAssembly.Memory({initial: 40_000, maximum: 65_536});
    const kernels = instantiateKernels(compileKernels(build, false)!, memory, 65_536);
    const base = 2 ** 31 + 2 ** 20;
    const pool = new ThreadPool(kernels, memory, base - JOB_BYTES);
    const [M, K, N] = [9, 5, 11] as const;
    const [a, b, panels, c, address] = Array.from({length: 5}, (_, i) => base + i * 65_536) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const [x, y] = [numbers(M * K, 1), numbers(K * N, 2)];
    new Float32Array(memory.buffer, a, x.length).set(x);
    new Float32Array(memory.buffer, b, y.length).set(y);
    pool.run({kernel: 'pack', pieces: 1, parameters: [b, 1, K, N, panels, 1]});
    const product = [a, M, K, panels, N, 0, 0, c, 0, 4, M, N];
    pool.run({kernel: 'product', pieces: 1, parameters: product, scratch: {address, bytes: 4 * 4 * K}});
    const wanted = productOf([x, y], [M, K, N], 'linear');
    expectClose(new Float32Array(memory.buffer, c, M * N), wanted);
    pool.run({kernel: 'few_rows', pieces: 1, parameters: [a, 5, K, panels, N, 0, c + 4096, 0, N]});
    expectClose(new Float32Array(memory.buffer, c + 4096, 5 * N), wanted.slice(0, 5 * N));
  });
});

test('selectBackend: runs exact kernels where relaxed ones are not wanted', async () => {
  expect((await selectBackend('wasm', {relaxed: false, threads: 1})).note).toBe('wasm (SIMD, 1 thread)');
});

test('runFused: kernels step aside where a gradient is taken', async () => {
  await selectBackend('wasm', {threads: 1});
  const inputs = {x: tensor([2, 3], 1), weight: tensor([3, 4], 2), bias: tensor([4], 3)};
  const run = (): tf.Tensor | undefined => tf.tidy(() => runFused('MueLinear', inputs, {activation: 'linear'}));
  const outcomes: boolean[] = [];
  const note = (): void => {
    const y = run();
    outcomes.push(y !== undefined);
    y?.dispose();
  };
  note();
  tf.grad((x: tf.Tensor) => {
    note();
    return x.sum();
  })(inputs.x).dispose();
  note();
  expect(outcomes).toEqual([true, false, true]);
  tf.dispose([inputs]);
});
