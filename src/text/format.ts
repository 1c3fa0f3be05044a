// Numbers as people read them. A fraction is a number of [0, 1], shown in percent.

/** A fraction with a fixed number of decimals: 0.12345 is `12.35 %`. */
export function percent(fraction: number, decimals = 2): string {
  return `${(100 * fraction).toFixed(decimals)} %`;
}

/** A fraction with at most so many significant digits, and no trailing zeros: 0.05 is `5 %`. */
export function shortPercent(fraction: number, digits = 4): string {
  return `${significant(100 * fraction, digits)} %`;
}

/** A difference of two fractions in percentage points, with its sign: −0.0123 is `−1.23`. */
export function signedPoints(difference: number): string {
  return `${difference < 0 ? '−' : '+'}${Math.abs(100 * difference).toFixed(2)}`;
}

/** Billions (multiply-accumulates, mostly), without a unit: 1.5e9 is `1.50`. */
export function giga(count: number, decimals = 2): string {
  return (count / 1e9).toFixed(decimals);
}

/** A number with at most so many significant digits, and no trailing zeros: 0.12000 is `0.12`. */
export function significant(value: number, digits: number): string {
  return String(Number(value.toPrecision(digits)));
}

/** A formatted number, or a dash where it is unknown or could not be computed. */
export function orDash(value: number | null | undefined, format: (value: number) => string): string {
  return value === null || value === undefined || !Number.isFinite(value) ? '–' : format(value);
}

/** A line of a text table: cells padded to the widths of their columns, two spaces between; the last one as it is. */
export function tableLine(cells: readonly string[], widths: readonly number[]): string {
  return cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
}

/** A line of CSV, for cells that need no quotes. */
export function csvLine(cells: readonly string[]): string {
  return `${cells.join(',')}\n`;
}
