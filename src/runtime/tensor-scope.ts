import './dispose-symbol.js';
import type {Tensor} from '@tensorflow/tfjs';

/**
 * Ownership of tensors across awaits. An async function opens exactly one, in its first line:
 *
 *     using scope = new TensorScope();
 *     const x = scope.hold(tf.add(a, b));   // disposed when the function ends, also by an exception
 *     scope.drop(x);                        // or earlier
 *     return scope.give(y);                 // the caller owns y now
 *
 * (`tf.tidy` would dispose what a Promise returns, and `engine().startScope` breaks when two calls overlap.)
 */
export class TensorScope implements Disposable {
  readonly #held = new Set<Disposable | Tensor>();

  hold<T extends Disposable | Tensor>(x: T): T {
    this.#held.add(x);
    return x;
  }

  /** Disposes a held value now. */
  drop(x: Disposable | Tensor): void {
    if (this.#held.delete(x)) release(x);
  }

  /** Hands a held value to the caller. */
  give<T extends Disposable | Tensor>(x: T): T {
    this.#held.delete(x);
    return x;
  }

  /** Holds `next` in place of `previous`, which is disposed. */
  replace<T extends Disposable | Tensor>(previous: T, next: T): T {
    this.drop(previous);
    return this.hold(next);
  }

  [Symbol.dispose](): void {
    for (const x of this.#held) release(x);
    this.#held.clear();
  }
}

function release(x: Disposable | Tensor): void {
  if ('dataId' in x) x.dispose();
  else x[Symbol.dispose]();
}
