import {shown} from './check-options.js';
import {UsageError} from './errors.js';

// The arguments of public calls, checked at run time: plain JavaScript, and data behind a type assertion, get an error
// that names the argument instead of one from somewhere within. Types say more than is checked here: a kind looks as
// deep as the call itself reads before it does anything, and never walks long arrays.

/** What does not fit, and where: '' is the argument itself, '.size' its property. */
interface Misfit {
  readonly at: string;
  readonly wanted: string;
  readonly value: unknown;
  readonly hint?: string;
}

/** A kind of argument, as a test: undefined for what is of this kind. */
export type Kind = (value: unknown) => Misfit | undefined;

/** @param wanted how messages go on after "must be" */
export function kind(
  wanted: string,
  fits: (value: unknown) => boolean,
  hint?: (value: unknown) => string | undefined,
): Kind {
  return (value) => (fits(value) ? undefined : {at: '', wanted, value, hint: hint?.(value)});
}

const isObject = (value: unknown): value is object =>
  (typeof value === 'object' && value !== null) || typeof value === 'function';

export const TEXT: Kind = kind('a text', (value) => typeof value === 'string');
export const NUMBER: Kind = kind('a number', (value) => typeof value === 'number');
/** Numbers of things: whole, from 0. */
export const COUNT: Kind = kind('a whole number from 0', (value) => Number.isSafeInteger(value) && Number(value) >= 0);
export const FUNCTION: Kind = kind('a function', (value) => typeof value === 'function');
export const OBJECT: Kind = kind('an object', isObject);
export const LIST: Kind = kind('an array', Array.isArray);
/** What `for await` takes, or `for`. */
export const ROWS: Kind = kind(
  'something to iterate over',
  (value) => isObject(value) && (Symbol.asyncIterator in value || Symbol.iterator in value),
);
/** The name of a file or folder. */
export const PATH: Kind = kind(
  'a path as a text, without a zero character',
  (value) => typeof value === 'string' && !value.includes('\0'),
  (value) => (value instanceof URL ? 'fileURLToPath of node:url makes a path of a file URL.' : undefined),
);

/** @param wanted with its article: 'a Float32Array' */
export function instanceOf(wanted: string, type: abstract new (...args: never[]) => unknown): Kind {
  return kind(wanted, (value) => value instanceof type);
}

/** Coordinates. */
export const VECTOR: Kind = instanceOf('a Float32Array', Float32Array);

/** One of a few words. */
export function oneOf(words: readonly string[]): Kind {
  return kind(`one of ${words.join(', ')}`, (value) => words.some((word) => word === value));
}

/** Of this kind, or left out. */
export function optional(one: Kind): Kind {
  return (value) => (value === undefined ? undefined : one(value));
}

/** An array of which every entry is of this kind. For short ones: labels, not the numbers of a vector. */
export function listOf(one: Kind): Kind {
  return (value) => {
    if (!Array.isArray(value)) return LIST(value);
    for (const [i, entry] of value.entries()) {
      const misfit = one(entry);
      if (misfit) return {...misfit, at: `[${i}]${misfit.at}`};
    }
    return undefined;
  };
}

/** An object with at least these properties. */
export function fields(kinds: Readonly<Record<string, Kind>>): Kind {
  return (value) => {
    if (!isObject(value)) return OBJECT(value);
    for (const [name, one] of Object.entries(kinds)) {
      const misfit = one((value as Readonly<Record<string, unknown>>)[name]);
      if (misfit) return {...misfit, at: `.${name}${misfit.at}`};
    }
    return undefined;
  };
}

/**
 * Checks what a public call was given.
 * @param call        its name in messages
 * @param given       the arguments, by their names in messages
 * @throws            UsageError `argument-invalid`, which names the first that does not fit
 */
export function checkArguments(
  call: string,
  given: Readonly<Record<string, readonly [value: unknown, kind: Kind]>>,
): void {
  for (const [name, [value, one]] of Object.entries(given)) {
    const misfit = one(value);
    if (misfit)
      throw new UsageError(
        'argument-invalid',
        `${call}: ${name}${misfit.at} must be ${misfit.wanted}, not ${shown(misfit.value)}`,
        {hint: misfit.hint},
      );
  }
}
