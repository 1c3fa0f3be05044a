import * as tf from '@tensorflow/tfjs';
import type {VisionLanguageModel} from '../models/model.js';
import {ExitAdapter, type ExitAdapterConfig} from '../nn/exit-adapters.js';
import {type Random, seededRandom} from '../runtime/random.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import {yieldToEventLoop} from '../runtime/yield.js';
import {Adam} from './adam.js';
import {indexOfLargest, type Teacher} from './teacher.js';

// N positions, n of a batch, D width, C classes

/** How an adapter is trained. */
export interface FitOptions {
  /** Most updates; 400 by default for entailment, 1200 for captions. */
  readonly steps?: number;
  /** Positions of an update; 256 by default. */
  readonly batch?: number;
  /** Of the first update; it falls to 0 over `steps`. By default 0.001 for entailment, 0.003 for captions. */
  readonly learningRate?: number;
  /**
   * Decoupled decay of the matrices: each update shrinks them by this, times the learning rate. By default 5 for entailment, 1
   * for captions.
   */
  readonly decay?: number;
  /** Decides the first weights and the order of the positions; 0 by default. */
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

/** What `FitOptions` leave to the task. */
export type FitRates = Readonly<Record<'learningRate' | 'decay' | 'steps', number>>;

/** Updates between two looks at the held-out positions. */
const LOOK_EVERY = 20;
/** Looks without a new best one, after which training ends. */
const PATIENCE = 6;

/** States of one layer with what the last layer says about them. */
export interface FitData {
  /** [N, D] */
  readonly states: Float32Array;
  readonly teacher: Teacher;
  /** The right class at each position; −1 where it is not known. */
  readonly labels: Int32Array;
  /** Numbers of the positions to learn from, and of those that are only looked at. */
  readonly train: readonly number[];
  readonly heldOut: readonly number[];
  /** Learn from the labels as well, at half of the weight where there is one. */
  readonly useLabels?: boolean;
}

/** How well a layer does at some positions. */
export interface Measures {
  /** Mean Kullback-Leibler divergence from the last layer's distribution, nats. */
  readonly divergence: number;
  /** Share of positions with the last layer's answer. */
  readonly agreement: number;
  /** Share with the right answer, of those where it is known; undefined where none is. */
  readonly accuracy: number | undefined;
}

/** Measures, and at each position whether the answer is the last layer's. */
export interface Looked extends Measures {
  readonly agrees: readonly boolean[];
  /** Positions whose right answer is known. */
  readonly known: number;
}

type Head = Pick<VisionLanguageModel, 'logits'>;

/** A look at the held-out positions after so many updates. */
export interface Look extends Looked {
  readonly step: number;
}

export interface Fitted {
  /** As it was at its best look, or, where nothing is held out, at the end; the caller's. */
  readonly adapter: ExitAdapter;
  /** All looks, the one before the first update included; none where nothing is held out. */
  readonly looks: readonly Look[];
}

/**
 * Trains the adapter of one layer: Adam on the divergence of what the shared head says behind it from what it says
 * about the last layer's state. The held-out positions decide when it was best; without any it goes on to the end.
 * @param until    updates after which it ends at the latest; the learning rate falls as if it went on to `steps`
 * @param onLook   called after each look
 * @throws AbortError
 */
export async function fitAdapter(
  head: Head,
  config: ExitAdapterConfig,
  data: FitData,
  {steps, batch = 256, learningRate, decay, seed = 0, signal}: FitOptions & FitRates,
  {until = steps, onLook}: {readonly until?: number; readonly onLook?: (look: Look) => void} = {},
): Promise<Fitted> {
  using scope = new TensorScope();
  const random = seededRandom(seed);
  const adapter = scope.hold(await freshAdapter(config, random));
  const variables = adapter.trainableWeights.map((weight) => weight.read() as tf.Variable);
  const values = variables.map((variable) => variable.dataSync().slice() as Float32Array);
  const adam = new Adam(
    values.map(({length}) => length),
    {decay: variables.map(({rank}) => (rank > 1 ? decay : 0))},
  );
  const targets = targetsOf(data);
  const looks: Look[] = [];
  let best = {step: 0, divergence: Number.POSITIVE_INFINITY, values};
  const lookNow = async (step: number): Promise<void> => {
    const looked = {step, ...(await look(head, step === 0 ? undefined : adapter, data, data.heldOut, signal))};
    looks.push(looked);
    onLook?.(looked);
    if (looked.divergence < best.divergence)
      best = {step, divergence: looked.divergence, values: values.map((array) => array.slice())};
  };
  if (data.heldOut.length > 0) await lookNow(0);
  let order: number[] = [];
  for (let step = 1; step <= until; step++) {
    await yieldToEventLoop(signal);
    if (order.length < Math.min(batch, data.train.length)) order = [...order, ...random.shuffle([...data.train])];
    const rows = order.splice(0, batch);
    const gradients = await gradientsOf(head, adapter, variables, data, targets, rows);
    adam.update(values, gradients, learningRate * (1 - (step - 1) / steps));
    write(variables, values);
    if (data.heldOut.length === 0 || (step % LOOK_EVERY !== 0 && step !== until)) continue;
    await lookNow(step);
    if (step - best.step >= PATIENCE * LOOK_EVERY) break;
  }
  write(variables, best.values);
  return {adapter: scope.give(adapter), looks};
}

/** An adapter that changes nothing yet: its last map is 0. */
async function freshAdapter(config: ExitAdapterConfig, random: Random): Promise<ExitAdapter> {
  const adapter = new ExitAdapter(config);
  const shapes = new Map(adapter.storedWeights().map(({name, shape}) => [name, shape]));
  await adapter.load({
    names: () => [...shapes.keys()],
    shape: (name) => shapes.get(name),
    read: (name) => {
      const values = new Float32Array(shapes.get(name)!.reduce((product, n) => product * n, 1));
      return Promise.resolve(name === 'down.weight' ? values.map(() => 0.02 * normal(random)) : values);
    },
  });
  return adapter;
}

/** A normal number, by Box and Muller. */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

function write(variables: readonly tf.Variable[], values: readonly Float32Array[]): void {
  for (const [i, variable] of variables.entries()) {
    const tensor = tf.tensor(values[i]!.slice(), variable.shape);
    variable.assign(tensor);
    tensor.dispose();
  }
}

/** The distributions to learn [N, C]: the teacher's, or halfway between it and the labels. */
function targetsOf({teacher, labels, useLabels}: FitData): Float32Array {
  if (!useLabels) return teacher.probabilities;
  const targets = teacher.probabilities.slice();
  for (const [i, label] of labels.entries()) {
    if (label < 0) continue;
    for (let c = 0; c < teacher.classes; c++) targets[i * teacher.classes + c]! /= 2;
    targets[i * teacher.classes + label]! += 0.5;
  }
  return targets;
}

/** Rows of a matrix, one behind the other. */
function rowsOf(matrix: Float32Array, width: number, rows: readonly number[]): Float32Array {
  const out = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) out.set(matrix.subarray(row * width, (row + 1) * width), i * width);
  return out;
}

/** Gradients of the mean cross-entropy at some positions, an array a variable. */
async function gradientsOf(
  head: Head,
  adapter: ExitAdapter,
  variables: tf.Variable[],
  {states, teacher}: FitData,
  targets: Float32Array,
  rows: readonly number[],
): Promise<readonly Float32Array[]> {
  using scope = new TensorScope();
  const {ids, classes} = teacher;
  const x = scope.hold(
    tf.tensor2d(rowsOf(states, states.length / teacher.answers.length, rows), [rows.length, adapter.config.size]),
  );
  const y = scope.hold(tf.tensor2d(rowsOf(targets, classes, rows), [rows.length, classes]));
  const {value, grads} = tf.variableGrads(
    () =>
      tf
        .logSoftmax(head.logits(adapter.forward(x), ids))
        .mul(y)
        .sum()
        .mul(-1 / rows.length)
        .asScalar(),
    variables,
  );
  scope.hold(value);
  const tensors = variables.map(({name}) => scope.hold(grads[name]!));
  return await Promise.all(tensors.map(async (tensor) => (await tensor.data()) as Float32Array));
}

/**
 * Looks at some positions.
 * @param adapter   undefined: the state as it is
 */
export async function look(
  head: Head,
  adapter: ExitAdapter | undefined,
  {states, teacher, labels}: Omit<FitData, 'train' | 'heldOut'>,
  rows: readonly number[],
  signal?: AbortSignal,
): Promise<Looked> {
  const {ids, classes, probabilities, answers} = teacher;
  const size = states.length / answers.length;
  const agrees: boolean[] = [];
  let [divergence, right, known] = [0, 0, 0];
  const most = Math.max(1, Math.floor(2 ** 22 / classes));
  for (let first = 0; first < rows.length; first += most) {
    await yieldToEventLoop(signal);
    const part = rows.slice(first, first + most);
    const logs = tf.tidy(() => {
      const x = tf.tensor2d(rowsOf(states, size, part), [part.length, size]);
      return tf.logSoftmax(head.logits(adapter ? adapter.forward(x) : x, ids));
    });
    const values = (await logs.data()) as Float32Array;
    logs.dispose();
    for (const [i, row] of part.entries()) {
      const own = values.subarray(i * classes, (i + 1) * classes);
      for (let c = 0; c < classes; c++) {
        const p = probabilities[row * classes + c]!;
        if (p > 0) divergence += p * (Math.log(p) - own[c]!);
      }
      const answer = indexOfLargest(own);
      agrees.push(answer === answers[row]);
      if (labels[row]! < 0) continue;
      known++;
      if (answer === labels[row]) right++;
    }
  }
  const n = Math.max(1, rows.length);
  return {
    divergence: divergence / n,
    agreement: agrees.filter(Boolean).length / n,
    accuracy: known > 0 ? right / known : undefined,
    agrees,
    known,
  };
}
