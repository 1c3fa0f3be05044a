import type * as tf from '@tensorflow/tfjs';

/** The part of tfjs-node's backend that runs TensorFlow's operations by name. */
export interface Tensorflow {
  readonly binding: Readonly<
    Record<
      'TF_ATTR_BOOL' | 'TF_ATTR_FLOAT' | 'TF_ATTR_INT' | 'TF_ATTR_STRING' | 'TF_ATTR_TYPE' | 'TF_FLOAT' | 'TF_INT32',
      number
    >
  >;
  readonly isUsingGpuDevice: boolean;
  executeSingleOutput(name: string, attributes: readonly object[], inputs: readonly tf.TensorInfo[]): tf.Tensor;
  executeMultipleOutputs(
    name: string,
    attributes: readonly object[],
    inputs: readonly tf.TensorInfo[],
    outputs: number,
  ): tf.Tensor[];
  disposeData(dataId: tf.DataId): boolean;
  readSync(dataId: tf.DataId): tf.BackendValues;
  write(values: tf.TypedArray, shape: readonly number[], dtype: tf.DataType): tf.DataId;
}

type Pair = readonly [number, number];
/** Pixels on each of the four sides, or TensorFlow's word for a padding. */
type Padding = number | string;
type Info = tf.TensorInfo;

/**
 * The number of rows up to which Eigen's product is quicker than oneDNN's (1×3072×768, weights in no cache: 1.4 and 2.1
 * ms).
 */
const FEW_ROWS = 8;
/** The most constants that are kept on the device. Beyond that the least recently used are made anew. */
const MOST_KEPT = 4096;

/** Data of constants of one value each, whatever their size. */
const filled = new WeakSet<tf.DataId>();

/** Whether a tensor is a constant all of whose values are the same and stay so. */
export function isFilled({dataId}: tf.TensorInfo): boolean {
  return filled.has(dataId);
}

/** Runs one operation on the result of another, which is then disposed. */
export function pipe(x: tf.Tensor, next: (x: tf.Tensor) => tf.Tensor): tf.Tensor {
  const y = next(x);
  x.dispose();
  return y;
}

/**
 * TensorFlow's operations on float32 tensors, whose shapes and constants are made once. Inputs are borrowed, the result
 * is the caller's, and errors are those that the binding throws. Methods ending in `Cpu` use oneDNN, which is only in
 * TensorFlow for CPUs and differs by version.
 */
export class NativeOperations {
  readonly #backend: Tensorflow;
  readonly #kept = new Map<string, Info>();
  readonly #type: {readonly name: string; readonly type: number; readonly value: number};

  constructor(backend: Tensorflow) {
    this.#backend = backend;
    this.#type = {name: 'T', type: backend.binding.TF_ATTR_TYPE, value: backend.binding.TF_FLOAT};
  }

  relu(x: Info): tf.Tensor {
    return this.#run('Relu', [], x);
  }

  reshape(x: Info, shape: readonly number[]): tf.Tensor {
    return this.#run(
      'Reshape',
      [{...this.#type, name: 'Tshape', value: this.#backend.binding.TF_INT32}],
      x,
      this.#whole(shape),
    );
  }

  transpose(x: Info, order: readonly number[]): tf.Tensor {
    return this.#run(
      'Transpose',
      [{...this.#type, name: 'Tperm', value: this.#backend.binding.TF_INT32}],
      x,
      this.#whole(order),
    );
  }

  /** Slices of an axis. @param indices [n], int32 */
  gather(x: Info, indices: Info, axis: number): tf.Tensor {
    const {TF_ATTR_TYPE: type, TF_ATTR_INT: integer, TF_FLOAT: float, TF_INT32: whole} = this.#backend.binding;
    const attributes = [
      {name: 'Tparams', type, value: x.dtype === 'int32' ? whole : float},
      {name: 'Tindices', type, value: whole},
      {name: 'Taxis', type, value: whole},
      {name: 'batch_dims', type: integer, value: 0},
    ];
    return this.#backend.executeSingleOutput('GatherV2', attributes, [x, indices, this.#whole([axis], [])]);
  }

  /** 0.5 x (1 + erf(x / √2)). */
  gelu(x: Info): tf.Tensor {
    const erf = pipe(this.#run('Mul', [], x, this.constant([Math.SQRT1_2])), (scaled) => this.#run('Erf', [], scaled));
    const twice = pipe(erf, (y) =>
      pipe(this.#run('AddV2', [], y, this.constant([1])), (sum) => this.#run('Mul', [], sum, x)),
    );
    return pipe(twice, (y) => this.#run('Mul', [], y, this.constant([0.5])));
  }

  /**
   * @param x      [..., inputs]
   * @param weight [inputs, units]
   * @param bias   [units]
   * @returns [..., units]
   */
  linear(x: Info, weight: Info, bias: Info): tf.Tensor {
    return this.#byRows(x, 2, (rows) =>
      pipe(this.#run('MatMul', this.#untransposed(), rows, weight), (product) =>
        this.#run('BiasAdd', [this.#text('data_format', 'NHWC')], product, bias),
      ),
    );
  }

  /**
   * `linear`, with GELU where asked for, as one operation of oneDNN; for few rows by Eigen, which is quicker there even
   * with GELU.
   */
  linearCpu(x: Info, weight: Info, bias: Info, gelu: boolean): tf.Tensor {
    return this.#byRows(x, 2, (rows) => {
      if (rows.shape[0]! > FEW_ROWS) {
        const attributes = [...this.#untransposed(), ...this.#fused(gelu ? ['GeluExact'] : []), this.#nameChange()];
        return this.#run('_MklNativeFusedMatMul', attributes, rows, weight, bias);
      }
      const y = this.#run('_FusedMatMul', [...this.#untransposed(), ...this.#fused([])], rows, weight, bias);
      return gelu ? pipe(y, (linear) => this.gelu(linear)) : y;
    });
  }

  softmaxCpu(x: Info): tf.Tensor {
    return this.#run('_MklSoftmax', [this.#nameChange()], x);
  }

  /** Layer norm of operations that every TensorFlow has. */
  layerNorm(x: Info, gain: Info, bias: Info, epsilon: number): tf.Tensor {
    const mean = this.#meanOfLast(x);
    const centred = this.#run('Sub', [], x, mean);
    mean.dispose();
    const variance = pipe(this.#run('Square', [], centred), (squares) => this.#meanOfLast(squares));
    const scale = pipe(
      pipe(variance, (y) => this.#run('AddV2', [], y, this.constant([epsilon]))),
      (y) => this.#run('Rsqrt', [], y),
    );
    const normed = pipe(centred, (y) => this.#run('Mul', [], y, scale));
    scale.dispose();
    return pipe(
      pipe(normed, (y) => this.#run('Mul', [], y, gain)),
      (y) => this.#run('AddV2', [], y, bias),
    );
  }

  #meanOfLast(x: Info): tf.Tensor {
    const {binding} = this.#backend;
    const attributes = [
      {name: 'keep_dims', type: binding.TF_ATTR_BOOL, value: true},
      {...this.#type, name: 'Tidx', value: binding.TF_INT32},
    ];
    return this.#run('Mean', attributes, x, this.#whole([-1]));
  }

  layerNormCpu(x: Info, gain: Info, bias: Info, epsilon: number): tf.Tensor {
    return this.#byRows(x, 3, (rows) =>
      this.#run('_MklLayerNorm', [this.#float('epsilon', epsilon), this.#text('_kernel', '')], rows, gain, bias),
    );
  }

  /** Layer norm as a batch norm whose channels are the rows. */
  layerNormGpu(x: Info, gain: Info, bias: Info, epsilon: number): tf.Tensor {
    const training = {name: 'is_training', type: this.#backend.binding.TF_ATTR_BOOL, value: true};
    const attributes = [
      this.#type,
      {...this.#type, name: 'U'},
      this.#text('data_format', 'NCHW'),
      this.#float('epsilon', epsilon),
      training,
    ];
    return this.#byRows(x, 2, (matrix) => {
      const [rows, size] = matrix.shape as [number, number];
      const [ones, zeros, none] = [this.#filled(1, rows), this.#filled(0, rows), this.#filled(0, 0)];
      const normed = pipe(this.reshape(matrix, [1, rows, size, 1]), (image) => {
        const inputs = [image, ones, zeros, none, none];
        const [y, ...statistics] = this.#backend.executeMultipleOutputs('FusedBatchNormV3', attributes, inputs, 6);
        for (const statistic of statistics) statistic.dispose();
        return y!;
      });
      const scaled = pipe(
        pipe(normed, (y) => this.reshape(y, [rows, size])),
        (y) => this.#run('Mul', [], y, gain),
      );
      return pipe(scaled, (y) => this.#run('AddV2', [], y, bias));
    });
  }

  convolutionBiasCpu(x: Info, filter: Info, bias: Info, strides: Pair, pad: Padding): tf.Tensor {
    return this.#run('_MklNativeConv2DWithBias', this.#convolution(strides, pad), x, filter, bias);
  }

  /** @param next operations that follow the bias, by TensorFlow's names: 'Add', which takes the addend; 'Relu' */
  convolutionCpu(
    x: Info,
    filter: Info,
    bias: Info,
    strides: Pair,
    pad: Padding,
    next: readonly string[],
    ...addend: readonly Info[]
  ): tf.Tensor {
    const types = {...this.#type, name: 'TArgs', value: [bias, ...addend].map(() => this.#type.value)};
    const attributes = [...this.#convolution(strides, pad), ...this.#fused(next, addend.length), types];
    return this.#run('_MklNativeFusedConv2D', attributes, x, filter, bias, ...addend);
  }

  /** A constant that stays on the device with the backend. It is no tensor of tfjs, and not the caller's. */
  constant(values: readonly number[], shape: readonly number[] = []): Info {
    return this.#keep(`${shape.join()} ${values.join()}`, shape, () => Float32Array.from(values));
  }

  #filled(value: number, size: number): Info {
    const info = this.#keep(`${size} times ${value}`, [size], () => new Float32Array(size).fill(value));
    filled.add(info.dataId);
    return info;
  }

  #whole(values: readonly number[], shape: readonly number[] = [values.length]): Info {
    return this.#keep(`whole ${shape.join()} ${values.join()}`, shape, () => Int32Array.from(values));
  }

  /** Returns a constant that is kept, or makes it; the least recently used goes where there are too many. */
  #keep(key: string, shape: readonly number[], values: () => Float32Array | Int32Array): Info {
    let info = this.#kept.get(key);
    if (info) {
      this.#kept.delete(key);
    } else {
      const data = values();
      const dtype = data instanceof Int32Array ? 'int32' : 'float32';
      info = {dataId: this.#backend.write(data, shape, dtype), shape: [...shape], dtype};
    }
    this.#kept.set(key, info);
    if (this.#kept.size > MOST_KEPT) {
      const [oldest, {dataId}] = this.#kept.entries().next().value!;
      this.#kept.delete(oldest);
      this.#backend.disposeData(dataId);
    }
    return info;
  }

  /**
   * Runs an operation on x as a matrix of rows, and gives the result the shape of x but for its last axis.
   * @param most the highest rank that the operation takes as it is
   */
  #byRows(x: Info, most: number, operation: (rows: Info) => tf.Tensor): tf.Tensor {
    if (x.shape.length >= 2 && x.shape.length <= most) return operation(x);
    const last = x.shape.at(-1)!;
    const output = pipe(this.reshape(x, [x.shape.reduce((product, n) => product * n, 1) / last, last]), operation);
    return pipe(output, (y) => this.reshape(y, [...x.shape.slice(0, -1), y.shape[1]!]));
  }

  #run(name: string, attributes: readonly object[], ...inputs: readonly Info[]): tf.Tensor {
    return this.#backend.executeSingleOutput(name, [this.#type, ...attributes], inputs);
  }

  #text(name: string, value: string | readonly string[]): object {
    return {name, type: this.#backend.binding.TF_ATTR_STRING, value};
  }

  #integers(name: string, value: number | readonly number[]): object {
    return {name, type: this.#backend.binding.TF_ATTR_INT, value};
  }

  #float(name: string, value: number): object {
    return {name, type: this.#backend.binding.TF_ATTR_FLOAT, value};
  }

  /** The label of oneDNN's kernels that take and give plain tensors. */
  #nameChange(): object {
    return this.#text('_kernel', 'MklNameChangeOp');
  }

  #untransposed(): object[] {
    return ['transpose_a', 'transpose_b'].map((name) => ({
      name,
      type: this.#backend.binding.TF_ATTR_BOOL,
      value: false,
    }));
  }

  /**
   * The attributes for a bias and the operations that follow it. An official binding cannot pass such a list of names.
   */
  #fused(next: readonly string[], addends = 0): object[] {
    return [this.#integers('num_args', 1 + addends), this.#text('fused_ops', ['BiasAdd', ...next])];
  }

  #convolution([down, right]: Pair, pad: Padding): object[] {
    const explicit = typeof pad === 'number';
    return [
      this.#text('data_format', 'NHWC'),
      this.#nameChange(),
      this.#integers('strides', [1, down, right, 1]),
      this.#integers('dilations', [1, 1, 1, 1]),
      this.#text('padding', explicit ? 'EXPLICIT' : pad.toUpperCase()),
      ...(explicit ? [this.#integers('explicit_paddings', [0, 0, pad, pad, pad, pad, 0, 0])] : []),
    ];
  }
}
