import * as tf from '@tensorflow/tfjs';
import type {JoinedOwner, Joiner} from '../../../../runtime/joined.js';
import {withFreeSizes} from './free-sizes.js';
import {functionDef} from './function-def.js';
import {type Attribute, isRecording, NotJoinable, record, type Recording, type WatchedTensorflow} from './recording.js';

/** The most functions that are registered: they live as long as TensorFlow's context. */
const MOST_FUNCTIONS = 1000;

/** Numbers of a computation's first input up to which it is recorded as one of few numbers. */
const FEW = 8192;
/** Recordings of a computation that fit no other, after which another size is no reason to record any more. */
const MOST_KINDS_OF_SIZES = 4;

/** The leading axes of a computation's inputs; undefined where the length is free. */
type Sizes = readonly (number | undefined)[];

/** A computation that was registered. */
interface JoinedFunction {
  readonly name: string;
  readonly sizes: Sizes;
  readonly recording: Recording;
}

/** A computation by its key. */
interface Entry {
  /** Calls of sizes for which there is no function, by the sizes. */
  readonly calls: Map<string, number>;
  functions: readonly JoinedFunction[];
  /** It cannot be joined. */
  apart: boolean;
}

/** A call of a computation for which there is no function. */
interface Call {
  readonly inputs: readonly tf.Tensor[];
  readonly weights: JoinedOwner['weights'];
  readonly sizes: Sizes;
  readonly numbers: 'few' | 'many';
}

/** The computations of blocks of one class and configuration, by their keys. */
type Kind = Map<string, Entry>;

/**
 * Joins computations to TensorFlow functions. A computation is recorded when its key and sizes come for the second time,
 * so that shapes that come once never pay for it (8 to 45 ms). When other sizes follow (batches from which images leave),
 * the two recordings tell which lengths are free, and one function serves all. What cannot be joined runs operation by
 * operation.
 */
export class FunctionJoiner implements Joiner {
  readonly #backend: WatchedTensorflow;
  readonly #kinds = new Map<string, Kind>();
  readonly #owners = new WeakMap<JoinedOwner, {readonly kind: Kind; readonly weights: JoinedOwner['weights']}>();
  readonly #registered = new Set<string>();
  /** A few operations after another cost less on the thread that calls than spread over others. */
  readonly #executor: Attribute;

  constructor(backend: WatchedTensorflow) {
    this.#backend = backend;
    const type = backend.binding.TF_ATTR_STRING;
    this.#executor = {name: 'executor_type', type, value: 'SINGLE_THREADED_EXECUTOR'};
    tf.registerKernel({
      kernelName: CALL,
      backendName: 'tensorflow',
      kernelFunc: ({inputs, attrs}) => {
        const {name, outputs} = attrs as {name: string; outputs: number};
        return backend.executeMultipleOutputs(
          name,
          [this.#executor],
          Object.values(inputs) as tf.TensorInfo[],
          outputs,
        );
      },
    });
  }

  /** Functions that are registered. */
  get size(): number {
    return this.#registered.size;
  }

  run(owner: JoinedOwner, key: string, inputs: readonly tf.Tensor[], compute: () => tf.Tensor[]): tf.Tensor[] {
    if (isRecording()) return compute();
    const {kind, weights} = this.#owner(owner);
    const numbers = inputs[0]!.size <= FEW ? 'few' : 'many';
    const name = `${key}, ${numbers}`;
    const entry: Entry = kind.get(name) ?? {calls: new Map(), functions: [], apart: false};
    kind.set(name, entry);
    if (entry.apart) return compute();
    const sizes = inputs.map(({shape}) => shape[0]);
    const known = entry.functions.find((made) => made.sizes.every((n, i) => n === undefined || n === sizes[i]));
    if (known) return this.#call(known, inputs, weights);
    const calls = (entry.calls.get(sizes.join()) ?? 0) + 1;
    entry.calls.set(sizes.join(), calls);
    const {length} = entry.functions;
    const worthwhile = calls > 1 || (length > 0 && length < MOST_KINDS_OF_SIZES);
    if (!worthwhile || this.#registered.size >= MOST_FUNCTIONS) return compute();
    return this.#record(entry, {inputs, weights, sizes, numbers}, compute);
  }

  #call({name, recording}: JoinedFunction, inputs: readonly tf.Tensor[], weights: JoinedOwner['weights']): tf.Tensor[] {
    const all = [...inputs, ...recording.weights.map((place) => weights[place]!.read())];
    // As a kernel, so that it is counted, and an error of full memory is told from others.
    const outputs = recording.outputs.length;
    return tf.engine().runKernel(CALL, Object.fromEntries(all.entries()), {name, outputs}) as tf.Tensor[];
  }

  #owner(owner: JoinedOwner): {readonly kind: Kind; readonly weights: JoinedOwner['weights']} {
    const known = this.#owners.get(owner);
    if (known) return known;
    const name = `${owner.getClassName()} ${JSON.stringify(owner.config)}`;
    const kind: Kind = this.#kinds.get(name) ?? new Map<string, Entry>();
    this.#kinds.set(name, kind);
    const made = {kind, weights: owner.weights};
    this.#owners.set(owner, made);
    return made;
  }

  #record(entry: Entry, call: Call, compute: () => tf.Tensor[]): tf.Tensor[] {
    try {
      const values = call.weights.map((weight) => weight.read());
      const {results, recording} = record(this.#backend, call.inputs, values, compute, call.numbers);
      this.#register(entry, recording, call.sizes);
      return results;
    } catch (error) {
      if (!(error instanceof NotJoinable)) throw error;
      entry.apart = true;
      return compute();
    }
  }

  /** Registers a function for the sizes of a recording, or in the place of one with which it has free sizes in common. */
  #register(entry: Entry, recording: Recording, sizes: Sizes): void {
    for (const before of entry.functions) {
      const free = withFreeSizes(before.recording, recording);
      const name = free && this.#define(free);
      if (!name) continue;
      const common = before.sizes.map((n, i) => (n === sizes[i] ? n : undefined));
      const others = entry.functions.filter((other) => other !== before);
      entry.functions = [{name, sizes: common, recording: free}, ...others];
      return;
    }
    const name = this.#define(recording);
    if (name) entry.functions = [...entry.functions, {name, sizes, recording}];
    else entry.apart = true;
  }

  /** @returns the name of the function; undefined where an operation is none that it can have */
  #define(recording: Recording): string | undefined {
    const definition = functionDef(recording, this.#backend.binding);
    if (!definition) return undefined;
    if (!this.#registered.has(definition.name)) this.#backend.binding.addFunctionDef!(definition.bytes);
    this.#registered.add(definition.name);
    return definition.name;
  }
}

const CALL = 'MueFunction';

/** One a backend: what is registered lives as long as TensorFlow's context, also while it is not used. */
const joiners = new WeakMap<object, Joiner>();

/**
 * Joins computations from now on, or no longer.
 * @returns whether they are joined: only a binding that can register functions does it, ours, not an official one
 */
export function useFunctions(wanted: boolean): boolean {
  const backend = tf.backend() as unknown as WatchedTensorflow & {joiner?: Joiner | undefined};
  const joins = wanted && backend.binding.addFunctionDef !== undefined;
  if (joins && !joiners.has(backend)) joiners.set(backend, new FunctionJoiner(backend));
  backend.joiner = joins ? joiners.get(backend) : undefined;
  return joins;
}
