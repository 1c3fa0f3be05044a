import * as tf from '@tensorflow/tfjs';
import {type KernelCall, preferKernel, type WasmBackend} from '../kernels.js';

type Numbers = Float32Array | Int32Array;

let patched = false;

/**
 * Replaces the kernels of the wasm backend that only move numbers by ones that copy runs of memory. tfjs-backend-wasm
 * 4.22 copies the *whole* input for every slice, so that cutting a tensor of n parts into them moves n² parts (144
 * heads of 64×269: 2.4 s, here 3 ms), and its gather computes an index for each element (36 rows of 65,536: 480 ms,
 * here 4 ms), and its concatenation makes two views for each run (keys of 5×4×64×8 and the next token's: 0.4 ms, here
 * 0.03). Strings and batched gathers stay as they were.
 */
export function patchWasmCopies(): void {
  if (patched) return;
  patched = true;
  preferKernel(tf.Slice, 'wasm', (call) => slice(call));
  preferKernel(tf.Unpack, 'wasm', (call) => unpack(call));
  preferKernel(tf.SplitV, 'wasm', (call) => splitV(call));
  preferKernel(tf.GatherV2, 'wasm', (call) => gather(call));
  preferKernel(tf.Concat, 'wasm', (call) => concat(call));
}

const numeric = ({dtype}: tf.TensorInfo): boolean => dtype === 'float32' || dtype === 'int32';
const product = (shape: readonly number[]): number => shape.reduce((size, n) => size * n, 1);

function slice({inputs, attrs, backend}: KernelCall): tf.TensorInfo | undefined {
  const {x} = inputs as {x: tf.TensorInfo};
  if (!numeric(x)) return undefined;
  const {begin, size} = attrs as unknown as {begin: number | number[]; size: number | number[]};
  const [from, to] = tf.slice_util.parseSliceParams(x as tf.Tensor, begin, size) as [number[], number[]];
  const wasm = backend as unknown as WasmBackend;
  return copySlice(x, from, to, wasm.makeOutput(to, x.dtype), wasm);
}

function unpack({inputs, attrs, backend}: KernelCall): tf.TensorInfo[] | undefined {
  const {value} = inputs as {value: tf.TensorInfo};
  if (!numeric(value)) return undefined;
  const axis = axisOf(attrs, value.shape.length);
  const parts = Array.from({length: value.shape[axis]!}, () => 1);
  return cut(value, axis, parts, backend as unknown as WasmBackend).map((part) => ({
    ...part,
    shape: value.shape.filter((_, i) => i !== axis),
  }));
}

function splitV({inputs, attrs, backend}: KernelCall): tf.TensorInfo[] | undefined {
  const {x} = inputs as {x: tf.TensorInfo};
  if (!numeric(x)) return undefined;
  const axis = axisOf(attrs, x.shape.length);
  const {numOrSizeSplits} = attrs as unknown as {numOrSizeSplits: number | number[]};
  const sizes = tf.backend_util.prepareSplitSize(x as tf.Tensor, numOrSizeSplits, axis);
  return cut(x, axis, sizes, backend as unknown as WasmBackend);
}

function axisOf(attrs: KernelCall['attrs'], rank: number): number {
  const {axis} = attrs as unknown as {axis: number};
  return axis < 0 ? axis + rank : axis;
}

function cut(x: tf.TensorInfo, axis: number, sizes: readonly number[], wasm: WasmBackend): tf.TensorInfo[] {
  let at = 0;
  const parts = sizes.map((size) => {
    const shape = x.shape.map((n, i) => (i === axis ? size : n));
    const begin = x.shape.map((_, i) => (i === axis ? at : 0));
    at += size;
    return {begin, shape, out: wasm.makeOutput(shape, x.dtype)};
  });
  return parts.map(({begin, shape, out}) => copySlice(x, begin, shape, out, wasm));
}

/** Copies x[begin, begin + size) to `out`, in runs along the last axes that are taken whole. */
function copySlice(
  x: tf.TensorInfo,
  begin: readonly number[],
  size: readonly number[],
  out: tf.TensorInfo,
  wasm: WasmBackend,
): tf.TensorInfo {
  const total = product(size);
  if (total === 0) return out;
  const source = wasm.typedArrayFromHeap<Numbers>(x);
  const target = wasm.typedArrayFromHeap<Numbers>(out);
  const rank = size.length;
  // The innermost axis that is not whole; all behind it is one run.
  let inner = rank - 1;
  while (inner > 0 && size[inner] === x.shape[inner]) inner--;
  const unit = product(x.shape.slice(inner + 1));
  const run = (rank === 0 ? 1 : size[inner]!) * unit;
  const strides = tf.util.computeStrides(x.shape);
  const stride = (axis: number): number => (axis < strides.length ? strides[axis]! : 1);
  const index = new Array<number>(Math.max(inner, 0)).fill(0);
  let at = 0;
  for (;;) {
    let offset = rank === 0 ? 0 : begin[inner]! * stride(inner);
    for (let axis = 0; axis < inner; axis++) offset += (begin[axis]! + index[axis]!) * stride(axis);
    if (run < 16) for (let i = 0; i < run; i++) target[at + i] = source[offset + i]!;
    else target.set(source.subarray(offset, offset + run), at);
    at += run;
    if (at >= total) return out;
    for (let axis = inner - 1; ++index[axis]! === size[axis]; axis--) index[axis] = 0;
  }
}

/** Runs up to this length are copied number by number: two views and a call cost as much. */
const SHORT_RUN = 64;

function concat({inputs, attrs, backend}: KernelCall): tf.TensorInfo | undefined {
  const parts = (inputs as unknown as tf.TensorInfo[]).filter(({shape}) => product(shape) > 0);
  if (parts.length < 2 || !parts.every((part) => numeric(part) && part.dtype === parts[0]!.dtype)) return undefined;
  const shapes = parts.map(({shape}) => shape);
  const axis = axisOf(attrs, shapes[0]!.length);
  tf.backend_util.assertParamsConsistent(shapes, axis);
  const wasm = backend as unknown as WasmBackend;
  const shape = tf.backend_util.computeOutShape(shapes, axis);
  const out = wasm.makeOutput(shape, parts[0]!.dtype);
  const target = wasm.typedArrayFromHeap<Numbers>(out);
  const [outer, stride] = [product(shape.slice(0, axis)), product(shape.slice(axis))];
  let first = 0;
  for (const part of parts) {
    const source = wasm.typedArrayFromHeap<Numbers>(part);
    const run = product(part.shape.slice(axis));
    for (let o = 0, from = 0, to = first; o < outer; o++, from += run, to += stride) {
      if (run <= SHORT_RUN) for (let i = 0; i < run; i++) target[to + i] = source[from + i]!;
      else target.set(source.subarray(from, from + run), to);
    }
    first += run;
  }
  return out;
}

function gather({inputs, attrs, backend}: KernelCall): tf.TensorInfo | undefined {
  const {x, indices} = inputs as {x: tf.TensorInfo; indices: tf.TensorInfo};
  const {batchDims} = attrs as unknown as {batchDims: number};
  if (!numeric(x) || indices.dtype !== 'int32' || batchDims !== 0) return undefined;
  const axis = axisOf(attrs, x.shape.length);
  const wasm = backend as unknown as WasmBackend;
  const out = wasm.makeOutput([...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)], x.dtype);
  const source = wasm.typedArrayFromHeap<Numbers>(x);
  const target = wasm.typedArrayFromHeap<Numbers>(out);
  const which = wasm.typedArrayFromHeap<Numbers>(indices);
  const rows = x.shape[axis]!;
  const run = product(x.shape.slice(axis + 1));
  for (const index of which) {
    if (!(index >= 0 && index < rows)) throw new Error(`GatherV2: the index value ${index} is not in [0, ${rows - 1}]`);
  }
  const outer = product(x.shape.slice(0, axis));
  let at = 0;
  for (let o = 0; o < outer; o++) {
    const base = o * rows * run;
    for (let i = 0; i < which.length; i++) {
      const offset = base + which[i]! * run;
      if (run < 16) for (let j = 0; j < run; j++) target[at + j] = source[offset + j]!;
      else target.set(source.subarray(offset, offset + run), at);
      at += run;
    }
  }
  return out;
}
