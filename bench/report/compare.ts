import type {BenchResult, Row} from './result-file.js';
import {figure, textTable} from './table.js';

/** Two measurements of one thing. */
export interface Comparison {
  readonly group: string;
  readonly name: string;
  readonly before: Row;
  readonly after: Row;
  /** The median after, divided by the median before. */
  readonly ratio: number;
  /** Whether the ranges p10 … p90 do not touch: a difference that a repetition would show again. */
  readonly clear: boolean;
}

/** The things that both results measured, in the order of the first. */
export function compareResults(before: BenchResult, after: BenchResult): Comparison[] {
  const key = ({group, name, unit}: Row): string => `${group}\n${name}\n${unit}`;
  const later = new Map(after.rows.map((row) => [key(row), row]));
  return before.rows.flatMap((row) => {
    const other = later.get(key(row));
    if (!other) return [];
    const clear = other.p90 < row.p10 || other.p10 > row.p90;
    return [{group: row.group, name: row.name, before: row, after: other, ratio: other.median / row.median, clear}];
  });
}

/** A table of ratios; those within the spread are marked with ≈. */
export function formatComparison(comparisons: readonly Comparison[]): string {
  const lines = comparisons.map(({group, name, before, after, ratio, clear}) => [
    `${group}: ${name}`,
    figure(before.median),
    figure(after.median),
    before.unit,
    `${clear ? '' : '≈ '}${ratio.toFixed(2)}`,
  ]);
  return `${textTable([['', 'before', 'after', 'unit', 'after / before'], ...lines])}\n\n≈: the ranges p10 – p90 overlap, the difference is within the spread.\n`;
}
