import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../../runtime/errors.js';
import {type KernelCall, replaceKernel, type WasmBackend} from '../kernels.js';

// Gradients of gathers and convolutions.   B batch, h w height and width of the input, h' w' of the output, N = B·h'·w',
// k k the filter, i o input and output channels

type Numbers = Float32Array | Int32Array;
type ConvInfo = tf.backend_util.Conv2DInfo;

interface ConvAttributes {
  readonly strides: number | [number, number];
  readonly pad: Parameters<typeof tf.backend_util.computeConv2DInfo>[4];
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
  readonly dataFormat?: 'NHWC' | 'NCHW';
}

let patched = false;

/**
 * Registers the gradient kernels that tfjs-backend-wasm 4.22 lacks (of gathers, and of a convolution by its filter), and
 * replaces the gradient of a convolution by its input, which is a loop without SIMD there. Both gradients of a
 * convolution are products for XNNPACK, one for each row of the filter, around patches that are copied or added in runs
 * of memory. Call with the backend started.
 */
export function registerWasmGradients(): void {
  if (patched) return;
  patched = true;
  const register = (kernelName: string, kernelFunc: tf.KernelFunc): void =>
    tf.registerKernel({kernelName, backendName: 'wasm', kernelFunc});
  register(tf.UnsortedSegmentSum, unsortedSegmentSum);
  register(tf.Conv2DBackpropFilter, backpropFilter);
  replaceKernel(tf.Conv2DBackpropInput, 'wasm', () => backpropInput);
}

/** Sums of the rows of x that have one segment id; rows with an id outside of the segments are left out. */
function unsortedSegmentSum({inputs, attrs, backend}: KernelCall): tf.TensorInfo {
  const {x, segmentIds} = inputs as {x: tf.TensorInfo; segmentIds: tf.TensorInfo};
  const {numSegments} = attrs as unknown as {numSegments: number};
  if (x.dtype !== 'float32' && x.dtype !== 'int32')
    throw new BackendError('unsupported-operation', `wasm: segments of ${x.dtype} cannot be summed`);
  const wasm = backend as unknown as WasmBackend;
  const rest = x.shape.slice(segmentIds.shape.length);
  const out = wasm.makeOutput([numSegments, ...rest], x.dtype);
  const run = tf.util.sizeFromShape(rest);
  const from = wasm.typedArrayFromHeap<Numbers>(x);
  const to = wasm.typedArrayFromHeap<Numbers>(out).fill(0);
  for (const [row, segment] of wasm.typedArrayFromHeap<Int32Array>(segmentIds).entries())
    if (segment >= 0 && segment < numSegments) add(to, segment * run, from, row * run, run);
  return out;
}

function add(to: Numbers, start: number, from: Numbers, begin: number, count: number): void {
  for (let i = 0; i < count; i++) to[start + i]! += from[begin + i]!;
}

/** [k, k, i, o]: for each row of the filter, the patches that it sees [N, k·i], transposed, times dy [N, o]. */
function backpropFilter({inputs, attrs, backend}: KernelCall): tf.TensorInfo {
  const {x, dy} = inputs as {x: tf.Tensor4D; dy: tf.Tensor4D};
  const {filterShape} = attrs as unknown as {filterShape: [number, number, number, number]};
  const info = convInfo(x.shape, filterShape, attrs as unknown as ConvAttributes);
  const wasm = backend as unknown as WasmBackend;
  return tf.tidy(() => {
    const gradient = tf.reshape(dy, [-1, info.outChannels]);
    const rows = Array.from({length: info.filterHeight}, (_, row) => {
      const patches = seesEverything(info) ? tf.reshape(x, [-1, info.inChannels]) : patchesOf(x, row, info, wasm);
      return tf.matMul(patches, gradient, true, false);
    });
    return tf.reshape(tf.concat(rows), filterShape);
  });
}

/** [B, h, w, i]: for each row of the filter, dy [N, o] times that row, transposed, added where its patches came from. */
function backpropInput({inputs, attrs, backend}: KernelCall): tf.TensorInfo {
  const {dy, filter} = inputs as {dy: tf.Tensor4D; filter: tf.Tensor4D};
  const {inputShape} = attrs as unknown as {inputShape: [number, number, number, number]};
  const info = convInfo(inputShape, filter.shape, attrs as unknown as ConvAttributes);
  const {filterHeight, filterWidth, inChannels, outChannels} = info;
  const wasm = backend as unknown as WasmBackend;
  return tf.tidy(() => {
    const gradient = tf.reshape(dy, [-1, outChannels]) as tf.Tensor2D;
    const rows = tf.reshape(filter, [filterHeight, filterWidth * inChannels, outChannels]);
    const patches = (row: number): tf.Tensor2D => {
      const ofRow = tf.reshape(tf.slice(rows, [row, 0, 0], [1, -1, -1]), [-1, outChannels]);
      return tf.matMul(gradient, ofRow as tf.Tensor2D, false, true);
    };
    if (seesEverything(info)) return tf.reshape(patches(0), inputShape);
    const out = tensor(inputShape, wasm);
    wasm.typedArrayFromHeap(out).fill(0);
    for (let row = 0; row < filterHeight; row++) {
      const part = patches(row);
      const [from, to] = [wasm.typedArrayFromHeap(part), wasm.typedArrayFromHeap(out)];
      eachPatch(row, info, (at, place, count) => add(to, place, from, at, count));
      part.dispose();
    }
    return out;
  });
}

function convInfo(
  inputShape: [number, number, number, number],
  filterShape: [number, number, number, number],
  {strides, pad, dimRoundingMode, dataFormat = 'NHWC'}: ConvAttributes,
): ConvInfo {
  if (dataFormat !== 'NHWC')
    throw new BackendError('unsupported-operation', `wasm: gradients of a convolution are of NHWC, not ${dataFormat}`);
  return tf.backend_util.computeConv2DInfo(inputShape, filterShape, strides, 1, pad, dimRoundingMode);
}

/** Whether the patches of a convolution are its input as it stands: 1×1, without strides and padding. */
function seesEverything({filterHeight, filterWidth, strideHeight, strideWidth, padInfo}: ConvInfo): boolean {
  const {top, bottom, left, right} = padInfo;
  return (
    [filterHeight, filterWidth, strideHeight, strideWidth].every((n) => n === 1) && top + bottom + left + right === 0
  );
}

/** The numbers that one row of the filter sees at each place of the output, [N, k·i], zeros in the padding. */
function patchesOf(x: tf.Tensor4D, row: number, info: ConvInfo, wasm: WasmBackend): tf.Tensor2D {
  const {batchSize, outHeight, outWidth, filterWidth, inChannels} = info;
  const patches = tensor<tf.Tensor2D>([batchSize * outHeight * outWidth, filterWidth * inChannels], wasm);
  const [from, to] = [wasm.typedArrayFromHeap(x), wasm.typedArrayFromHeap(patches).fill(0)];
  eachPatch(row, info, (at, place, count) => {
    if (count < 16) for (let i = 0; i < count; i++) to[at + i] = from[place + i]!;
    else to.set(from.subarray(place, place + count), at);
  });
  return patches;
}

/**
 * Walks over the patches [N, k·i] of one row of the filter.
 * @param visit   gets a run's place in the patches, its place in the input, and its length; padding is left out
 */
function eachPatch(row: number, info: ConvInfo, visit: (at: number, place: number, count: number) => void): void {
  const {batchSize, inHeight, inWidth, inChannels, outHeight, outWidth, filterWidth, strideHeight, strideWidth} = info;
  const {top, left} = info.padInfo;
  for (let b = 0; b < batchSize; b++)
    for (let oy = 0; oy < outHeight; oy++) {
      const y = oy * strideHeight - top + row;
      if (y < 0 || y >= inHeight) continue;
      for (let ox = 0; ox < outWidth; ox++) {
        const x = ox * strideWidth - left;
        const first = Math.max(x, 0);
        const count = Math.min(x + filterWidth, inWidth) - first;
        if (count <= 0) continue;
        const at = (((b * outHeight + oy) * outWidth + ox) * filterWidth + first - x) * inChannels;
        visit(at, ((b * inHeight + y) * inWidth + first) * inChannels, count * inChannels);
      }
    }
}

/** A tensor of undefined numbers, of the tidy around. */
function tensor<T extends tf.Tensor>(shape: T['shape'], wasm: WasmBackend): T {
  return tf.engine().makeTensorFromTensorInfo(wasm.makeOutput(shape, 'float32')) as T;
}
