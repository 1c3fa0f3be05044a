/**
 * Every error that this package raises on purpose. A `code` that programs may test, a message that says what, where,
 * wanted and got, and a hint that says what to try. `exitCode` is what the command line returns for it.
 */
export abstract class MueError extends Error {
  abstract readonly exitCode: 1 | 2 | 3 | 4 | 130;
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: {hint?: string; cause?: unknown} = {}) {
    super(message, options.cause === undefined ? undefined : {cause: options.cause});
    this.name = new.target.name;
    this.code = code;
    this.hint = options.hint;
  }
}

/** One input (a picture, a text, a row) cannot be used; others may be. Exit code 1, or 5 where others succeeded. */
export class InputError extends MueError {
  readonly exitCode = 1;
}

/** A request that makes no sense: an unknown option, a threshold of NaN, a plan that is no plan. Exit code 2. */
export class UsageError extends MueError {
  readonly exitCode = 2;
}

/** A checkpoint or model folder is missing, damaged, or not what its configuration says. Exit code 3. */
export class WeightsError extends MueError {
  readonly exitCode = 3;
}

/** A tensor backend is unknown or cannot run here. Exit code 4. */
export class BackendError extends MueError {
  readonly exitCode = 4;
}

/** The caller's AbortSignal fired, or the process was interrupted. Exit code 130. */
export class AbortError extends MueError {
  readonly exitCode = 130;
  /** @param reason of the signal, kept as `cause` */
  constructor(reason?: unknown) {
    super('aborted', 'interrupted', {cause: reason});
  }
}

/** @throws AbortError if the signal has fired. Called between layers, so that an abort takes effect within one. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw signal.reason instanceof AbortError ? signal.reason : new AbortError(signal.reason);
}
