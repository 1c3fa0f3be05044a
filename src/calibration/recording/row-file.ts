import type {z} from 'zod';
import {InputError} from '../../runtime/errors.js';

// Files of rows that come from anywhere: a header that names their format, then a row on each line.

/** Whether a header says that its file is of this format. */
export function hasFormat(header: unknown, format: string): boolean {
  return typeof header === 'object' && header !== null && 'format' in header && header.format === format;
}

/**
 * The header of a file.
 * @param what the file should be, for the message
 * @throws InputError `recording-invalid`
 */
export function checkedHeader<T>(schema: z.ZodType<T>, header: unknown, source: string, what: string): T {
  const head = schema.safeParse(header);
  if (head.success) return head.data;
  throw new InputError('recording-invalid', `${source} ${what} of this version: ${firstIssue(head.error)}`);
}

/**
 * A row of a file.
 * @param fail throws an error that names the row
 */
export function checkedRow<T>(schema: z.ZodType<T>, row: unknown, fail: (why: string) => never): T {
  const parsed = schema.safeParse(row);
  return parsed.success ? parsed.data : fail(firstIssue(parsed.error));
}

/** Throws the error of a corrupt row. @param index of the row, from 0 */
export function corruptRow(source: string, index: number): (why: string) => never {
  return (why) => {
    throw new InputError('recording-corrupt', `${source}: row ${index + 1}: ${why}`);
  };
}

/** Values of a row, if they are as many as wanted and all numbers. @param fail throws an error that names the row */
export function checkedNumbers<T extends ArrayLike<number>>(
  values: T,
  size: number,
  what: string,
  fail: (why: string) => never,
): T {
  if (values.length !== size) fail(`${what}: ${values.length} numbers, wanted ${size}`);
  for (let j = 0; j < size; j++) if (Number.isNaN(values[j])) fail(`${what}: not a number`);
  return values;
}

function firstIssue({issues}: z.ZodError): string {
  return `${issues[0]?.path.join('.')}: ${issues[0]?.message}`;
}
