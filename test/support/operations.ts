import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../src/node/backends/select.js';

// Every operation that the models use, at their shapes and options, gradients included: what a backend is held to.

type Values = {readonly shape: readonly number[]; readonly values: Float32Array | Int32Array};
type Operation = (...inputs: tf.Tensor[]) => tf.Tensor | tf.Tensor[];
/** Deterministic and nearly normal. */
function normal(shape: readonly number[], seed: number, scale = 1): Values {
  let state = Math.imul(seed, 2654435761) >>> 0;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
  return {shape, values: values.map(() => (next() + next() + next() + next() - 2) * 1.7 * scale)};
}

function integers(shape: readonly number[], seed: number, below: number): Values {
  return {shape, values: Int32Array.from(normal(shape, seed).values, (x) => Math.floor(Math.abs(x) * 1e4) % below)};
}

const layerNorm = (x: tf.Tensor, g: tf.Tensor, b: tf.Tensor): tf.Tensor => {
  const centred = x.sub(x.mean(-1, true));
  return centred.mul(centred.square().mean(-1, true).add(1e-5).rsqrt()).mul(g).add(b);
};
const gelu = (x: tf.Tensor): tf.Tensor => x.mul(Math.SQRT1_2).erf().add(1).mul(x).mul(0.5);
const conv = (pad: number | 'same' | 'valid' | tf.backend_util.ExplicitPadding, stride = 1): Operation =>
  ((x: tf.Tensor4D, w: tf.Tensor4D) =>
    tf.conv2d(x, w, stride, pad, 'NHWC', 1, typeof pad === 'number' ? 'floor' : undefined)) as Operation;
const fusedConv = (pad: number | 'same', stride = 1): Operation =>
  ((x: tf.Tensor4D, filter: tf.Tensor4D, bias: tf.Tensor) =>
    tf.fused.conv2d({
      x,
      filter,
      strides: stride,
      pad,
      bias,
      activation: 'relu',
      ...(typeof pad === 'number' ? {dimRoundingMode: 'floor' as const} : {}),
    })) as Operation;
/** Gradients of the sum of squares of `f` by all its inputs. */
const gradients = (f: Operation): Operation =>
  ((...xs: tf.Tensor[]) => tf.grads((...ys: tf.Tensor[]) => (f(...ys) as tf.Tensor).square().sum())(xs)) as Operation;
const matMul =
  (transposeA = false, transposeB = false): Operation =>
  (a, b) =>
    tf.matMul(a as tf.Tensor, b as tf.Tensor, transposeA, transposeB);

/** Operations and their inputs, by a name for people. */
export const OPERATIONS: Readonly<Record<string, readonly [readonly Values[], Operation]>> = {
  matMul: [[normal([90, 76], 1), normal([76, 130], 2)], matMul()],
  'matMul, b transposed': [[normal([90, 76], 1), normal([130, 76], 2)], matMul(false, true)],
  'matMul, a transposed': [[normal([76, 90], 1), normal([76, 130], 2)], matMul(true, false)],
  'matMul, large, one batch': [[normal([1, 200, 300], 1), normal([1, 300, 200], 2)], matMul()],
  'matMul, large, one batch, transposed': [[normal([1, 300, 200], 1), normal([1, 200, 300], 2)], matMul(true, true)],
  'matMul, batched': [[normal([2, 12, 50, 64], 3), normal([2, 12, 64, 70], 4)], matMul()],
  'matMul, batched, b transposed': [[normal([2, 12, 50, 64], 3), normal([2, 12, 70, 64], 4)], matMul(false, true)],
  'matMul, batch broadcast': [[normal([12, 50, 64], 3), normal([1, 64, 70], 4)], matMul()],
  'fused matMul': [
    [normal([90, 76], 1), normal([76, 130], 2), normal([130], 3)],
    (a, b, bias) =>
      tf.fused.matMul({a: a as tf.Tensor2D, b: b as tf.Tensor2D, bias: bias as tf.Tensor, activation: 'relu'}),
  ],
  'fused matMul, large': [
    [normal([200, 300], 1), normal([300, 200], 2), normal([200], 3)],
    (a, b, bias) => tf.fused.matMul({a: a as tf.Tensor2D, b: b as tf.Tensor2D, bias: bias as tf.Tensor}),
  ],
  'conv 3×3, valid, stride 2': [[normal([2, 33, 31, 8], 5), normal([3, 3, 8, 16], 6)], conv('valid', 2)],
  'conv 1×1, same': [[normal([1, 20, 20, 64], 5), normal([1, 1, 64, 32], 6)], conv('same')],
  'conv 7×7, pad 3, stride 2': [[normal([1, 48, 48, 3], 5), normal([7, 7, 3, 16], 6)], conv(3, 2)],
  'conv 3×3, pad 1, stride 2, odd': [[normal([1, 15, 17, 8], 5), normal([3, 3, 8, 16], 6)], conv(1, 2)],
  'conv 1×1, pad 0, stride 2': [[normal([1, 16, 16, 8], 5), normal([1, 1, 8, 16], 6)], conv(0, 2)],
  'conv, explicit pad': [
    [normal([1, 15, 17, 8], 5), normal([3, 3, 8, 16], 6)],
    conv([
      [0, 0],
      [1, 2],
      [0, 1],
      [0, 0],
    ]),
  ],
  'fused conv, same': [[normal([1, 20, 20, 16], 5), normal([3, 3, 16, 32], 6), normal([32], 7)], fusedConv('same')],
  'fused conv, pad 1, stride 2': [
    [normal([1, 20, 20, 16], 5), normal([3, 3, 16, 32], 6), normal([32], 7)],
    fusedConv(1, 2),
  ],
  'max pool, valid': [[normal([2, 33, 33, 8], 7)], (x) => tf.maxPool(x as tf.Tensor4D, 3, 2, 'valid')],
  'max pool, pad 1, all negative': [
    [normal([1, 24, 24, 8], 7)],
    (x) => tf.maxPool(x!.abs().neg().sub(1) as tf.Tensor4D, 3, 2, 1, 'floor'),
  ],
  softmax: [[normal([12, 90, 90], 8, 4)], (x) => tf.softmax(x!, -1)],
  'softmax, masked': [
    [normal([4, 30, 30], 8, 4)],
    (x) => tf.softmax(x!.add(tf.tensor([0, Number.NEGATIVE_INFINITY, 0]).tile([10])), -1),
  ],
  'log softmax': [[normal([5, 5945], 8, 3)], (x) => tf.logSoftmax(x!)],
  gather: [[normal([1000, 64], 9), integers([7, 11], 3, 1000)], (w, i) => tf.gather(w!, i as tf.Tensor1D)],
  'layer norm': [[normal([2, 90, 768], 10), normal([768], 11), normal([768], 12)], (x, g, b) => layerNorm(x!, g!, b!)],
  erf: [[normal([900], 13, 2)], (x) => tf.erf(x!)],
  gelu: [[normal([90, 307], 13, 2)], (x) => gelu(x!)],
  einsum: [[normal([2, 9, 4, 8], 1), normal([2, 7, 4, 8], 2)], (q, k) => tf.einsum('bqhd,bkhd->bhqk', q!, k!)],
  'top k': [[normal([5, 5945], 14)], (x) => Object.values(tf.topk(x!, 10)) as tf.Tensor[]],
  argmax: [[normal([5, 594], 14)], (x) => tf.argMax(x!, -1)],
  where: [[normal([50, 50], 15)], (x) => tf.where(x!.greater(0), x!, x!.mul(0.1))],
  'slice, concat, transpose, reshape': [
    [normal([2, 12, 30, 64], 16)],
    (x) =>
      tf
        .concat([x!.slice([0, 0, 0, 0], [2, 12, 10, 64]), x!.slice([0, 0, 5, 0], [2, 12, 10, 64])], 2)
        .transpose([0, 2, 1, 3])
        .reshape([2, 20, 768]),
  ],
  resize: [[normal([1, 20, 30, 3], 17)], (x) => tf.image.resizeBilinear(x as tf.Tensor4D, [48, 48], true)],
  'cumulative sum of integers': [[integers([4, 50], 5, 7)], (x) => tf.cumsum(x!, 1)],
  'one hot': [[integers([40], 5, 19)], (x) => tf.oneHot(x as tf.Tensor1D, 19)],
  'sum by segment': [
    [normal([40, 8], 1), integers([40], 2, 6)],
    (x, i) => tf.unsortedSegmentSum(x!, i as tf.Tensor1D, 6),
  ],
  'gradient of matMul': [[normal([30, 20], 1), normal([20, 40], 2)], gradients(matMul())],
  'gradient of batched matMul, b transposed': [
    [normal([3, 10, 8], 1), normal([3, 12, 8], 2)],
    gradients(matMul(false, true)),
  ],
  'gradient of conv, valid': [[normal([2, 17, 17, 4], 1), normal([3, 3, 4, 8], 2)], gradients(conv('valid', 2))],
  'gradient of conv, pad 1': [[normal([2, 17, 17, 4], 1), normal([3, 3, 4, 8], 2)], gradients(conv(1, 2))],
  'gradient of fused conv': [
    [normal([2, 12, 12, 4], 1), normal([3, 3, 4, 8], 2), normal([8], 3)],
    gradients(fusedConv('same')),
  ],
  'gradient of max pool': [[normal([2, 12, 12, 4], 1)], gradients((x) => tf.maxPool(x as tf.Tensor4D, 3, 2, 'valid'))],
  'gradient of gather': [
    [normal([50, 16], 1), integers([40], 2, 50)],
    (w, i) =>
      tf.grad((v) =>
        tf
          .gather(v, i as tf.Tensor1D)
          .square()
          .sum(),
      )(w!),
  ],
  'gradient of cross entropy': [
    [normal([7, 100], 1, 3)],
    (x) =>
      tf.grad((y) => tf.neg(tf.logSoftmax(y).mul(tf.oneHot(tf.range(0, 7, 1, 'int32') as tf.Tensor1D, 100))).sum())(x!),
  ],
  'gradient of softmax': [[normal([4, 30, 30], 1, 3)], gradients((x) => tf.softmax(x!))],
  'gradient of layer norm': [
    [normal([20, 76], 1), normal([76], 2), normal([76], 3)],
    gradients((x, g, b) => layerNorm(x!, g!, b!)),
  ],
  'gradient of gelu': [[normal([20, 76], 1)], gradients((x) => gelu(x!))],
};

type Result = {readonly shape: readonly number[]; readonly dtype: string; readonly values: readonly number[]};

async function run(name: string, device: string): Promise<Result[]> {
  const [inputs, operation] = OPERATIONS[name]!;
  await selectBackend(device);
  const before = tf.memory().numTensors;
  const outputs = tf.tidy(() => {
    const tensors = inputs.map(({shape, values}) =>
      tf.tensor(values, [...shape], values instanceof Int32Array ? 'int32' : 'float32'),
    );
    return [operation(...tensors)].flat();
  });
  const results = await Promise.all(
    outputs.map(async (t) => ({shape: t.shape, dtype: t.dtype, values: Array.from(await t.data())})),
  );
  tf.dispose(outputs);
  expect(tf.memory().numTensors).toBe(before);
  return results;
}

/**
 * Relative error of an operation on a device, over all its outputs; tfjs' plain JavaScript is right. Asserts shapes,
 * types, tensor counts.
 */
export async function relativeError(name: string, device: string): Promise<number> {
  const got = await run(name, device);
  const wanted = await run(name, 'cpu');
  expect(got.map(({shape, dtype}) => ({shape, dtype}))).toEqual(wanted.map(({shape, dtype}) => ({shape, dtype})));
  let error = 0;
  let size = 0;
  for (const [k, {values}] of wanted.entries()) {
    for (const [i, want] of values.entries()) {
      error += (got[k]!.values[i]! - want) ** 2;
      size += want ** 2;
    }
  }
  expect(size).toBeGreaterThan(0);
  return Math.sqrt(error / size);
}
