import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../../runtime/errors.js';
import {type KernelCall, preferKernel, replaceKernel} from '../kernels.js';

type MatMulAttributes = {readonly transposeA: boolean; readonly transposeB: boolean; readonly activation?: string};

/** Multiplications up to which the naive loop is as quick as a transposition and XNNPACK. */
const SMALL_PRODUCT = 2 ** 15;
/** The largest allocation in bytes: malloc miscalculates just below 2³², and sees only 32 bits of a larger size. */
const LARGEST = 2 ** 32 - 2 ** 26;
const ACTIVATIONS: Readonly<Record<string, (x: tf.Tensor) => tf.Tensor>> = {
  linear: (x) => x,
  relu: (x) => tf.relu(x),
  relu6: (x) => tf.relu6(x),
  elu: (x) => tf.elu(x),
  sigmoid: (x) => tf.sigmoid(x),
};

let patched = false;

/**
 * Replaces what tfjs-backend-wasm 4.22 gets wrong. Call with the backend started.
 * - a full heap (4 GiB) is an error; as it is, the next tensor is written over the start of the heap without a word;
 * - a fused product that is batched or transposed adds its bias once for every 48 columns, and clips sums that are not
 *   complete (batch_mat_mul_impl.cc, slow_batch_matmul): here it is a product, a sum and an activation;
 * - a transposed product of two matrices is transposed first: the naive loop that it gets takes ten times as long.
 */
export function patchWasmKernels(): void {
  if (patched) return;
  patched = true;
  guardHeap();
  replaceKernel(
    tf.BatchMatMul,
    'wasm',
    (original) => (call) => (isPlain(call) ? undefined : transposed(original, call)) ?? original(call),
  );
  preferKernel(tf._FusedMatMul, 'wasm', (call) => (isPlain(call) ? undefined : unfused(call)));
}

function guardHeap(): void {
  const {wasm} = tf.backend() as unknown as {wasm: {_malloc(bytes: number): number; _free(offset: number): void}};
  // Emscripten puts the real function in the place of a stub at the first call.
  wasm._free(wasm._malloc(8));
  const malloc = wasm._malloc;
  wasm._malloc = (bytes) => {
    const offset = bytes <= LARGEST ? malloc(bytes) : 0;
    if (offset === 0 && bytes > 0) {
      const held = `${Math.round(tf.memory().numBytes / 2 ** 20)} MiB of tensors and their packed copies`;
      throw new BackendError(
        'out-of-memory',
        `wasm: ${bytes} bytes do not fit into a heap of 4 GiB that holds ${held}`,
        {
          hint: 'a smaller model, image or batch; or --device native',
        },
      );
    }
    return offset;
  };
}

/** Whether XNNPACK takes a product: batches of one, nothing transposed. */
function isPlain({inputs, attrs}: KernelCall): boolean {
  const {transposeA, transposeB} = attrs as unknown as MatMulAttributes;
  return !transposeA && !transposeB && isMatrix(inputs.a!) && isMatrix(inputs.b!);
}

function isMatrix({shape}: tf.TensorInfo): boolean {
  return shape.slice(0, -2).every((n) => n === 1);
}

function transposed(
  original: tf.KernelFunc,
  {inputs, attrs, backend}: KernelCall,
): ReturnType<tf.KernelFunc> | undefined {
  const {a, b} = inputs as {a: tf.Tensor; b: tf.Tensor};
  if (!isMatrix(a) || !isMatrix(b) || (a.size / a.shape.at(-1)!) * b.size < SMALL_PRODUCT) return undefined;
  const {transposeA, transposeB} = attrs as unknown as MatMulAttributes;
  const turn = (x: tf.Tensor, wanted: boolean): tf.Tensor => (wanted ? tf.transpose(x, swapped(x.rank)) : x);
  const [p, q] = [turn(a, transposeA), turn(b, transposeB)];
  const product = original({inputs: {a: p, b: q}, attrs: {transposeA: false, transposeB: false}, backend});
  if (p !== a) p.dispose();
  if (q !== b) q.dispose();
  return product;
}

/** The axes of a tensor, the last two swapped. */
function swapped(rank: number): number[] {
  return [...Array.from({length: rank - 2}, (_, axis) => axis), rank - 1, rank - 2];
}

function unfused({inputs, attrs}: KernelCall): tf.TensorInfo | undefined {
  const {a, b, bias} = inputs as {a: tf.Tensor; b: tf.Tensor; bias?: tf.Tensor};
  const {transposeA, transposeB, activation = 'linear'} = attrs as unknown as MatMulAttributes;
  const activate = ACTIVATIONS[activation];
  if (!activate)
    throw new BackendError(
      'unsupported-operation',
      `wasm: a fused matMul that is batched or transposed cannot have the activation '${activation}'`,
    );
  return tf.tidy(() => {
    const product = tf.matMul(a, b, transposeA, transposeB);
    return activate(bias ? tf.add(product, bias) : product);
  });
}
