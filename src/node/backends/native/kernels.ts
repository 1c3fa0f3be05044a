import * as tf from '@tensorflow/tfjs';
import {type KernelCall, replaceKernel} from '../kernels.js';
import type {Tensorflow} from './operations.js';

type Padding = number | string | readonly (readonly [number, number])[];
type ConvAttributes = {readonly pad: Padding; readonly dataFormat?: 'NHWC' | 'NCHW'};

const NONE = [0, 0] as const;
const BACKEND = 'tensorflow';
/** The number of multiplications from which two or three reshapes (20 µs each) do not count. */
const LARGE_PRODUCT = 2 ** 22;

let patched = false;

/**
 * Replaces kernels of the backend 'tensorflow' that tfjs-node 4.22 lacks or does slowly:
 * - convolutions, their gradients, and max pooling take `pad` as a number, as they do on other backends;
 * - a large product of two matrices goes to TensorFlow's MatMul, which takes half the time of the BatchMatMulV2 that
 *   tfjs-node uses for everything (900×768×3072 on one thread: 34 and 74 ms).
 */
export function patchNativeKernels(): void {
  if (patched) return;
  patched = true;
  for (const name of [tf.Conv2D, tf.FusedConv2D]) {
    replaceKernel(
      name,
      BACKEND,
      (original) => (call) => original(withPad(call, explicit(call.attrs as unknown as ConvAttributes))),
    );
  }
  replaceKernel(tf.Conv2DBackpropInput, BACKEND, (original) => (call) => backpropInput(original, call));
  replaceKernel(tf.Conv2DBackpropFilter, BACKEND, (original) => (call) => backpropFilter(original, call));
  replaceKernel(tf.MaxPool, BACKEND, (original) => (call) => maxPool(original, call));
  replaceKernel(tf.BatchMatMul, BACKEND, (original) => (call) => matMul(call) ?? original(call));
}

function withPad(call: KernelCall, pad: Padding): KernelCall {
  return {...call, attrs: {...call.attrs, pad: pad as unknown as tf.Attribute}};
}

/** A padding in the form that TensorFlow takes. */
function explicit({pad, dataFormat}: ConvAttributes): Padding {
  if (typeof pad !== 'number') return pad;
  if (pad === 0) return 'valid';
  const sides = [pad, pad] as const;
  return dataFormat === 'NCHW' ? [NONE, NONE, sides, sides] : [NONE, sides, sides, NONE];
}

/** Pads before pooling, with −∞, which is never the maximum. */
function maxPool(original: tf.KernelFunc, call: KernelCall): ReturnType<tf.KernelFunc> {
  const pad = explicit(call.attrs as unknown as ConvAttributes);
  if (typeof pad === 'string' || typeof pad === 'number') return original(withPad(call, pad));
  const x = tf.pad(call.inputs.x as tf.Tensor, pad as [number, number][], Number.NEGATIVE_INFINITY);
  const y = original({...withPad(call, 'valid'), inputs: {x}});
  x.dispose();
  return y;
}

/** The gradient by the padded input, from which the padding is then cut off. */
function backpropInput(original: tf.KernelFunc, call: KernelCall): ReturnType<tf.KernelFunc> {
  const pad = explicit(call.attrs as unknown as ConvAttributes);
  if (typeof pad === 'string' || typeof pad === 'number') return original(withPad(call, pad));
  const shape = call.attrs!.inputShape as number[];
  const padded = shape.map((n, axis) => n + pad[axis]![0] + pad[axis]![1]);
  const valid = withPad(call, 'valid');
  const whole = original({...valid, attrs: {...valid.attrs!, inputShape: padded}}) as tf.Tensor;
  const part = tf.slice(
    whole,
    pad.map(([before]) => before),
    shape,
  );
  whole.dispose();
  return part;
}

function backpropFilter(original: tf.KernelFunc, call: KernelCall): ReturnType<tf.KernelFunc> {
  const pad = explicit(call.attrs as unknown as ConvAttributes);
  if (typeof pad === 'string' || typeof pad === 'number') return original(withPad(call, pad));
  const x = tf.pad(call.inputs.x as tf.Tensor, pad as [number, number][]);
  const gradient = original({...withPad(call, 'valid'), inputs: {...call.inputs, x}});
  x.dispose();
  return gradient;
}

/** The product of two large float matrices, [m, k] · [k, n] or with one batch; undefined for anything else. */
function matMul({inputs, attrs, backend}: KernelCall): tf.TensorInfo | undefined {
  const {a, b} = inputs as {a: tf.Tensor; b: tf.Tensor};
  const {transposeA, transposeB} = attrs as {transposeA: boolean; transposeB: boolean};
  const flat = (t: tf.Tensor): boolean => t.rank >= 2 && t.size === t.shape.at(-1)! * t.shape.at(-2)!;
  if (a.dtype !== 'float32' || b.dtype !== 'float32' || a.rank !== b.rank || !flat(a) || !flat(b)) return undefined;
  const [m, k] = (transposeA ? [a.shape.at(-1), a.shape.at(-2)] : [a.shape.at(-2), a.shape.at(-1)]) as [number, number];
  const n = transposeB ? b.shape.at(-2)! : b.shape.at(-1)!;
  if (a.rank > 2 && m * k * n < LARGE_PRODUCT) return undefined;
  const {binding} = backend as unknown as Tensorflow;
  const attributes = [
    {name: 'transpose_a', type: binding.TF_ATTR_BOOL, value: transposeA},
    {name: 'transpose_b', type: binding.TF_ATTR_BOOL, value: transposeB},
    {name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT},
  ];
  const run = (p: tf.Tensor, q: tf.Tensor): tf.Tensor =>
    (backend as unknown as Tensorflow).executeSingleOutput('MatMul', attributes, [p, q]);
  if (a.rank === 2) return run(a, b);
  const matrix = (t: tf.Tensor): tf.Tensor => tf.reshape(t, [t.shape.at(-2)!, t.shape.at(-1)!]);
  return tf.tidy(() => tf.reshape(run(matrix(a), matrix(b)), [...a.shape.slice(0, -2), m, n]));
}
