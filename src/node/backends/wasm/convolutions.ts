import * as tf from '@tensorflow/tfjs';
import {type KernelCall, preferKernel} from '../kernels.js';
import {ACTIVATIONS, areFloats, type KernelHeap, sizeOf} from './heap.js';
import {LEAST_ROWS, multiply, rowsAtOnce} from './products.js';

type Strides = [number, number] | number;
type Pad = 'valid' | 'same' | number | tf.backend_util.ExplicitPadding;

interface ConvolutionAttributes {
  readonly strides: Strides;
  readonly pad: Pad;
  readonly dataFormat?: string;
  readonly dilations?: Strides;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
  readonly activation?: string;
}

interface ConvolutionInputs {
  readonly x: tf.TensorInfo;
  readonly filter: tf.TensorInfo;
  readonly bias?: tf.TensorInfo;
  readonly addend?: tf.TensorInfo;
}

/**
 * Puts this project's kernel in the place of tfjs' convolutions of float32 pictures [B, h, w, C]; dilated ones and
 * other activations stay where they were. Registers `MueConvAddRelu`.
 */
export function replaceConvolutions(heap: KernelHeap): void {
  for (const name of [tf.Conv2D, tf.FusedConv2D]) preferKernel(name, 'wasm', (call) => replaced(heap, call));
  tf.registerKernel({
    kernelName: 'MueConvAddRelu',
    backendName: 'wasm',
    kernelFunc: ({inputs, attrs}) => {
      const {strides, pad} = attrs as unknown as {strides: number; pad: number};
      const info = convolutionInfo(inputs as unknown as ConvolutionInputs, {strides, pad, dimRoundingMode: 'floor'});
      return convolve(heap, inputs as unknown as ConvolutionInputs, info, ACTIVATIONS['relu']!);
    },
  });
}

function replaced(heap: KernelHeap, {inputs, attrs}: KernelCall): tf.TensorInfo | undefined {
  const {x, filter, bias} = inputs as unknown as ConvolutionInputs;
  const attributes = attrs as unknown as ConvolutionAttributes;
  const {dataFormat = 'NHWC', activation = 'linear'} = attributes;
  const number = ACTIVATIONS[activation];
  if (dataFormat !== 'NHWC' || number === undefined || inputs.preluActivationWeights) return undefined;
  const info = convolutionInfo({x, filter}, attributes);
  if (!areFloats(x, filter, bias) || info.dilationHeight !== 1 || info.dilationWidth !== 1) return undefined;
  if (sizeOf(info.outShape) === 0 || (bias && sizeOf(bias.shape) !== info.outChannels)) return undefined;
  return convolve(heap, {x, filter, ...(bias ? {bias} : {})}, info, number);
}

function convolutionInfo(
  {x, filter}: ConvolutionInputs,
  {strides, pad, dilations = 1, dimRoundingMode}: ConvolutionAttributes,
): tf.backend_util.Conv2DInfo {
  type Shape = [number, number, number, number];
  const [shape, kernel] = [x.shape as Shape, filter.shape as Shape];
  return tf.backend_util.computeConv2DInfo(shape, kernel, strides, dilations, pad as number, dimRoundingMode);
}

function convolve(
  heap: KernelHeap,
  {x, filter, bias, addend}: ConvolutionInputs,
  info: tf.backend_util.Conv2DInfo,
  activation: number,
): tf.TensorInfo {
  const {outShape, inChannels: C, outChannels: N, filterHeight: kh, filterWidth: kw, padInfo} = info;
  const {inHeight, inWidth, outHeight, outWidth, strideHeight, strideWidth} = info;
  const K = kh * kw * C;
  const M = info.batchSize * outHeight * outWidth;
  const padding = padInfo.top + padInfo.bottom + padInfo.left + padInfo.right;
  // A 1×1 convolution is a product of the pixels as they lie.
  if (kh * kw * strideHeight * strideWidth === 1 && padding === 0)
    return multiply(heap, {a: x, b: filter, bias, addend, M, K, N}, activation, outShape);
  const panels = heap.panels(filter, K, N);
  const out = heap.output(outShape);
  const rows = Math.max(Math.min(M, LEAST_ROWS), heap.pieceSize(M, M * K * N, 4));
  const size = rowsAtOnce(rows, K);
  const picture = [heap.address(x), inHeight, inWidth, C];
  const geometry = [kh, kw, strideHeight, strideWidth, padInfo.top, padInfo.left, outHeight, outWidth, M];
  const added = [heap.address(bias), heap.address(addend)];
  const parameters = [...picture, ...geometry, panels, N, ...added, heap.address(out), activation, size, rows];
  heap.run('convolution', Math.ceil(M / rows), parameters, 4 * size * K);
  return out;
}
