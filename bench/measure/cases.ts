import * as tf from '@tensorflow/tfjs';
import {hostMemory} from '../../src/runtime/kernels.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import {CLOCKS} from './clock.js';
import type {Row} from '../report/result-file.js';
import {quantile, summarize} from './statistics.js';

/** A thing to measure. */
export interface Case {
  readonly group: string;
  readonly name: string;
  /** Multiply-accumulates of one execution. */
  readonly macs?: number;
  /** Executions between two looks at the clock, more than one for cases of microseconds. */
  readonly inner?: number;
  readonly unit?: 'ms' | 'µs';
  readonly note?: string;
  /**
   * Makes the inputs, which `scope` holds.
   * @returns a function that executes the case once, and returns tensors, the caller's
   */
  prepare(scope: TensorScope): () => tf.TensorContainer | Promise<tf.TensorContainer>;
}

export interface MeasureOptions {
  /** Executions of each case on the clock, over all passes. */
  readonly rounds: number;
  /** A case stops after so many seconds, and at least one execution a pass. */
  readonly seconds: number;
  readonly signal?: AbortSignal;
}

/** The number of passes through the whole list, so that a busy minute of the machine does not hit one case alone. */
const PASSES = 3;

/**
 * Measures cases by turns, in three passes. In each, a case makes its inputs, is executed twice to warm up, and then in
 * rounds that end when the device has finished.
 */
export async function measure(cases: readonly Case[], {rounds, seconds, signal}: MeasureOptions): Promise<Row[]> {
  const times = cases.map((): Time[] => []);
  for (let pass = 0; pass < PASSES; pass++) {
    for (const [i, item] of cases.entries()) {
      signal?.throwIfAborted();
      times[i]!.push(...(await timeCase(item, Math.ceil(rounds / PASSES), seconds / PASSES)));
    }
  }
  return cases.map(({group, name, macs, note, unit = 'ms'}, i) => ({
    group,
    name,
    unit,
    ...summarize(times[i]!.map(({ms}) => (unit === 'µs' ? ms * 1e3 : ms))),
    cpu: quantile(
      times[i]!.map(({cpu}) => (unit === 'µs' ? cpu * 1e3 : cpu)),
      0.5,
    ),
    macs,
    note,
  }));
}

interface Time {
  readonly ms: number;
  readonly cpu: number;
}

/** Measures one execution several times, in milliseconds. */
async function timeCase({inner = 1, prepare}: Case, rounds: number, seconds: number): Promise<Time[]> {
  using scope = new TensorScope();
  const run = prepare(scope);
  const execute = async (count: number): Promise<Time> => {
    const [began, busy] = [CLOCKS.wall(), CLOCKS.cpu()];
    for (let i = 1; i < count; i++) tf.dispose(await run());
    const last = await run();
    await finished(last);
    const [ms, cpu] = [CLOCKS.wall() - began, CLOCKS.cpu() - busy];
    tf.dispose(last);
    return {ms: ms / count, cpu: cpu / count};
  };
  for (let i = 0; i < 2; i++) await execute(1);
  const times: Time[] = [];
  const until = performance.now() + seconds * 1e3;
  while (times.length < 1 || (times.length < rounds && performance.now() < until)) times.push(await execute(inner));
  return times;
}

/**
 * Waits until a device has computed tensors by reading one number back. In this process's memory they are computed
 * already.
 */
export async function finished(result: tf.TensorContainer): Promise<void> {
  if (hostMemory()) return;
  const tensor = firstTensor(result);
  if (!tensor) return;
  const number = tf.tidy(() => tf.slice(tensor.flatten(), [0], [1]));
  await number.data();
  number.dispose();
}

/** The first tensor in the value that a function returned. */
export function firstTensor(result: unknown): tf.Tensor | undefined {
  if (result instanceof tf.Tensor) return result;
  if (typeof result !== 'object' || result === null) return undefined;
  for (const value of Object.values(result)) {
    if (value instanceof tf.Tensor) return value;
  }
  return undefined;
}

/** A tensor of random numbers from −d to d, the same every time; `scope` holds it. */
export function numbers(scope: TensorScope, shape: number[], d = 1, seed = 1): tf.Tensor {
  return scope.hold(tf.randomUniform(shape, -d, d, 'float32', seed));
}
