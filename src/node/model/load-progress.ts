import type {RandomAccess} from '../../checkpoint/random-access.js';
import {throwIfAborted} from '../../runtime/errors.js';

/** A step of `loadModel`. The names are transformers.js'. */
export type LoadProgress =
  /** A file of weights was opened, is read, and was read to its end. */
  | {readonly status: 'initiate' | 'done'; readonly name: string; readonly file: string}
  | {
      readonly status: 'progress';
      /** The model: what `loadModel` was given, a folder or the name of a shipped model. */
      readonly name: string;
      readonly file: string;
      /** Bytes. */
      readonly loaded: number;
      readonly total: number;
      /** Per cent. */
      readonly progress: number;
    }
  /** The model answers. */
  | {readonly status: 'ready'; readonly name: string};

/** Reports how far the files of one model are read, and ends reading when a signal fires. */
export class LoadReporter {
  /** Bytes read of each file. */
  readonly #read = new Map<string, number>();

  constructor(
    private readonly model: string,
    private readonly report: (event: LoadProgress) => void = () => {},
    private readonly signal?: AbortSignal,
  ) {}

  /** @throws AbortError if the signal has fired */
  check(): void {
    throwIfAborted(this.signal);
  }

  /** @param file which the result closes. Its reads throw AbortError once the signal has fired. */
  watch(file: RandomAccess & Disposable): RandomAccess & Disposable {
    const {name, size: total} = file;
    this.#read.set(name, 0);
    this.report({status: 'initiate', name: this.model, file: name});
    return {
      name,
      size: total,
      read: async (offset, length) => {
        this.check();
        const bytes = await file.read(offset, length);
        // A part that is read again is no progress.
        const loaded = Math.min(total, this.#read.get(name)! + length);
        this.#read.set(name, loaded);
        this.report({
          status: 'progress',
          name: this.model,
          file: name,
          loaded,
          total,
          progress: (100 * loaded) / total,
        });
        return bytes;
      },
      [Symbol.dispose]: () => file[Symbol.dispose](),
    };
  }

  /** All is there. @throws AbortError if the signal has fired */
  ready(): void {
    this.check();
    for (const file of this.#read.keys()) this.report({status: 'done', name: this.model, file});
    this.report({status: 'ready', name: this.model});
  }
}
