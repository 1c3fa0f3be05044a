import type {Milliseconds} from './answer.js';

/** Milliseconds of an answer's parts, between laps. */
export class Clock {
  readonly #start = performance.now();
  #last = this.#start;
  readonly #laps = {preprocess: 0, encode: 0, decode: 0};

  lap(part: 'preprocess' | 'encode' | 'decode'): void {
    const now = performance.now();
    this.#laps[part] += now - this.#last;
    this.#last = now;
  }

  read(): Milliseconds {
    return {...this.#laps, total: this.#last - this.#start};
  }
}
