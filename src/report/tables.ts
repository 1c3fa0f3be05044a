import type {SweepFile} from '../calibration/sweep/file.js';
import {escapeHtml} from '../charts/html-page.js';
import type {ExitPlan} from '../exit/plan/schema.js';
import {orDash, percent, signedPoints, significant} from '../text/format.js';
import type {DifficultyChart} from './charts.js';
import {costOf, isFull, type ReportPoint} from './points.js';

// Tables of a report, as HTML.

/**
 * Fraction of the full model's quality that the comparison asks for: MuE's claims (docs/reference/early-exit.md E).
 */
export function wantedRetention(task: string): number {
  return task === 'caption' ? 0.96 : 0.99;
}

const share = (fraction: number | null, decimals = 1): string => orDash(fraction, (x) => percent(x, decimals));

/**
 * Rows of cells: text, never markup.
 * @param head names of the columns, each with whether it holds numbers: they are aligned to the right
 */
function table(head: readonly (readonly [string, boolean])[], rows: readonly (readonly string[])[]): string {
  const kind = (column: number): string => (head[column]?.[1] ? ' class="n"' : '');
  const names = head.map(([name], c) => `<th scope="col"${kind(c)}>${escapeHtml(name)}</th>`).join('');
  const lines = rows.map(
    (row) => `<tr>${row.map((text, c) => `<td${kind(c)}>${escapeHtml(text)}</td>`).join('')}</tr>`,
  );
  return `<div class="scroll"><table><thead><tr>${names}</tr></thead><tbody>${lines.join('\n')}</tbody></table></div>`;
}

function qualityText({quality, metric}: ReportPoint): string {
  return quality === null ? '–' : metric === 'accuracy' ? share(quality, 2) : quality.toFixed(4);
}

/** Layers, MACs and time saved always stand side by side. */
function savings(point: ReportPoint, fullMs: number | null): string[] {
  const {layers, depth, etr, macs, macsFull, p50} = point;
  const saved = (run: number | null, full: number | null): string =>
    run === null || full === null ? '–' : share(1 - run / full);
  return [
    layers === null ? '–' : `${layers.toFixed(2)}${depth === null ? '' : ` of ${depth.toFixed(0)}`}`,
    etr === null ? saved(layers, depth) : share(etr),
    saved(macs, macsFull),
    saved(p50, fullMs),
  ];
}

const SAVINGS = [
  ['layers', true],
  ['layers saved', true],
  ['MACs saved', true],
  ['time saved', true],
] as const;

function fullMs(points: readonly ReportPoint[]): number | null {
  return points.find((point) => isFull(point) && point.p50 !== null)?.p50 ?? null;
}

/** Each policy's cheapest settings that keep enough of the full model's quality. */
export function policyTable(task: string, points: readonly ReportPoint[]): string {
  const wanted = wantedRetention(task);
  const ms = fullMs(points);
  const policies = [...new Set(points.filter((point) => !isFull(point)).map(({policy}) => policy))];
  const rows = policies.flatMap((policy) => {
    const of = points.filter((point) => point.policy === policy && point.quality !== null && !isFull(point));
    if (of.length === 0) return [];
    const enough = of.filter(({retention}) => retention !== null && retention >= wanted);
    const cheapest = (cost: 'layers' | 'macs'): ReportPoint | undefined =>
      enough
        .filter((point) => Number.isFinite(costOf(point, cost)))
        .reduce<ReportPoint | undefined>(
          (best, point) => (best && !better(point, best, cost) ? best : point),
          undefined,
        );
    const best = of.reduce((a, b) => (b.quality! > a.quality! ? b : a));
    const [layers, macs] = [cheapest('layers'), cheapest('macs')];
    const row = (aim: string, point: ReportPoint): string[] => [
      policy,
      String(of.length),
      qualityText(best),
      aim,
      qualityText(point),
      share(point.retention),
      ...savings(point, ms),
      point.setting || '–',
    ];
    if (!layers && !macs)
      return [[policy, String(of.length), qualityText(best), 'none keeps enough', '–', '–', '–', '–', '–', '–', '–']];
    if (layers && layers === macs) return [row('fewest of both', layers)];
    return [...(layers ? [row('fewest layers', layers)] : []), ...(macs ? [row('fewest MACs', macs)] : [])];
  });
  return table(
    [
      ['policy', false],
      ['settings', true],
      [`best ${points[0]?.metric ?? ''}`, true],
      [`at ≥ ${share(wanted, 0)} of full`, false],
      [points[0]?.metric ?? 'quality', true],
      ['of full', true],
      ...SAVINGS,
      ['thresholds', false],
    ],
    rows,
  );
}

/** Cheaper, or as cheap and better. */
function better(a: ReportPoint, b: ReportPoint, cost: 'layers' | 'macs'): boolean {
  const [x, y] = [costOf(a, cost), costOf(b, cost)];
  return x < y || (x === y && a.quality! > b.quality!);
}

/** Every evaluated run. */
export function runTable(points: readonly ReportPoint[]): string {
  const runs = points.filter(({kind}) => kind === 'evaluation');
  if (runs.length === 0) return '';
  const ms = fullMs(points);
  const metrics = [...new Set(runs.flatMap((run) => Object.keys(run.metrics)))];
  const stacks = [...new Set(runs.flatMap((run) => Object.keys(run.stacks)))];
  const time = (x: number | null): string => (x === null ? '–' : x.toFixed(1));
  return table(
    [
      ['run', false],
      ['policy', false],
      ['rows', true],
      ...metrics.map((name) => [name, true] as const),
      ['of full', true],
      ...stacks.map((name) => [name, true] as const),
      ...SAVINGS,
      ['ms, median', true],
      ['ms, 90 %', true],
    ],
    runs.map((run) => [
      run.source,
      run.setting === '' ? run.policy : `${run.policy}: ${run.setting}`,
      String(run.n ?? '–'),
      ...metrics.map((name) =>
        name in run.metrics
          ? name === 'accuracy'
            ? share(run.metrics[name]!, 2)
            : run.metrics[name]!.toFixed(4)
          : '–',
      ),
      share(run.retention),
      ...stacks.map((name) => run.stacks[name]?.toFixed(2) ?? '–'),
      ...savings(run, ms),
      time(run.p50),
      time(run.p90),
    ]),
  );
}

/** Quality and savings of each policy's chosen point, with confidence. */
export function verdictTable({verdicts}: SweepFile): string {
  const bound = ({estimate, lowerBound}: {readonly estimate: number; readonly lowerBound: number}): string =>
    `${share(estimate)} (≥ ${share(lowerBound)})`;
  return table(
    [
      ['policy', false],
      ['cheapest in', false],
      ['claim', true],
      ['verdict', false],
      ['retention', true],
      ['layers saved', true],
      ['MACs saved', true],
      ['gain over static at equal cost, points', false],
      ['thresholds', false],
    ],
    verdicts.map(({policy, cost, claim, measure, holds, retention, saving, gain, setting}) => [
      policy,
      cost === 'macs' ? 'MACs' : cost,
      `${measure === undefined ? '' : `${measure} `}≥ ${share(claim)}`,
      holds ? 'holds' : 'FAILS',
      bound(retention),
      bound(saving.layers),
      bound(saving.macs),
      gain === null
        ? 'no static depth is as cheap'
        : `${signedPoints(gain.estimate)} [${signedPoints(gain.low)}, ${signedPoints(gain.high)}]`,
      setting,
    ]),
  );
}

/** Spearman's ρ between difficulty and layers, a row for each stack. */
export function correlationTable({field, correlations}: DifficultyChart): string {
  const number = (x: number): string => orDash(x, (value) => value.toFixed(3));
  return table(
    [
      [`ρ with ${field}`, false],
      ['Spearman ρ', true],
      ['95 % interval', true],
      ['rows', true],
    ],
    correlations.map(({stack, correlation: {rho, low, high, n}}) => [
      stack,
      Number.isNaN(rho) ? 'constant' : number(rho),
      Number.isFinite(low) ? `${number(low)} … ${number(high)}` : '–',
      String(n),
    ]),
  );
}

/** A plan and the certificate that calibration put into it, field by field: later versions may hold others. */
export function certificateTables({stacks, model, task, certificate}: ExitPlan): string {
  const plan = Object.entries(stacks).map(([stack, of]) => [
    stack,
    Object.entries(of)
      .map(([key, value]) => `${key} ${valueText(value)}`)
      .join(', '),
  ]);
  const head = table(
    [
      ['plan', false],
      ['', false],
    ],
    [...(task === undefined ? [] : [['task', task]]), ...(model === undefined ? [] : [['model', model]]), ...plan],
  );
  if (typeof certificate !== 'object' || certificate === null)
    return `${head}<p class="muted">It has no certificate: nobody vouches for it.</p>`;
  const scalars: string[][] = [];
  const lists: string[] = [];
  collect(certificate as Readonly<Record<string, unknown>>, '', scalars, lists);
  return `${head}${table(
    [
      ['certificate', false],
      ['', false],
    ],
    scalars,
  )}${lists.join('')}`;
}

/** Most rows that a list of a certificate is shown with. */
const MOST_ROWS = 40;

/** Sorts the fields of a record, and of records within it, into single values and tables of lists. */
function collect(of: Readonly<Record<string, unknown>>, prefix: string, scalars: string[][], lists: string[]): void {
  for (const [key, value] of Object.entries(of)) {
    const name = prefix === '' ? key : `${prefix} ${key}`;
    if (Array.isArray(value) && value.length > 0 && value.every(isRecord)) lists.push(listTable(name, value));
    else if (isRecord(value) && prefix.split(' ').length < 4) collect(value, name, scalars, lists);
    else scalars.push([name, valueText(value)]);
  }
}

function listTable(name: string, rows: readonly Readonly<Record<string, unknown>>[]): string {
  const columns = [...new Set(rows.slice(0, MOST_ROWS).flatMap((row) => Object.keys(row)))].slice(0, 12);
  // The last rows say where the sequence stopped.
  const shown = rows.length <= MOST_ROWS ? rows : [...rows.slice(0, MOST_ROWS / 2), ...rows.slice(-MOST_ROWS / 2)];
  const note = rows.length <= MOST_ROWS ? '' : `: the first and last ${MOST_ROWS / 2} of ${rows.length}`;
  const numeric = (column: string): boolean => typeof rows[0]![column] === 'number';
  const body = table(
    columns.map((column) => [column, numeric(column)]),
    shown.map((row) => columns.map((column) => valueText(row[column]))),
  );
  return `<h4>${escapeHtml(name + note)}</h4>${body}`;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function valueText(value: unknown): string {
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : significant(value, 5);
  if (value === null || value === undefined) return '–';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
