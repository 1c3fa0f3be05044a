import type * as tf from '@tensorflow/tfjs';
import {isFilled, type Tensorflow} from '../operations.js';

/** Numbers by which the binding names kinds of attributes. */
export type AttributeTypes = Readonly<
  Record<'TF_ATTR_BOOL' | 'TF_ATTR_FLOAT' | 'TF_ATTR_INT' | 'TF_ATTR_STRING' | 'TF_ATTR_TYPE', number>
>;

/** An attribute of an operation, as tfjs-node hands it to the binding. */
export interface Attribute {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}

/** A value as the binding knows it: its number, which never comes again, and its type of numbers. */
export interface Value {
  readonly id: number;
  readonly type: number;
}

export interface Constant {
  readonly shape: readonly number[];
  readonly type: number;
  /** All, or the one float that all are. */
  readonly values: Float32Array | Int32Array;
}

interface Operation {
  readonly operation: string;
  readonly attributes: readonly Attribute[];
  readonly inputs: readonly number[];
  readonly outputs: readonly Value[];
}

/** What a computation handed to TensorFlow. */
export interface Recording {
  /** First the given inputs, then the weights that were used. */
  readonly inputs: readonly Value[];
  /** By their place in the owner's list, the weights that were used. */
  readonly weights: readonly number[];
  readonly constants: ReadonlyMap<number, Constant>;
  readonly operations: readonly Operation[];
  readonly outputs: readonly Value[];
}

interface OutputInfo {
  readonly id: number;
  readonly dtype: number;
}

/** tfjs-node's backend with its private parts, which are watched while a computation is recorded. */
export interface WatchedTensorflow extends Tensorflow {
  binding: Tensorflow['binding'] &
    AttributeTypes & {
      executeOp(name: string, attributes: readonly Attribute[], ids: readonly number[], outputs: number): OutputInfo[];
      tensorDataSync(id: number): Float32Array | Int32Array;
      addFunctionDef?(bytes: Uint8Array): void;
    };
  getInputTensorIds(tensors: readonly tf.TensorInfo[]): number[];
  getDTypeInteger(dtype: tf.DataType): number;
}

/** The computation cannot be joined: it reads a value, or uses a tensor that is neither input, weight nor constant. */
export class NotJoinable extends Error {}

/** The most numbers of a tensor made while recording that become part of the function. */
const CONSTANT = 16;

/** How kernels compute what is being recorded; undefined while nothing is. */
let active: 'few' | 'many' | undefined;

/** A computation is being recorded: kernels read no value of a tensor. */
export function isRecording(): boolean {
  return active !== undefined;
}

/** A computation of few numbers is being recorded: kernels leave out what only saves calls. */
export function recordsFew(): boolean {
  return active === 'few';
}

/**
 * Runs a computation and records the operations that reach TensorFlow's binding: below tfjs' kernels, so that whatever
 * a kernel composes is recorded as TensorFlow's operations. Whole numbers and single numbers from elsewhere (shapes,
 * axes, factors) become constants, and so do kept ones of one value.
 * @param inputs    tensors that differ from call to call
 * @param weights   tensors of the owner
 * @param compute   gets no arguments: it uses the inputs themselves
 * @param numbers   whether kernels compute as for few numbers or for many, whatever a tensor's size: so that all sizes
 *                  are computed alike
 * @returns         its result, the caller's, and the recording
 * @throws NotJoinable
 */
export function record(
  backend: WatchedTensorflow,
  inputs: readonly tf.Tensor[],
  weights: readonly tf.Tensor[],
  compute: () => tf.Tensor[],
  numbers: 'few' | 'many',
): {results: tf.Tensor[]; recording: Recording} {
  const {binding} = backend;
  const typed = (tensors: readonly tf.Tensor[]): Value[] =>
    // Uploads what is not on the device yet, so that no weight passes for a tensor made while recording.
    backend.getInputTensorIds(tensors).map((id, i) => ({id, type: backend.getDTypeInteger(tensors[i]!.dtype)}));
  const values = typed(inputs);
  const weightValues = typed(weights);
  const weightPlaces = new Map(weightValues.map(({id}, place) => [id, place]));
  const used: number[] = [];
  const constants = new Map<number, Constant>();
  const operations: Operation[] = [];
  const known = new Map(values.map(({id, type}) => [id, type]));
  const infos = new Map<number, tf.TensorInfo>();

  const admit = (id: number): void => {
    const place = weightPlaces.get(id);
    if (place !== undefined) {
      used.push(place);
      known.set(id, weightValues[place]!.type);
      return;
    }
    const info = infos.get(id)!;
    const {shape, dtype} = info;
    const size = shape.reduce((product, n) => product * n, 1);
    const one = size > CONSTANT && isFilled(info);
    if ((size > CONSTANT && !one) || (dtype !== 'int32' && dtype !== 'float32'))
      throw new NotJoinable(`a tensor [${shape}] that is neither input nor weight`);
    const type = backend.getDTypeInteger(dtype);
    constants.set(id, {shape: [...shape], type, values: binding.tensorDataSync(id).slice(0, one ? 1 : undefined)});
    known.set(id, type);
  };
  const watched = Object.create(binding, {
    executeOp: {
      value: (operation: string, attributes: readonly Attribute[], ids: readonly number[], count: number) => {
        for (const id of ids) if (!known.has(id)) admit(id);
        const outputs = binding.executeOp(operation, attributes, ids, count);
        for (const {id, dtype} of outputs) known.set(id, dtype);
        const produced = outputs.map(({id, dtype}) => ({id, type: dtype}));
        operations.push({operation, attributes: [...attributes], inputs: [...ids], outputs: produced});
        return outputs;
      },
    },
    tensorDataSync: {
      value: () => {
        throw new NotJoinable('it reads a value');
      },
    },
  }) as WatchedTensorflow['binding'];
  const {getInputTensorIds} = backend;
  backend.getInputTensorIds = (tensors) => {
    const ids = getInputTensorIds.call(backend, tensors);
    for (const [i, id] of ids.entries()) infos.set(id, tensors[i]!);
    return ids;
  };
  backend.binding = watched;
  active = numbers;
  let results: tf.Tensor[];
  try {
    results = compute();
  } finally {
    active = undefined;
    backend.binding = binding;
    backend.getInputTensorIds = getInputTensorIds;
  }
  const outputs = backend.getInputTensorIds(results).map((id) => ({id, type: known.get(id)!}));
  return {
    results,
    recording: {
      inputs: [...values, ...used.map((place) => weightValues[place]!)],
      weights: used,
      constants,
      operations,
      outputs,
    },
  };
}
