import {createRequire} from 'node:module';
import {isMainThread} from 'node:worker_threads';
import * as tf from '@tensorflow/tfjs';
import {type KernelCall, preferKernel, type WasmBackend} from '../kernels.js';
import {DeviceUnavailableError} from '../devices.js';

/**
 * A session of onnxruntime-node's internal binding, which is synchronous: the public API answers in promises, and a
 * kernel cannot wait.
 */
interface Session {
  loadModel(model: ArrayBuffer, offset: number, length: number, options: object): void;
  run(feeds: Readonly<Record<string, object>>, fetches: Readonly<Record<string, object>>, options: object): unknown;
}
interface Runtime {
  readonly Session: new () => Session;
  readonly threads: number;
}
interface Binding {
  readonly InferenceSession: Runtime['Session'];
  initOrtOnce(logLevel: number, result: new () => object, isMainThread: boolean): void;
}
/** The class that the binding wraps its results in. They are in the fetches already. */
class Result {}
interface Fusion {
  readonly activation?: string;
}

const ERRORS = 3; // of the log levels, 0 to 4
const PACKAGE = 'onnxruntime-node';
/** The version whose internals this was written against. */
const VERSION = '1.30.0';
const require = createRequire(import.meta.url);
/** A product of fewer rows is left to XNNPACK, unless it is large otherwise, as the logits of five beams are. */
const FEW_ROWS = 16;
const LARGE_PRODUCT = 4_000_000;
/** '' is no activation. */
const ACTIVATIONS: Readonly<Record<string, string>> = {linear: '', relu: 'Relu'};

let runtime: Runtime | undefined;
let active = false;
const sessions = new Map<string, Session>();

/**
 * Hands the wasm backend's products and convolutions to onnxruntime-node (all cores, AVX-512), in place on the wasm
 * heap, or back. Call with the wasm backend started. Other types, activations and layouts stay with the backend's own
 * kernels.
 * @throws DeviceUnavailableError where the package is not installed, or is not the version whose internals are known
 */
export function useOnnxMatMul(on: boolean, threads: number): void {
  active = on;
  // src/runtime/kernels.ts reads it.
  Object.assign(tf.backend(), {productsElsewhere: on});
  if (!on || runtime) return;
  try {
    const {binding} = require(`${PACKAGE}/dist/binding`) as {binding: Binding};
    binding.initOrtOnce(ERRORS, Result, isMainThread);
    runtime = {Session: binding.InferenceSession, threads};
  } catch (error) {
    useOnnxMatMul(false, threads);
    const [words = ''] = (error as Error).message.split('\n');
    const reason = installed() ? `${PACKAGE} cannot be used: ${words}` : `${PACKAGE} is not installed`;
    throw new DeviceUnavailableError(reason, `npm i --no-save --ignore-scripts ${PACKAGE}@${VERSION}`, error);
  }
  const whileActive =
    (kernel: (call: KernelCall) => tf.TensorInfo | undefined) =>
    (call: KernelCall): tf.TensorInfo | undefined =>
      active ? kernel(call) : undefined;
  for (const name of [tf.BatchMatMul, tf._FusedMatMul]) preferKernel(name, 'wasm', whileActive(product));
  for (const name of [tf.Conv2D, tf.FusedConv2D]) preferKernel(name, 'wasm', whileActive(convolution));
}

function installed(): boolean {
  try {
    return require.resolve(PACKAGE) !== '';
  } catch {
    return false;
  }
}

function product({inputs, attrs, backend}: KernelCall): tf.TensorInfo | undefined {
  const {a, b, bias} = inputs as {a: tf.TensorInfo; b: tf.TensorInfo; bias?: tf.TensorInfo};
  const {
    transposeA,
    transposeB,
    activation = 'linear',
  } = attrs as unknown as {transposeA: boolean; transposeB: boolean} & Fusion;
  const act = ACTIVATIONS[activation];
  if (act === undefined || a.dtype !== 'float32' || b.dtype !== 'float32' || inputs.preluActivationWeights)
    return undefined;
  const [k, m] = (transposeA ? a.shape.slice(-2) : a.shape.slice(-2).reverse()) as [number, number];
  const n = b.shape.at(transposeB ? -2 : -1)!;
  const outer = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const shape = [...outer, m, n];
  const size = shape.reduce((product, x) => product * x, 1);
  if (size * k === 0 || (m < FEW_ROWS && size * k < LARGE_PRODUCT)) return undefined;
  const key = ['product', a.shape.length, b.shape.length, transposeA, transposeB, bias?.shape.length, act].join();
  const graph = (): Node[] => [
    {
      op: 'FusedMatMul',
      domain: 'com.microsoft',
      inputs: ['a', 'b'],
      attributes: {transA: Number(transposeA), transB: Number(transposeB)},
    },
    ...(bias ? [{op: 'Add', inputs: ['', 'c']}] : []),
    ...(act ? [{op: act, inputs: ['']}] : []),
  ];
  return run(key, graph, {a, b, ...(bias ? {c: bias} : {})}, shape, backend);
}

function convolution({inputs, attrs, backend}: KernelCall): tf.TensorInfo | undefined {
  const {x, filter, bias} = inputs as {x: tf.Tensor4D; filter: tf.Tensor4D; bias?: tf.TensorInfo};
  const {
    strides,
    pad,
    dataFormat,
    dilations,
    dimRoundingMode,
    activation = 'linear',
  } = attrs as unknown as ConvAttributes;
  const act = ACTIVATIONS[activation];
  if (act === undefined || (dataFormat ?? 'NHWC') !== 'NHWC' || (bias && bias.shape.length !== 1)) return undefined;
  if (x.dtype !== 'float32' || inputs.preluActivationWeights) return undefined;
  const info = tf.backend_util.computeConv2DInfo(x.shape, filter.shape, strides, dilations ?? 1, pad, dimRoundingMode);
  const {outShape, padInfo: p, inChannels, outChannels} = info;
  if (outShape.includes(0)) return undefined;
  const last = act ? [{op: act, inputs: ['']}] : [];
  const extra: Readonly<Record<string, tf.TensorInfo>> = bias ? {c: bias} : {};
  if (
    info.filterHeight * info.filterWidth * info.strideHeight * info.strideWidth === 1 &&
    p.top + p.bottom + p.left + p.right === 0
  ) {
    // A 1×1 convolution is a product of the pixels as they lie.
    const pixels = {...x, shape: [outShape.slice(0, 3).reduce((size, d) => size * d, 1), inChannels]};
    const weights = {...filter, shape: [inChannels, outChannels]};
    const graph = (): Node[] => [
      {op: 'MatMul', inputs: ['a', 'b']},
      ...(bias ? [{op: 'Add', inputs: ['', 'c']}] : []),
      ...last,
    ];
    const product = run(
      `pixels,${act},${!!bias}`,
      graph,
      {a: pixels, b: weights, ...extra},
      [pixels.shape[0]!, outChannels],
      backend,
    );
    return {...product, shape: outShape};
  }
  const attributes = {
    strides: [info.strideHeight, info.strideWidth],
    pads: [p.top, p.left, p.bottom, p.right],
    dilations: [info.dilationHeight, info.dilationWidth],
  };
  const graph = (): Node[] => [
    {op: 'Transpose', inputs: ['b'], output: 'w', attributes: {perm: [3, 2, 0, 1]}},
    {op: 'Transpose', inputs: ['a'], attributes: {perm: [0, 3, 1, 2]}},
    {op: 'Conv', inputs: ['', 'w', ...(bias ? ['c'] : [])], attributes},
    ...last,
    {op: 'Transpose', inputs: [''], attributes: {perm: [0, 2, 3, 1]}},
  ];
  return run(
    `conv,${JSON.stringify(attributes)},${act},${!!bias}`,
    graph,
    {a: x, b: filter, ...extra},
    outShape,
    backend,
  );
}

interface ConvAttributes extends Fusion {
  readonly strides: [number, number] | number;
  readonly pad: 'valid' | 'same' | number;
  readonly dataFormat?: 'NHWC' | 'NCHW';
  readonly dilations?: [number, number] | number;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/** Runs a graph on tensors of the wasm heap, its result written there. */
function run(
  key: string,
  graph: () => readonly Node[],
  inputs: Readonly<Record<string, tf.TensorInfo>>,
  shape: number[],
  backend: unknown,
): tf.TensorInfo {
  const {Session, threads} = runtime!;
  let session = sessions.get(key);
  if (!session) {
    session = new Session();
    const ranks = Object.entries(inputs).map(([name, tensor]) => [name, tensor.shape.length] as const);
    const {buffer, byteOffset, byteLength} = onnxModel(graph(), ranks, shape.length);
    // Threads that spin while they wait would take the cores from whatever runs between two products.
    const extra = {session: {intra_op: {allow_spinning: '0'}}};
    session.loadModel(buffer as ArrayBuffer, byteOffset, byteLength, {
      intraOpNumThreads: threads,
      logSeverityLevel: ERRORS,
      extra,
    });
    sessions.set(key, session);
  }
  const wasm = backend as WasmBackend;
  // The output is made first: the heap may grow, and a view made before that would see nothing.
  const out = wasm.makeOutput(shape, 'float32');
  // This is all that the binding reads of a tensor; onnxruntime's class only adds checks.
  const view = (tensor: tf.TensorInfo): object => ({
    type: 'float32',
    location: 'cpu',
    data: wasm.typedArrayFromHeap(tensor),
    dims: tensor.shape,
  });
  session.run(
    Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, view(tensor)])),
    {y: view(out)},
    {},
  );
  return out;
}

/** One operation of a graph. The input '' is the output of the operation before. */
interface Node {
  readonly op: string;
  readonly domain?: string;
  readonly inputs: readonly string[];
  /** The output's name; without one it feeds the next operation, or is the output of the graph. */
  readonly output?: string;
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>;
}

/** A graph as an ONNX file (a protobuf; onnx.proto3 has the numbers of the fields): float32, open sizes, opset 17. */
function onnxModel(nodes: readonly Node[], inputs: readonly (readonly [string, number])[], rank: number): Uint8Array {
  const varint = (n: number): number[] => (n < 128 ? [n] : [(n % 128) + 128, ...varint(Math.floor(n / 128))]);
  const int = (field: number, n: number): number[] => [...varint(field * 8), ...varint(n)];
  const bytes = (field: number, content: readonly number[]): number[] => [
    ...varint(field * 8 + 2),
    ...varint(content.length),
    ...content,
  ];
  const text = (field: number, words: string): number[] => bytes(field, [...Buffer.from(words)]);
  const attribute = ([name, value]: [string, number | readonly number[]]): number[] =>
    bytes(5, [
      ...text(1, name),
      ...(typeof value === 'number'
        ? [...int(3, value), ...int(20, 2)]
        : [...value.flatMap((n) => int(8, n)), ...int(20, 7)]),
    ]);
  let before = '';
  const body = nodes.flatMap(({op, domain = '', inputs: from, output, attributes = {}}, i) => {
    const to = i === nodes.length - 1 ? 'y' : (output ?? `t${i}`);
    const named = from.flatMap((name) => text(1, name === '' ? before : name));
    if (output === undefined) before = to;
    return bytes(1, [
      ...named,
      ...text(2, to),
      ...text(4, op),
      ...Object.entries(attributes).flatMap(attribute),
      ...text(7, domain),
    ]);
  });
  const value = (field: number, name: string, dimensions: number): number[] => {
    const shape = Array.from({length: dimensions}, (_, i) => bytes(1, text(2, `${name}${i}`))).flat();
    return bytes(field, [...text(1, name), ...bytes(2, bytes(1, [...int(1, 1), ...bytes(2, shape)]))]);
  };
  const graph = [
    ...body,
    ...text(2, 'g'),
    ...inputs.flatMap(([name, n]) => value(11, name, n)),
    ...value(12, 'y', rank),
  ];
  const opset = (domain: string, version: number): number[] => bytes(8, [...text(1, domain), ...int(2, version)]);
  return Uint8Array.from([...int(1, 9), ...bytes(7, graph), ...opset('', 17), ...opset('com.microsoft', 1)]);
}
