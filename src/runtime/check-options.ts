import {UsageError} from './errors.js';

// Checks on calls that TypeScript makes for its users: plain JavaScript gets the same words, at run time.

/** A value as messages show it. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 60 ? `${value.slice(0, 60)}…` : value}'`;
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  const name = value.constructor?.name;
  return name && name !== 'Object' ? `an object of class ${name}` : 'an object';
}

/** @throws UsageError for an option that the call does not have */
export function checkOptions(options: unknown, known: readonly string[], call: string): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new UsageError('options-invalid', `${call}: the options must be an object, not ${shown(options)}`);
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const near = known.find((other) => distance(name, other) <= 2);
    throw new UsageError('option-unknown', `${call}: there is no option '${name}'`, {
      hint: near ? `Did you mean ${near}?` : `The options are ${known.join(', ')}.`,
    });
  }
}

/** @throws UsageError for what is no text */
export function checkText(value: unknown, what: string): asserts value is string {
  if (typeof value !== 'string')
    throw new UsageError('text-invalid', `the ${what} must be a text, not ${shown(value)}`);
}

/** Edits between two words (Levenshtein), case apart. */
function distance(a: string, b: string): number {
  const [from, to] = [a.toLowerCase(), b.toLowerCase()];
  let row = Array.from({length: to.length + 1}, (_, j) => j);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + Number(from[i - 1] !== to[j - 1]));
    row = next;
  }
  return row[to.length]!;
}
