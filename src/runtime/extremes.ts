// Spreading a list into a call puts every element on the stack, which ends at some 100,000: lists of data, whose length
// nobody knows beforehand, take these instead (eslint.config.mjs refuses the spread).

/** The largest of any number of values; −∞ of none, NaN if one is. */
export function largest(values: Iterable<number>): number {
  let result = -Infinity;
  for (const value of values) result = Math.max(result, value);
  return result;
}

/** The smallest of any number of values; ∞ of none, NaN if one is. */
export function smallest(values: Iterable<number>): number {
  let result = Infinity;
  for (const value of values) result = Math.min(result, value);
  return result;
}

/** Appends any number of items to a list. */
export function append<T>(list: T[], items: Iterable<T>): void {
  for (const item of items) list.push(item);
}
