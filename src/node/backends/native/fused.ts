import * as tf from '@tensorflow/tfjs';
import {NativeOperations, pipe, type Tensorflow} from './operations.js';
import {layerNormRows, replaceKernel} from '../kernels.js';
import {isRecording, recordsFew} from './functions/recording.js';

interface FusedConvolution {
  readonly pad: number | string | readonly (readonly [number, number])[];
  readonly strides: number | [number, number];
  readonly dilations: number | [number, number];
  readonly dataFormat: string;
  readonly activation: string;
}
type Run = (
  inputs: Readonly<Record<string, tf.Tensor>>,
  attrs: Readonly<Record<string, unknown>>,
) => tf.TensorInfo | undefined;

const BACKEND = 'tensorflow';
/** Numbers up to which oneDNN's layer norm with its threads does not pay: a loop of JavaScript is quicker. */
const SMALL = 16_384;
const done = new WeakSet<object>();

/**
 * Registers kernels that save calls into TensorFlow, each of which costs some 20 µs (a decoder step is hundreds of
 * them), and passes over memory. Call with the backend started. Each operation is tried first: one that an older
 * TensorFlow, a build without oneDNN, or an official binding lacks is left as tfjs-node does it.
 * - `MueLayerNorm`: on a CPU by oneDNN (900×3072: 9.2 → 1.7 ms, two threads) or, for few rows, by a loop (5×768: 0.18 →
 *   0.11 ms in a series of such norms, 0.5 → 0.13 ms between the products of a caption); on a GPU as the batch norm of
 *   rows as channels;
 * - `MueLinear`, on a CPU one product with bias and GELU (900×3072, GELU: 8.5 → 0.4 ms), and `MueGelu` with constants
 *   that stay on the device;
 * - on a CPU, a convolution with its bias, an addend and a ReLU; softmax by oneDNN (12×900×900: 17.7 → 7.4 ms);
 * - reshapes and transpositions whose shape and axes are tensors made once (98 → 27 µs).
 */
export function fuseNativeKernels(): void {
  const backend = tf.backend() as unknown as Tensorflow;
  if (done.has(backend)) return;
  done.add(backend);
  const ops = new NativeOperations(backend);
  const onCpu = !backend.isUsingGpuDevice;
  const layerNorm = (...given: Parameters<typeof ops.layerNormCpu>): tf.Tensor =>
    onCpu ? ops.layerNormCpu(...given) : ops.layerNormGpu(...given);
  const sample = ops.constant([1, 2, 3, 4], [1, 2, 2]) as tf.Tensor;
  const row = ops.constant([1, 1], [2]) as tf.Tensor;
  const square = ops.constant([1, 2, 3, 4], [2, 2]) as tf.Tensor;
  const few = fewRows(backend);
  if (runs(() => layerNorm(sample, row, row, 1e-5))) {
    add('MueLayerNorm', ({x, gain, bias}, attrs) => {
      const epsilon = attrs.epsilon as number;
      // In a function, where calls cost nothing, TensorFlow's plain operations are the quickest for few numbers.
      if (recordsFew()) return ops.layerNorm(x!, gain!, bias!, epsilon);
      return onCpu && x!.size <= SMALL && !isRecording()
        ? few(x!, gain!, bias!, epsilon)
        : layerNorm(x!, gain!, bias!, epsilon);
    });
  }
  add('MueGelu', ({x}) => ops.gelu(x!));
  const tall = ops.constant(new Array<number>(32).fill(1), [16, 2]) as tf.Tensor;
  const fusedLinear = onCpu && [square, tall].every((x) => runs(() => ops.linearCpu(x, square, row, true)));
  add('MueLinear', ({x, weight, bias}, {activation}) => {
    const gelu = activation === 'gelu';
    if (fusedLinear && !recordsFew()) return ops.linearCpu(x!, weight!, bias!, gelu);
    const y = ops.linear(x!, weight!, bias!);
    return gelu ? pipe(y, (linear) => ops.gelu(linear)) : y;
  });
  replace(tf.Reshape, ({x}, {shape}) => (x!.dtype === 'float32' ? ops.reshape(x!, shape as number[]) : undefined));
  replace(tf.Transpose, ({x}, {perm}) => (x!.dtype === 'float32' ? ops.transpose(x!, perm as number[]) : undefined));
  // TensorFlow.js reads the indices, to check them.
  replace(tf.GatherV2, ({x, indices}, {axis, batchDims}) =>
    isRecording() && batchDims === 0 ? ops.gather(x!, indices!, axis as number) : undefined,
  );
  if (!onCpu) return;
  if (runs(() => ops.softmaxCpu(sample))) {
    replace(tf.Softmax, ({logits}) =>
      logits!.dtype === 'float32' && logits!.rank > 1 && !recordsFew() ? ops.softmaxCpu(logits!) : undefined,
    );
  }
  const pixel = ops.constant([1], [1, 1, 1, 1]) as tf.Tensor;
  const one = ops.constant([1], [1]);
  const fused = runs(() => ops.convolutionCpu(pixel, pixel, one, [1, 1], 1, ['Add', 'Relu'], pixel));
  if (fused) {
    add('MueConvAddRelu', ({x, filter, bias, addend}, attrs) => {
      const {strides, pad} = attrs as {strides: number; pad: number};
      return ops.convolutionCpu(x!, filter!, bias!, [strides, strides], pad, ['Add', 'Relu'], addend!);
    });
  }
  if (fused || runs(() => ops.convolutionBiasCpu(pixel, pixel, one, [1, 1], 1))) {
    replace(tf.FusedConv2D, ({x, filter, bias}, attrs) => {
      const {pad, strides, dilations, dataFormat, activation} = attrs as unknown as FusedConvolution;
      const plain =
        [dilations].flat().every((d) => d === 1) &&
        dataFormat === 'NHWC' &&
        (typeof pad === 'number' || pad === 'valid');
      if (!plain || x!.dtype !== 'float32' || bias?.rank !== 1 || !['linear', 'relu'].includes(activation))
        return undefined;
      const [down, right = down] = [strides].flat() as [number, number?];
      const relu = activation === 'relu';
      if (fused)
        return ops.convolutionCpu(x!, filter!, bias, [down, right], pad as number | string, relu ? ['Relu'] : []);
      const sums = ops.convolutionBiasCpu(x!, filter!, bias, [down, right], pad as number | string);
      return relu ? pipe(sums, (sum) => ops.relu(sum)) : sums;
    });
  }
}

/**
 * A layer norm in this process's memory. The values of gain and bias are read once and kept for as long as their data.
 */
function fewRows(
  backend: Tensorflow,
): (x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor, epsilon: number) => tf.TensorInfo {
  const seen = new WeakMap<object, Float32Array>();
  const read = ({dataId}: tf.Tensor): Float32Array => backend.readSync(dataId) as Float32Array;
  const weight = (tensor: tf.Tensor): Float32Array => {
    const values = seen.get(tensor.dataId) ?? read(tensor);
    seen.set(tensor.dataId, values);
    return values;
  };
  return (x, gain, bias, epsilon) => {
    const to = new Float32Array(x.size);
    layerNormRows(to, read(x), weight(gain), weight(bias), epsilon);
    return {dataId: backend.write(to, x.shape, 'float32'), shape: x.shape, dtype: 'float32'};
  };
}

/** Whether this TensorFlow has the operation that `run` uses. */
function runs(run: () => tf.Tensor): boolean {
  try {
    run().dispose();
    return true;
  } catch {
    return false;
  }
}

function add(kernelName: string, run: Run): void {
  tf.registerKernel({
    kernelName,
    backendName: BACKEND,
    kernelFunc: (call) => run(call.inputs as never, call.attrs as never)!,
  });
}

/** Puts `run` before a kernel; calls for which it returns undefined go to the original. */
function replace(name: string, run: Run): void {
  replaceKernel(
    name,
    BACKEND,
    (original) => (call) => run(call.inputs as never, call.attrs as never) ?? original(call),
  );
}
