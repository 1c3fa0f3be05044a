import {jest} from '@jest/globals';
import {setTimeout as sleep} from 'node:timers/promises';
import {
  compileKernels,
  instantiateKernels,
  type Kernels,
  STACK_BYTES,
} from '../../../../src/node/backends/wasm/modules.js';
import {JOB_BYTES, type Job, ThreadPool} from '../../../../src/node/backends/wasm/pool.js';
import {startThread} from '../../../../src/node/backends/wasm/threads.js';

const JOB: Job = {kernel: 'gelu', pieces: 8, parameters: [0, 0, 0, 4]};

/** Kernels that take so many milliseconds of a clock of their own, and compute nothing. */
function pretend({own, work, wait, failed = 0}: {own: number; work: number; wait: number; failed?: number}) {
  let now = 1000;
  jest.spyOn(performance, 'now').mockImplementation(() => now);
  const calls: string[] = [];
  const kernels: Kernels = {
    run: () => void calls.push('run'),
    begin: (_, helpers) => {
      calls.push(`begin ${helpers}`);
      now += work;
      return own;
    },
    end: () => {
      now += wait;
      return failed;
    },
    leave: () => undefined,
    serve: () => undefined,
  };
  return {kernels, calls, pass: (milliseconds: number) => (now += milliseconds)};
}
const poolOf = (kernels: Kernels, start = jest.fn(() => () => undefined)) => {
  const pool = new ThreadPool(kernels, new WebAssembly.Memory({initial: 1}), 64, start);
  pool.threads = 3;
  return {pool, start};
};
afterEach(() => jest.restoreAllMocks());

test('ThreadPool: threads start with the first job of several pieces, no more than it has pieces are woken', () => {
  const {kernels, calls} = pretend({own: 1, work: 1, wait: 0});
  const {pool, start} = poolOf(kernels);
  pool.run({...JOB, pieces: 1});
  expect(start).not.toHaveBeenCalled();
  pool.run({...JOB, pieces: 2});
  pool.run(JOB);
  expect(start.mock.calls).toHaveLength(2);
  expect(calls).toEqual(['run', 'begin 1', 'begin 2']);
});

test('ThreadPool: works alone for a while where waiting for others costs more than they do, and longer each time', () => {
  const {kernels, calls, pass} = pretend({own: 8, work: 1, wait: 1});
  const {pool} = poolOf(kernels);
  const waits = [50, 100, 200];
  for (const wait of waits) {
    for (let i = 0; i < 4; i++) pool.run(JOB);
    calls.length = 0;
    pool.run(JOB);
    pass(wait - 1);
    pool.run(JOB);
    pass(2);
    expect(calls).toEqual(['run', 'run']);
  }
});

test('ThreadPool: goes on sharing where others take their part, though it waits for them', () => {
  const {kernels, calls} = pretend({own: 4, work: 1, wait: 0.5});
  const {pool} = poolOf(kernels);
  for (let i = 0; i < 100; i++) pool.run(JOB);
  expect(calls).toEqual(new Array(100).fill('begin 2'));
});

test('ThreadPool: a thread that failed is an error', () => {
  const {kernels} = pretend({own: 4, work: 1, wait: 0, failed: 1});
  expect(() => poolOf(kernels).pool.run(JOB)).toThrow('a helping thread has failed');
});

test('ThreadPool: a thread that ended by itself is started again', () => {
  const {kernels} = pretend({own: 4, work: 1, wait: 0});
  const ends: (() => void)[] = [];
  const start = jest.fn((_thread: number, ended: () => void) => {
    ends.push(ended);
    return () => undefined;
  });
  const {pool} = poolOf(kernels, start as never);
  pool.run(JOB);
  ends[1]!();
  pool.run(JOB);
  expect(start.mock.calls.map(([thread]) => thread)).toEqual([1, 2, 2]);
});

/** Kernels on a memory of their own that is shared, with threads. */
function real(): {pool: ThreadPool; kernels: Kernels; memory: WebAssembly.Memory; stop: () => void} {
  const module = compileKernels('simd', true)!;
  const memory = new WebAssembly.Memory({initial: 256, maximum: 65_536, shared: true});
  const [job, base] = [2 ** 20, 2 ** 21];
  // A copy, whose functions can be replaced.
  const kernels = {...instantiateKernels(module, memory, base)};
  const pool = new ThreadPool(kernels, memory, job, (thread, ended) =>
    startThread({module, memory, job, thread, stack: base + thread * STACK_BYTES}, ended),
  );
  pool.threads = 2;
  expect(JOB_BYTES).toBeLessThan(2 ** 20);
  return {pool, kernels, memory, stop: () => pool.stop()};
}

test('ThreadPool: helping threads take pieces', async () => {
  const {pool, kernels, memory, stop} = real();
  const begin = jest.spyOn(kernels, 'begin');
  const [x, y, size] = [2 ** 22, 2 ** 23, 2 ** 20];
  new Float32Array(memory.buffer, x, size).fill(1);
  const job: Job = {kernel: 'gelu', pieces: 64, parameters: [x, y, size, size / 64]};
  for (let i = 0; i < 500 && !begin.mock.results.some(({value}) => (value as number) < 64); i++) {
    pool.run(job);
    await sleep(5);
  }
  stop();
  expect(begin.mock.results.some(({value}) => (value as number) < 64)).toBe(true);
  const [gelu, ...others] = new Set(new Float32Array(memory.buffer, y, size));
  expect(others).toEqual([]);
  expect(gelu).toBeCloseTo(0.84134475, 6);
});

test('ThreadPool: a helping thread that reads beyond the heap is an error of the job, not a hang', async () => {
  const {pool, kernels, memory, stop} = real();
  // The calling thread takes no piece, and the helping one meets an address that is not there.
  jest.spyOn(kernels, 'begin').mockImplementation((job) => {
    const words = new Int32Array(memory.buffer, job, 4);
    Atomics.store(words, 2, 0);
    Atomics.store(words, 1, -(2 ** 31));
    Atomics.add(words, 0, 1);
    Atomics.notify(words, 0);
    while (Atomics.load(words, 2) === 0) Atomics.wait(words, 3, 0, 5);
    return 0;
  });
  expect(() => pool.run({...JOB, pieces: 2, parameters: [4e9, 2 ** 22, 64, 32]})).toThrow(
    'a helping thread has failed',
  );
  stop();
});
