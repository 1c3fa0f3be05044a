import * as tf from '@tensorflow/tfjs';
import {replaceKernel} from './replace-kernel.js';

/** The part of tfjs-node's backend that runs TensorFlow's operations by name. */
interface Tensorflow {
  readonly binding: Readonly<
    Record<'TF_ATTR_BOOL' | 'TF_ATTR_FLOAT' | 'TF_ATTR_INT' | 'TF_ATTR_STRING' | 'TF_ATTR_TYPE' | 'TF_FLOAT' | 'TF_INT32', number>
  >;
  readonly isUsingGpuDevice: boolean;
  executeSingleOutput(name: string, attributes: readonly object[], inputs: readonly tf.TensorInfo[]): tf.Tensor;
  executeMultipleOutputs(name: string, attributes: readonly object[], inputs: readonly tf.TensorInfo[], outputs: number): tf.Tensor[];
  disposeData(dataId: tf.DataId): boolean;
  write(values: tf.TypedArray, shape: readonly number[], dtype: tf.DataType): tf.DataId;
}
interface FusedConvolution {
  readonly pad: number | string | readonly (readonly [number, number])[];
  readonly strides: number | [number, number];
  readonly dilations: number | [number, number];
  readonly dataFormat: string;
  readonly activation: string;
}
type Run = (inputs: Readonly<Record<string, tf.Tensor>>, attrs: Readonly<Record<string, unknown>>) => tf.Tensor | undefined;

const BACKEND = 'tensorflow';
/** Shapes and rows of numbers that are kept on the device; what would be more than this many is made anew. */
const MOST_KEPT = 4096;
const done = new WeakSet<object>();

/**
 * Saves calls into TensorFlow, of which each costs some 25 µs (a decoder step is hundreds of them), and passes over memory. Call with the
 * backend started. What an older TensorFlow, or one built without oneDNN, does not have is tried first, and left as tfjs-node does it.
 * - `MueLayerNorm`: on a CPU oneDNN's (900×3072: 9.2 → 1.7 ms, two threads), on a GPU the batch norm of rows as channels;
 * - `MueLinear`, and `MueGelu` with constants that stay on the device; softmax on a CPU by oneDNN (12×900×900: 17.7 → 7.4 ms);
 * - a convolution with its bias, on a CPU; what a reshape or a transposition wants to be told is made once (98 → 27 µs).
 */
export function fuseNativeKernels(): void {
  const backend = tf.backend() as unknown as Tensorflow;
  if (done.has(backend)) return;
  done.add(backend);
  const ops = operations(backend);
  const onCpu = !backend.isUsingGpuDevice;
  const layerNorm = onCpu ? ops.layerNormCpu : ops.layerNormGpu;
  const sample = ops.constant([1, 2, 3, 4], [1, 2, 2]) as tf.Tensor;
  const row = ops.constant([1, 1], [2]) as tf.Tensor;
  if (runs(() => layerNorm(sample, row, row, 1e-5))) {
    add('MueLayerNorm', ({x, gain, bias}, {epsilon}) => layerNorm(x!, gain!, bias!, epsilon as number));
  }
  add('MueGelu', ({x}) => ops.gelu(x!));
  add('MueLinear', ({x, weight, bias}) => ops.linear(x!, weight!, bias!));
  replace(tf.Reshape, ({x}, {shape}) => (x!.dtype === 'float32' ? ops.reshape(x!, shape as number[]) : undefined));
  replace(tf.Transpose, ({x}, {perm}) => (x!.dtype === 'float32' ? ops.transpose(x!, perm as number[]) : undefined));
  if (!onCpu) return;
  if (runs(() => ops.softmaxCpu(sample))) {
    replace(tf.Softmax, ({logits}) => (logits!.dtype === 'float32' && logits!.rank > 1 ? ops.softmaxCpu(logits!) : undefined));
  }
  const pixel = ops.constant([1], [1, 1, 1, 1]);
  if (runs(() => ops.convolutionCpu(pixel, pixel, ops.constant([1], [1]), [1, 1], 1))) {
    replace(tf.FusedConv2D, ({x, filter, bias}, attrs) => {
      const {pad, strides, dilations, dataFormat, activation} = attrs as unknown as FusedConvolution;
      const plain = [dilations].flat().every((d) => d === 1) && dataFormat === 'NHWC' && (typeof pad === 'number' || pad === 'valid');
      if (!plain || x!.dtype !== 'float32' || bias?.rank !== 1 || !['linear', 'relu'].includes(activation)) return undefined;
      const [down, right = down] = [strides].flat() as [number, number?];
      const sums = ops.convolutionCpu(x!, filter!, bias, [down, right], pad as number | string);
      return activation === 'relu' ? ops.relu(sums) : sums;
    });
  }
}

/** Whether this TensorFlow has an operation. */
function runs(run: () => tf.Tensor): boolean {
  try {
    run().dispose();
    return true;
  } catch {
    return false;
  }
}

function add(kernelName: string, run: Run): void {
  tf.registerKernel({kernelName, backendName: BACKEND, kernelFunc: (call) => run(call.inputs as never, call.attrs as never)!});
}

/** What `run` does not take stays with the original. */
function replace(name: string, run: Run): void {
  replaceKernel(name, BACKEND, (original) => (call) => run(call.inputs as never, call.attrs as never) ?? original(call));
}

/** TensorFlow's operations on float32 tensors. What they return is the caller's. */
function operations(backend: Tensorflow) {
  const {binding} = backend;
  const [type, text, flag] = [binding.TF_ATTR_TYPE, binding.TF_ATTR_STRING, binding.TF_ATTR_BOOL];
  const T = {name: 'T', type, value: binding.TF_FLOAT};
  const shapes = {name: 'Tshape', type, value: binding.TF_INT32};
  const orders = {name: 'Tperm', type, value: binding.TF_INT32};
  const NHWC = {name: 'data_format', type: text, value: 'NHWC'};
  const NCHW = {name: 'data_format', type: text, value: 'NCHW'};
  const training = {name: 'is_training', type: flag, value: true};
  const untransposed = ['transpose_a', 'transpose_b'].map((name) => ({name, type: flag, value: false}));
  const label = (value: string): object => ({name: '_kernel', type: text, value});
  const oneDnn = label('MklNameChangeOp');
  const unlabelled = label('');
  const kept = new Map<string, tf.TensorInfo>();

  const run = (name: string, attributes: readonly object[], ...inputs: readonly tf.TensorInfo[]): tf.Tensor =>
    backend.executeSingleOutput(name, [T, ...attributes], inputs);

  /** Runs one operation on the result of another, which is then disposed. */
  const then = (x: tf.Tensor, next: (x: tf.Tensor) => tf.Tensor): tf.Tensor => {
    const y = next(x);
    x.dispose();
    return y;
  };

  /** Numbers that stay on the device with the backend; not among tfjs' tensors. The least recently used go first. */
  const keep = (key: string, shape: readonly number[], values: () => Float32Array | Int32Array): tf.TensorInfo => {
    let info = kept.get(key);
    if (info) {
      kept.delete(key);
    } else {
      const data = values();
      const dtype = data instanceof Int32Array ? 'int32' : 'float32';
      info = {dataId: backend.write(data, shape, dtype), shape: [...shape], dtype};
    }
    kept.set(key, info);
    if (kept.size > MOST_KEPT) {
      const [oldest, {dataId}] = kept.entries().next().value!;
      kept.delete(oldest);
      backend.disposeData(dataId);
    }
    return info;
  };
  const constant = (values: readonly number[], shape: readonly number[] = []): tf.TensorInfo =>
    keep(`${shape.join()} ${values.join()}`, shape, () => Float32Array.from(values));
  const filled = (value: number, size: number): tf.TensorInfo =>
    keep(`${size} times ${value}`, [size], () => new Float32Array(size).fill(value));
  const whole = (values: readonly number[]): tf.TensorInfo =>
    keep(`whole ${values.join()}`, [values.length], () => Int32Array.from(values));

  const reshape = (x: tf.TensorInfo, shape: readonly number[]): tf.Tensor => run('Reshape', [shapes], x, whole(shape));

  /** `operation` on x as a matrix of rows, unless it takes x as it is: of rank 2, or up to `most`. */
  const byRows = (x: tf.TensorInfo, most: number, operation: (rows: tf.TensorInfo) => tf.Tensor): tf.Tensor => {
    if (x.shape.length >= 2 && x.shape.length <= most) return operation(x);
    const last = x.shape.at(-1)!;
    const output = then(reshape(x, [x.shape.reduce((product, n) => product * n, 1) / last, last]), operation);
    return then(output, (y) => reshape(y, [...x.shape.slice(0, -1), y.shape[1]!]));
  };

  return {
    constant,
    reshape,
    transpose: (x: tf.TensorInfo, order: readonly number[]): tf.Tensor => run('Transpose', [orders], x, whole(order)),
    softmaxCpu: (x: tf.TensorInfo): tf.Tensor => run('_MklSoftmax', [oneDnn], x),
    gelu: (x: tf.TensorInfo): tf.Tensor => {
      const erf = then(run('Mul', [], x, constant([Math.SQRT1_2])), (scaled) => run('Erf', [], scaled));
      const twice = then(erf, (y) => then(run('AddV2', [], y, constant([1])), (sum) => run('Mul', [], sum, x)));
      return then(twice, (y) => run('Mul', [], y, constant([0.5])));
    },
    linear: (x: tf.TensorInfo, weight: tf.TensorInfo, bias: tf.TensorInfo): tf.Tensor =>
      byRows(x, 2, (rows) => then(run('MatMul', untransposed, rows, weight), (product) => run('BiasAdd', [NHWC], product, bias))),
    layerNormCpu: (x: tf.TensorInfo, gain: tf.TensorInfo, bias: tf.TensorInfo, epsilon: number): tf.Tensor =>
      byRows(x, 3, (rows) =>
        run('_MklLayerNorm', [{name: 'epsilon', type: binding.TF_ATTR_FLOAT, value: epsilon}, unlabelled], rows, gain, bias),
      ),
    layerNormGpu: (x: tf.TensorInfo, gain: tf.TensorInfo, bias: tf.TensorInfo, epsilon: number): tf.Tensor =>
      byRows(x, 2, (matrix) => {
        const [rows, size] = matrix.shape as [number, number];
        const [ones, zeros, none] = [filled(1, rows), filled(0, rows), filled(0, 0)];
        const attributes = [T, {...T, name: 'U'}, NCHW, {name: 'epsilon', type: binding.TF_ATTR_FLOAT, value: epsilon}, training];
        const normed = then(reshape(matrix, [1, rows, size, 1]), (image) => {
          const [y, ...statistics] = backend.executeMultipleOutputs('FusedBatchNormV3', attributes, [image, ones, zeros, none, none], 6);
          for (const statistic of statistics) statistic.dispose();
          return y!;
        });
        const scaled = then(
          then(normed, (y) => reshape(y, [rows, size])),
          (y) => run('Mul', [], y, gain),
        );
        return then(scaled, (y) => run('AddV2', [], y, bias));
      }),
    /** @param pad the same on all four sides, or TensorFlow's word for it */
    convolutionCpu: (
      x: tf.TensorInfo,
      filter: tf.TensorInfo,
      bias: tf.TensorInfo,
      strides: [number, number],
      pad: number | string,
    ): tf.Tensor => {
      const padding = typeof pad === 'number' ? 'EXPLICIT' : pad.toUpperCase();
      return run(
        '_MklNativeConv2DWithBias',
        [
          NHWC,
          oneDnn,
          {name: 'strides', type: binding.TF_ATTR_INT, value: [1, ...strides, 1]},
          {name: 'dilations', type: binding.TF_ATTR_INT, value: [1, 1, 1, 1]},
          {name: 'padding', type: text, value: padding},
          ...(typeof pad === 'number'
            ? [{name: 'explicit_paddings', type: binding.TF_ATTR_INT, value: [0, 0, pad, pad, pad, pad, 0, 0]}]
            : []),
        ],
        x,
        filter,
        bias,
      );
    },
    /** Of what is then disposed. */
    relu: (x: tf.Tensor): tf.Tensor => then(x, (y) => run('Relu', [], y)),
  };
}
