import * as tf from '@tensorflow/tfjs';
import {type KernelCall, replaceKernel} from '../../src/node/backends/kernels.js';
import {CLOCKS, type ClockName} from '../measure/clock.js';
import type {Row} from '../report/result-file.js';
import {Stopwatch} from '../measure/stopwatch.js';

/**
 * Puts every kernel of the current backend on the clock, each with its own time alone (a kernel that runs others does
 * not count them). It serves backends that compute when they are called; a GPU would only show its launches.
 * @returns a function that takes the times since its last call, by kernel and shapes
 */
export function watchKernels(
  clock: ClockName,
): () => readonly {kernel: string; shapes: string; ms: number; calls: number}[] {
  const watch = new Stopwatch(() => {}, CLOCKS[clock]);
  for (const {kernelName, backendName} of tf.getKernelsForBackend(tf.getBackend()))
    replaceKernel(
      kernelName,
      backendName,
      (original) => (call) => watch.time(`${kernelName}\n${shapes(call)}`, () => original(call)),
    );
  return () => {
    const {ms, counts} = watch.take();
    return Object.entries(ms).map(([key, time]) => {
      const [kernel = '', sizes = ''] = key.split('\n');
      return {kernel, shapes: sizes, ms: time, calls: counts[key]!};
    });
  };
}

function shapes({inputs}: KernelCall): string {
  return Object.values(inputs)
    .flatMap((input) => (Array.isArray(input) ? (input as tf.TensorInfo[]).slice(0, 2) : input ? [input] : []))
    .map(({shape}) => `[${shape.join(',')}]`)
    .join(' ');
}

/** Something to profile: the i-th of several like executions. */
export interface Profiled {
  readonly group: string;
  run(i: number): Promise<void>;
}

/** The time by kernel, and by the shapes it was called with: means over `times` executions, after one that warms up. */
export async function profileKernels(profiled: readonly Profiled[], times: number, clock: ClockName): Promise<Row[]> {
  const read = watchKernels(clock);
  const rows: Row[] = [];
  for (const {group, run} of profiled) {
    await run(0);
    read();
    const began = CLOCKS[clock]();
    for (let i = 0; i < times; i++) await run(i);
    rows.push(...profileRows(group, times, (CLOCKS[clock]() - began) / times, read()));
  }
  return rows;
}

function profileRows(
  group: string,
  times: number,
  whole: number,
  seen: ReturnType<ReturnType<typeof watchKernels>>,
): Row[] {
  const row = (kind: string, name: string, total: number, calls?: number): Row => {
    const ms = total / times;
    const note = `${((100 * ms) / whole).toFixed(1)} %${calls === undefined ? '' : `, ${Math.round(calls / times)} calls`}`;
    return {group: `${group}, ${kind}`, name, unit: 'ms', median: ms, p10: ms, p90: ms, n: times, note};
  };
  const kernels = new Map<string, {ms: number; calls: number}>();
  for (const {kernel, ms, calls} of seen) {
    const sum = kernels.get(kernel) ?? {ms: 0, calls: 0};
    kernels.set(kernel, {ms: sum.ms + ms, calls: sum.calls + calls});
  }
  const inKernels = seen.reduce((sum, {ms}) => sum + ms, 0);
  const byTime = (a: {ms: number}, b: {ms: number}): number => b.ms - a.ms;
  return [
    row('by kernel', 'whole', whole * times),
    row('by kernel', 'outside kernels', whole * times - inKernels),
    ...[...kernels]
      .map(([name, sums]) => ({name, ...sums}))
      .sort(byTime)
      .slice(0, 14)
      .map(({name, ms, calls}) => row('by kernel', name, ms, calls)),
    ...[...seen]
      .sort(byTime)
      .slice(0, 20)
      .map(({kernel, shapes: sizes, ms, calls}) => row('by shape', `${kernel} ${sizes}`, ms, calls)),
  ];
}
