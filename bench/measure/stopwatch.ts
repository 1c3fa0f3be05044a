/** The names of an object's methods. */
export type MethodName<T> = {[K in keyof T]: T[K] extends (...args: never[]) => unknown ? K : never}[keyof T] & string;

/**
 * Measures where the time of a call goes: methods of live objects are shadowed by timed ones. Parts nest; each gets the
 * time that none of the parts inside it took, so that they add up to the whole.
 */
export class Stopwatch {
  readonly #times = new Map<string, number>();
  readonly #counts = new Map<string, number>();
  /** The time already given to parts inside each open part. */
  readonly #inner: number[] = [];
  readonly #settle: (result: unknown) => void;
  readonly #now: () => number;

  /**
   * @param settle waits until a result is computed, on a device that works by itself
   * @param now    reads the clock, in milliseconds
   */
  constructor(settle: (result: unknown) => void = () => {}, now: () => number = () => performance.now()) {
    this.#settle = settle;
    this.#now = now;
  }

  /**
   * Puts a timed method before an object's own. The method may be async; calls must not overlap.
   * @throws TypeError if the object has no such method
   */
  watch<T extends object>(object: T, method: MethodName<T>, part: string): void {
    const original: unknown = object[method];
    if (typeof original !== 'function') throw new TypeError(`there is no method ${method} to watch for '${part}'`);
    const timed = (...args: unknown[]): unknown => this.time(part, () => Reflect.apply(original, object, args));
    Object.defineProperty(object, method, {value: timed, configurable: true, writable: true});
  }

  /**
   * Gives the time of a call to a part.
   * @returns the value of `run`
   */
  time<T>(part: string, run: () => T): T {
    const began = this.#now();
    this.#inner.push(0);
    const stop = (result: unknown): void => {
      this.#settle(result);
      const whole = this.#now() - began;
      const own = whole - this.#inner.pop()!;
      this.#times.set(part, (this.#times.get(part) ?? 0) + own);
      this.#counts.set(part, (this.#counts.get(part) ?? 0) + 1);
      if (this.#inner.length > 0) this.#inner[this.#inner.length - 1]! += whole;
    };
    const result = run();
    if (!(result instanceof Promise)) {
      stop(result);
      return result;
    }
    return result.then((value: unknown) => {
      stop(value);
      return value;
    }) as T;
  }

  /** The milliseconds and the number of calls by part, since the last call of `take`. */
  take(): {readonly ms: Record<string, number>; readonly counts: Record<string, number>} {
    const taken = {ms: Object.fromEntries(this.#times), counts: Object.fromEntries(this.#counts)};
    this.#times.clear();
    this.#counts.clear();
    return taken;
  }
}
