import type {BenchResult, Row} from './result-file.js';

/** A number in the form of tables: three digits, or all before the point. */
export function figure(x: number): string {
  if (!Number.isFinite(x)) return '–';
  return Math.abs(x) >= 100
    ? x.toFixed(0)
    : Math.abs(x) >= 10
      ? x.toFixed(1)
      : Math.abs(x) >= 0.1
        ? x.toFixed(2)
        : x.toPrecision(2);
}

/**
 * Columns of text, the first to the left, the others to the right.
 * @param rows the head first
 */
export function textTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** A table in Markdown, the first column to the left, the others to the right. */
export function markdownTable(rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const [head = [], ...body] = rows;
  return [
    line(head),
    `|${head.map((_, column) => (column === 0 ? '---|' : '---:|')).join('')}`,
    ...body.map(line),
  ].join('\n');
}

/** The origin of figures in one line. */
export function provenance({machine, device, backend, threads, date}: BenchResult): string {
  const {cpu, cores, node, load} = machine;
  const count = threads === undefined ? '' : `, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
  return `${device} (${backend}${count}), ${cores} × ${cpu}, Node ${node}, ${date.slice(0, 10)}, load average ${load[0]} before, ${load[1]} after`;
}

/** The rows of a result as cells, the head first. GMAC/s is there only where rows have MACs. */
export function resultCells(rows: readonly Row[]): string[][] {
  const rates = rows.some(({macs}) => macs !== undefined);
  const notes = rows.some(({note}) => note !== undefined);
  const cpu = rows.some((row) => row.cpu !== undefined);
  const head = [
    '',
    'median',
    'p10 – p90',
    ...(cpu ? ['CPU'] : []),
    'unit',
    'n',
    ...(rates ? ['GMAC', 'GMAC/s'] : []),
    ...(notes ? ['note'] : []),
  ];
  return [
    head,
    ...rows.map((row) => [
      row.name,
      figure(row.median),
      `${figure(row.p10)} – ${figure(row.p90)}`,
      ...(cpu ? [row.cpu === undefined ? '' : figure(row.cpu)] : []),
      row.unit,
      String(row.n),
      ...(rates ? rate(row) : []),
      ...(notes ? [row.note ?? ''] : []),
    ]),
  ];
}

const PER_SECOND: Readonly<Record<Row['unit'], number>> = {
  ms: 1e-3,
  µs: 1e-6,
  s: 1,
  MiB: Number.NaN,
  tensors: Number.NaN,
};

function rate({macs, median, unit}: Row): [string, string] {
  return macs === undefined ? ['', ''] : [figure(macs / 1e9), figure(macs / 1e9 / (median * PER_SECOND[unit]))];
}

/** A whole result for a terminal, a table for each group. */
export function formatTables(result: BenchResult): string {
  const groups = [...new Set(result.rows.map(({group}) => group))];
  const tables = groups.map((group) => {
    const [head = [], ...rows] = resultCells(result.rows.filter((row) => row.group === group));
    return textTable([[group, ...head.slice(1)], ...rows]);
  });
  return `${provenance(result)}\n\n${tables.join('\n\n')}\n`;
}
