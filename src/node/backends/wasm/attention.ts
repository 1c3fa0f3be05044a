import * as tf from '@tensorflow/tfjs';
import {ceil8, type KernelHeap, sizeOf} from './heap.js';

// B batch, H heads, T queries, S keys, D head width

/** Bytes of a bias as kernels/kernels.c reads it: an address and three distances. */
const BIAS_BYTES = 16;

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
      return attend(heap, inputs as unknown as AttentionInputs, biases, keep);
    },
  });
}

function attend(heap: KernelHeap, inputs: AttentionInputs, biases: number, keep: boolean): tf.TensorInfo {
  const {x, keys, values, scale} = inputs;
  const [B, H, T, D] = x.shape as [number, number, number, number];
  const S = values.shape[2]!;
  const out = heap.output(x.shape);
  const scoreBytes = 4 * 4 * ceil8(S);
  const scratch = heap.scratch(scoreBytes + BIAS_BYTES * biases);
  // Nothing is allocated between an address and its use but panels, and those move nothing.
  const table = scratch + scoreBytes;
  heap.write(table, Array.from({length: biases}, (_, i) => biasEntry(heap, inputs[`bias${i}`]!)).flat());
  const [from, to, factors] = [heap.address(x), heap.address(out), heap.address(scale)];
  if (T === 1 && !keep) {
    const [k, v] = [heap.address(keys), heap.address(values)];
    heap.run.attend_once(from, H, S, D, k, v, table, biases, factors, to, 0, B * H, scratch);
    return out;
  }
  const panels = (tensor: tf.TensorInfo, rows: number, columns: number): number =>
    keep ? heap.panels(tensor, rows, columns, B * H) : heap.pack(tensor, rows, columns, B * H);
  const [k, v] = [panels(keys, D, S), panels(values, S, D)];
  heap.run.attend(from, H, T, S, D, k, v, table, biases, factors, to, 0, B * H, scratch);
  if (!keep) for (const address of [k, v]) heap.free(address);
  return out;
}

/** A tensor that broadcasts to [B, H, T, S]: its address, and how far apart its batches, heads and queries are. */
function biasEntry(heap: KernelHeap, bias: tf.TensorInfo): number[] {
  const shape = [...new Array<number>(4 - bias.shape.length).fill(1), ...bias.shape];
  const distances = [0, 1, 2].map((axis) => (shape[axis] === 1 ? 0 : sizeOf(shape.slice(axis + 1))));
  return [heap.address(bias), ...distances];
}
