import * as tf from '@tensorflow/tfjs';
import type {JoinedOwner, Joiner} from '../../../../runtime/joined.js';
import {functionDef} from './function-def.js';
import {type Attribute, isRecording, NotJoinable, record, type WatchedTensorflow} from './recording.js';

/** The most functions that are registered: they live as long as TensorFlow's context. */
const MOST_FUNCTIONS = 1000;

/** A computation that was registered. */
interface JoinedFunction {
  readonly name: string;
  /** Places in the owner's list of weights that follow the inputs. */
  readonly weights: readonly number[];
  readonly outputs: number;
}

/** A computation by its key: how often it was asked for, and what it has become. */
interface Entry {
  calls: number;
  state: 'new' | 'apart' | JoinedFunction;
}

/** The computations of blocks of one class and configuration, by their keys. */
type Kind = Map<string, Entry>;

/**
 * Joins computations to TensorFlow functions. A computation is recorded when its key comes for the second time, so that
 * shapes that come once never pay for it (8 to 45 ms); what cannot be joined runs operation by operation.
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
    const entry: Entry = kind.get(key) ?? {calls: 0, state: 'new'};
    kind.set(key, entry);
    entry.calls++;
    if (entry.state === 'new' && entry.calls > 1 && this.#registered.size < MOST_FUNCTIONS)
      return this.#record(entry, weights, inputs, compute);
    if (typeof entry.state === 'string') return compute();
    const {name, outputs} = entry.state;
    const all = [...inputs, ...entry.state.weights.map((place) => weights[place]!.read())];
    // As a kernel, so that it is counted, and an error of full memory is told from others.
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

  #record(
    entry: Entry,
    weights: JoinedOwner['weights'],
    inputs: readonly tf.Tensor[],
    compute: () => tf.Tensor[],
  ): tf.Tensor[] {
    entry.state = 'apart';
    try {
      const values = weights.map((weight) => weight.read());
      const {results, recording} = record(this.#backend, inputs, values, compute);
      const definition = functionDef(recording, this.#backend.binding);
      if (definition) {
        if (!this.#registered.has(definition.name)) this.#backend.binding.addFunctionDef!(definition.bytes);
        this.#registered.add(definition.name);
        entry.state = {name: definition.name, weights: recording.weights, outputs: recording.outputs.length};
      }
      return results;
    } catch (error) {
      if (error instanceof NotJoinable) return compute();
      throw error;
    }
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
