import {MueError} from '../../runtime/errors.js';

/**
 * Reports an error that ends the command: one line, its hint, never a stack trace (unless MUE_DEBUG is set).
 * @returns the exit code for it
 */
export function fail(error: unknown): number {
  process.stderr.write(describeError(error));
  if (process.env.MUE_DEBUG && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
  return error instanceof MueError ? error.exitCode : 1;
}

/** The error for people, ending in a line break. */
export function describeError(error: unknown): string {
  const {code, message} = errorRecord(error);
  const hint =
    error instanceof MueError
      ? error.hint
      : 'This is unexpected: please report it. MUE_DEBUG=1 shows where it happened.';
  return `error [${code}]: ${message}\n${hint === undefined ? '' : `  → ${hint}\n`}`;
}

/** The error for programs. */
export function errorRecord(error: unknown): {readonly code: string; readonly message: string} {
  if (error instanceof MueError) return {code: error.code, message: error.message};
  const message = error instanceof Error ? error.message : String(error);
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  // File system errors have a name of their own: ENOSPC, EACCES, …
  return {code: typeof code === 'string' ? code : 'unexpected', message: message.split('\n')[0] ?? ''};
}
