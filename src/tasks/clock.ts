import type {Milliseconds} from './answer.js';

/** Milliseconds of an answer's parts, between laps, shared by the pictures of a batch. */
export class Clock {
  readonly #start = performance.now();
  #last = this.#start;
  readonly #laps = {preprocess: 0, encode: 0, decode: 0};

  constructor(private readonly pictures = 1) {}

  lap(part: 'preprocess' | 'encode' | 'decode'): void {
    const now = performance.now();
    this.#laps[part] += (now - this.#last) / this.pictures;
    this.#last = now;
  }

  read(): Milliseconds {
    return {...this.#laps, total: (this.#last - this.#start) / this.pictures};
  }
}
