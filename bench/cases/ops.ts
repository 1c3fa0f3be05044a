import * as tf from '@tensorflow/tfjs';
import {gelu} from '../../src/nn/activations.js';
import {batchedMatMul} from '../../src/nn/heads.js';
import {LayerNorm} from '../../src/nn/layer-norm.js';
import type {TensorScope} from '../../src/runtime/tensor-scope.js';
import {type Case, numbers} from '../measure/cases.js';

// The operations that OFA-Base spends its time in, at the sizes of a 480 × 480 picture (900 patches, width 768, 12
// heads of 64).

const T = 900;
const D = 768;
const F = 3072;
const H = 12;
const V = 59457;

type Tensors = readonly number[][];

/**
 * A case of one operation.
 * @param shapes the shapes of the inputs, made of random numbers
 */
function op<T extends readonly tf.Tensor[]>(
  name: string,
  macs: number | undefined,
  shapes: Tensors,
  run: (...inputs: T) => tf.Tensor,
  extra: Partial<Case> = {},
): Case {
  return {
    group: 'op',
    name,
    macs,
    ...extra,
    prepare: (scope: TensorScope) => {
      const inputs = shapes.map((shape, i) => numbers(scope, [...shape], 1, i + 1)) as unknown as T;
      return () => tf.tidy(() => run(...inputs));
    },
  };
}

function norm(name: string, shape: number[]): Case {
  return {
    group: 'op',
    name,
    prepare: (scope) => {
      const layer = scope.hold(new LayerNorm({size: shape.at(-1)!}));
      layer.build();
      const x = numbers(scope, shape);
      return () => layer.forward(x);
    },
  };
}

export const OP_CASES: readonly Case[] = [
  op(
    'matMul 900×768×3072',
    T * D * F,
    [
      [T, D],
      [D, F],
    ],
    (a: tf.Tensor2D, b: tf.Tensor2D) => tf.matMul(a, b),
  ),
  op(
    'fused matMul + bias 900×768×3072',
    T * D * F,
    [[T, D], [D, F], [F]],
    (a: tf.Tensor2D, b: tf.Tensor2D, bias: tf.Tensor) => tf.fused.matMul({a, b, bias}),
  ),
  op(
    'batched matMul 12×900×64×900',
    H * T * 64 * T,
    [
      [H, T, 64],
      [H, 64, T],
    ],
    (a: tf.Tensor3D, b: tf.Tensor3D) => tf.matMul(a, b),
  ),
  op(
    'multiplyHeads 12×900×64×900',
    H * T * 64 * T,
    [
      [1, H, T, 64],
      [1, H, 64, T],
    ],
    (a: tf.Tensor4D, b: tf.Tensor4D) => batchedMatMul(a, b),
  ),
  op('softmax 12×900×900', undefined, [[H, T, T]], (x: tf.Tensor) => tf.softmax(x)),
  op(
    'add 12×900×900 (bias)',
    undefined,
    [
      [1, H, T, T],
      [1, H, T, T],
    ],
    (x: tf.Tensor, y: tf.Tensor) => x.add(y),
  ),
  op('transpose 900×12×64 (heads)', undefined, [[1, T, H, 64]], (x: tf.Tensor) => x.transpose([0, 2, 1, 3])),
  op(
    'conv 3×3 30×30×256',
    900 * 9 * 256 * 256,
    [
      [1, 30, 30, 256],
      [3, 3, 256, 256],
    ],
    (x: tf.Tensor4D, w: tf.Tensor4D) => tf.conv2d(x, w, 1, 'same'),
  ),
  op(
    'conv 1×1 30×30×1024→256',
    900 * 1024 * 256,
    [
      [1, 30, 30, 1024],
      [1, 1, 1024, 256],
    ],
    (x: tf.Tensor4D, w: tf.Tensor4D) => tf.conv2d(x, w, 1, 'same'),
  ),
  op(
    'conv stem 7×7 480×480',
    240 * 240 * 49 * 3 * 64,
    [
      [1, 480, 480, 3],
      [7, 7, 3, 64],
    ],
    (x: tf.Tensor4D, w: tf.Tensor4D) => tf.conv2d(x, w, 2, 3, 'NHWC', undefined, 'floor'),
  ),
  norm('layer norm 900×768', [1, T, D]),
  op('gelu 900×3072', undefined, [[T, F]], (x: tf.Tensor) => gelu(x)),
  op(
    'gemv 5×768×59457 (logits)',
    5 * D * V,
    [
      [5, D],
      [D, V],
    ],
    (a: tf.Tensor2D, b: tf.Tensor2D) => tf.matMul(a, b),
  ),
  op('one op, whatever its size', undefined, [[4]], (x: tf.Tensor) => tf.add(x, x), {inner: 1000, unit: 'µs'}),
];
