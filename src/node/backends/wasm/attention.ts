import * as tf from '@tensorflow/tfjs';
import {ceil8, type KernelHeap, sizeOf} from './heap.js';

// B batch, H heads, T queries, S keys, D head width

/** So few queries of a head are not cut: each piece reads all keys and values. A multiple of 4. */
const LEAST_QUERIES = 32;

interface AttentionInputs {
  readonly x: tf.TensorInfo;
  readonly keys: tf.TensorInfo;
  readonly values: tf.TensorInfo;
  readonly scale?: tf.TensorInfo;
  readonly [bias: `bias${number}`]: tf.TensorInfo;
}

/** Registers `MueAttend`: scores never reach the heap's tensors, four queries' at a time stay in scratch memory. */
export function registerAttention(heap: KernelHeap): void {
  tf.registerKernel({
    kernelName: 'MueAttend',
    backendName: 'wasm',
    kernelFunc: ({inputs, attrs}) => {
      const {biases, keep} = attrs as unknown as {biases: number; keep: boolean};
      return attend(heap, inputs as never, biases, keep);
    },
  });
}

function attend(
  heap: KernelHeap,
  inputs: AttentionInputs & Readonly<Record<string, tf.TensorInfo>>,
  biases: number,
  keep: boolean,
): tf.TensorInfo {
  const {x, keys, values, scale} = inputs;
  const [B, H, T, D] = x.shape as [number, number, number, number];
  const S = values.shape[2]!;
  const out = heap.output(x.shape);
  const heads = B * H;
  // Nothing is allocated between an address and its use but panels, and those move nothing.
  const table = biasTable(heap, inputs, biases);
  const [from, to, factors] = [heap.address(x), heap.address(out), heap.address(scale)];
  const work = 2 * heads * T * S * D;
  const scoreBytes = 4 * 4 * ceil8(S);
  if (T === 1 && !keep) {
    const [k, v] = [heap.address(keys), heap.address(values)];
    const each = heap.pieceSize(heads, work);
    const parameters = [from, H, S, D, k, v, table, biases, factors, to, heads, each];
    heap.run('attend_once', Math.ceil(heads / each), parameters, scoreBytes);
    return out;
  }
  const panels = (tensor: tf.TensorInfo, rows: number, columns: number): number =>
    keep ? heap.panels(tensor, rows, columns, heads) : heap.pack(tensor, rows, columns, heads);
  const [k, v] = [panels(keys, D, S), panels(values, S, D)];
  // The last part of a head's queries takes what is left over.
  const queries = Math.max(LEAST_QUERIES, heap.pieceSize(heads * T, work, 4));
  const parts = Math.max(1, Math.floor(T / queries));
  const parameters = [from, H, T, S, D, k, v, table, biases, factors, to, parts, queries, H * T * D, T * D, D];
  heap.run('attend', heads * parts, parameters, scoreBytes);
  if (!keep) for (const address of [k, v]) heap.free(address);
  return out;
}

/**
 * The inputs bias0, bias1 … as kernels/kernels.c reads them.
 * @returns their address, valid until the next table
 */
export function biasTable(heap: KernelHeap, inputs: Readonly<Record<string, tf.TensorInfo>>, biases: number): number {
  return heap.writeTable(Array.from({length: biases}, (_, i) => biasEntry(heap, inputs[`bias${i}`]!)).flat());
}

/** Panels of the keys [B, H, d, S] and values [B, H, S, d] of a memory, kept as long as they are. */
export function keyValuePanels(heap: KernelHeap, keys: tf.TensorInfo, values: tf.TensorInfo): [number, number] {
  const [B, H, S, d] = values.shape as [number, number, number, number];
  return [heap.panels(keys, d, S, B * H), heap.panels(values, S, d, B * H)];
}

/** A tensor that broadcasts to [B, H, T, S]: its address, and how far apart its batches, heads and queries are. */
function biasEntry(heap: KernelHeap, bias: tf.TensorInfo): number[] {
  const shape = [...new Array<number>(4 - bias.shape.length).fill(1), ...bias.shape];
  const distances = [0, 1, 2].map((axis) => (shape[axis] === 1 ? 0 : sizeOf(shape.slice(axis + 1))));
  return [heap.address(bias), ...distances];
}
