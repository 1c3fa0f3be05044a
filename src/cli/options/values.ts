import {InvalidArgumentError} from '@commander-js/extra-typings';
import {STACK_NAMES, type StackName} from '../../exit/policy.js';
import {UsageError} from '../../runtime/errors.js';

/** Parser of an option that takes a whole number from `least`. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (!Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`It must be a whole number from ${least}.`);
    return value;
  };
}

/** Parser of a number of threads; undefined is auto, which is what leaving the option out means. */
export function threadCount(text: string): number | undefined {
  return text === 'auto' ? undefined : wholeNumber(1)(text);
}

/** Parser of an option that takes any finite number. */
export function finiteNumber(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

/** A number above 0 and below 1. */
export function share(text: string): number {
  const value = finiteNumber(text);
  if (!(value > 0 && value < 1)) throw new InvalidArgumentError('It must be above 0 and below 1.');
  return value;
}

/** Parser of an exit threshold. The parser throws UsageError `threshold-invalid`. */
export function threshold(flag: string): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (Number.isFinite(value)) return value;
    throw new UsageError('threshold-invalid', `${flag}: an exit threshold must be a number, not '${text}'`, {
      hint: 'Leave the option out for never; 1 or more is never, too.',
    });
  };
}

export type StackThresholds = Readonly<Partial<Record<StackName, number>>>;

/**
 * Parser of thresholds by stack, `vision=0.9,multimodal=0.8`; the option may be given again. Whether the model has the
 * stacks is not known here. The parser throws UsageError `threshold-invalid`.
 */
export function stackThresholds(flag: string): (text: string, before?: StackThresholds) => StackThresholds {
  const fail = (why: string): never => {
    throw new UsageError('threshold-invalid', `${flag}: ${why}`, {hint: 'Wanted is stack=number, stack=number, …'});
  };
  return (text, before = {}) => {
    const found: Partial<Record<StackName, number>> = {...before};
    for (const part of text.split(',')) {
      const [name, value, ...more] = part.split('=').map((piece) => piece.trim());
      const stack = STACK_NAMES.find((known) => known === name);
      if (value === undefined || more.length > 0) fail(`'${part}' is no stack=number`);
      else if (stack === undefined) fail(`there is no stack '${name}'; models have ${STACK_NAMES.join(', ')}`);
      else if (found[stack] !== undefined) fail(`'${stack}' is given twice`);
      else found[stack] = threshold(`${flag} ${stack}`)(value);
    }
    return found;
  };
}

/**
 * Parser of an option that may be given again: an option that takes several values at once would swallow the arguments
 * that follow.
 */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
