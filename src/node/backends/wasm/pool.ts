import type {Kernels} from './modules.js';

// Jobs of kernels/kernels.c, by one thread or several. Nothing here knows the platform.

/** The numbers of kernels/kernels.c. */
const KERNELS = [
  ...(['product', 'few_rows', 'convolution', 'attend', 'attend_once', 'layer_norm', 'gelu', 'pack'] as const),
  ...(['append', 'combine'] as const),
];

export type KernelName = (typeof KERNELS)[number];

export interface Job {
  readonly kernel: KernelName;
  /** Parts that threads take one after another. */
  readonly pieces: number;
  /** Addresses and sizes in the order of kernels/kernels.c, at most 24. */
  readonly parameters: readonly number[];
  /** Memory of the first thread, and how many bytes each has of it. */
  readonly scratch?: {readonly address: number; readonly bytes: number};
}

/** Words before the parameters of a job, and where those that are written from here begin. */
const HEAD_WORDS = 8;
const FIRST_WRITTEN = 4;
export const JOB_BYTES = 4 * (HEAD_WORDS + 24);

/** Milliseconds that helpers may have cost before they are left asleep for a while. */
const MOST_LOST = 4;
/** The most milliseconds of past gain that count against a loss. */
const MOST_GAINED = 8;
/** Milliseconds for which they sleep then, at first and at most. */
const PAUSE = 50;
const LONGEST_PAUSE = 3_200;

/**
 * Starts the helping thread of a number, from 1 on.
 * @param ended called when it has ended by itself
 * @returns ends it
 */
export type StartThread = (thread: number, ended: () => void) => () => void;

/**
 * Threads that share the jobs of a heap with the thread that calls. They start with a job of several pieces, sleep
 * between jobs, and end when none has come for seconds. The caller works, too, and takes every piece that nobody else has taken; it waits for pieces that
 * others are at, and keeps account of what they gain and what the waiting costs: where other programs hold the cores,
 * it works alone for a while.
 */
export class ThreadPool {
  readonly #kernels: Kernels;
  readonly #memory: WebAssembly.Memory;
  readonly #address: number;
  readonly #start: StartThread | undefined;
  #words: Uint32Array;
  #helpers = 0;
  readonly #running = new Map<number, () => void>();
  #balance = 0;
  #pause = PAUSE;
  #alone = 0;

  /**
   * @param address of JOB_BYTES that are the pool's, zeros, a multiple of 4
   * @param start   absent where there shall be one thread
   */
  constructor(kernels: Kernels, memory: WebAssembly.Memory, address: number, start?: StartThread) {
    this.#kernels = kernels;
    this.#memory = memory;
    this.#address = address;
    this.#start = start;
    this.#words = new Uint32Array(memory.buffer, address, JOB_BYTES / 4);
  }

  /** Threads that a job may use, the caller's included. */
  get threads(): number {
    return this.#helpers + 1;
  }

  set threads(count: number) {
    this.#helpers = this.#start ? count - 1 : 0;
  }

  /**
   * Runs a job to its end.
   * @throws Error where a helping thread failed
   */
  run({kernel, pieces, parameters, scratch}: Job): void {
    // A memory that grows has another buffer.
    if (this.#words.buffer !== this.#memory.buffer)
      this.#words = new Uint32Array(this.#memory.buffer, this.#address, JOB_BYTES / 4);
    const words = this.#words;
    words[FIRST_WRITTEN] = KERNELS.indexOf(kernel);
    words[FIRST_WRITTEN + 1] = pieces;
    words[FIRST_WRITTEN + 2] = scratch?.address ?? 0;
    words[FIRST_WRITTEN + 3] = scratch?.bytes ?? 0;
    for (let i = 0; i < parameters.length; i++) words[HEAD_WORDS + i] = parameters[i]!;
    const helpers = Math.min(this.#helpers, pieces - 1);
    if (helpers > 0) this.#share(helpers, pieces);
    else this.#kernels.run(this.#address);
  }

  /** Ends the threads; the next job of several pieces starts others. */
  stop(): void {
    for (const stop of this.#running.values()) stop();
    this.#running.clear();
  }

  #share(helpers: number, pieces: number): void {
    if (this.#running.size < this.#helpers) this.#startMissing();
    const began = performance.now();
    if (began < this.#alone) {
      this.#kernels.run(this.#address);
      return;
    }
    const own = Math.max(1, this.#kernels.begin(this.#address, helpers));
    const worked = performance.now();
    const failed = this.#kernels.end(this.#address);
    const ended = performance.now();
    if (failed) throw new Error('wasm: a helping thread has failed');
    this.#account(((worked - began) * (pieces - own)) / own - (ended - worked), ended);
  }

  #startMissing(): void {
    for (let thread = 1; thread <= this.#helpers; thread++) {
      if (this.#running.has(thread)) continue;
      this.#running.set(
        thread,
        this.#start!(thread, () => this.#running.delete(thread)),
      );
    }
  }

  /** @param gained milliseconds that the pieces of others would have taken, less those of waiting for them */
  #account(gained: number, now: number): void {
    this.#balance = Math.min(this.#balance + gained, MOST_GAINED);
    if (this.#balance === MOST_GAINED) this.#pause = PAUSE;
    if (this.#balance > -MOST_LOST) return;
    this.#balance = 0;
    this.#alone = now + this.#pause;
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
  }
}
