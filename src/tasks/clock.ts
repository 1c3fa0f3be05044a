import type {Milliseconds} from './answer.js';

/** Milliseconds between laps, shared by the pictures of a batch. */
export class Clock {
  readonly #start = performance.now();
  #last = this.#start;
  readonly #laps = {preprocess: 0, encode: 0, decode: 0};

  constructor(private readonly pictures: number) {}

  lap(part: 'preprocess' | 'encode' | 'decode'): void {
    const now = performance.now();
    this.#laps[part] += (now - this.#last) / this.pictures;
    this.#last = now;
  }

  read(): Milliseconds {
    return {...this.#laps, total: (this.#last - this.#start) / this.pictures};
  }
}
