import {styleText} from 'node:util';
import {AbortError, BackendError, MueError, UsageError, WeightsError} from '../../runtime/errors.js';
import {visible} from '../../text/visible.js';

/**
 * Reports an error that ends the command: one line, its hint, never a stack trace (unless MUE_DEBUG is set).
 * @param write where to; default: stderr of the process
 * @param colour whether it may be coloured
 * @returns the exit code for it
 */
export function fail(
  error: unknown,
  write: (text: string) => void = (text) => process.stderr.write(text),
  colour = false,
): number {
  write(painted(visible(describeError(error)), colour));
  if (process.env.MUE_DEBUG && error instanceof Error) write(`${error.stack ?? ''}\n`);
  return error instanceof MueError ? error.exitCode : 1;
}

/** An error's lines with its kind in red and its hint in bold. */
export function painted(text: string, colour = false): string {
  if (!colour) return text;
  const style = {validateStream: false};
  return text
    .replace(/^error \[[^\]\n]*\]/, (kind) => styleText('red', kind, style))
    .replace(/^ {2}→ .*$/m, (hint) => styleText('bold', hint, style));
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
  // The system's own name stays in the message: "ENOSPC: no space left on device, write".
  const fromSystem = typeof code === 'string' && /^E[A-Z0-9]+$/.test(code);
  return {code: fromSystem ? 'system' : 'unexpected', message: message.split('\n')[0] ?? ''};
}

/** Whether every further input would meet the error, too: then the command ends with it. */
export function isFatal(error: unknown): boolean {
  return (
    error instanceof AbortError ||
    error instanceof UsageError ||
    error instanceof WeightsError ||
    error instanceof BackendError
  );
}

/** Exit code of a command that went on where inputs failed: 0 if none did, 1 if nothing was done, else 5. */
export function exitCodeOf({done, failed}: {readonly done: number; readonly failed: number}): number {
  if (failed === 0) return 0;
  return done === 0 ? 1 : 5;
}
