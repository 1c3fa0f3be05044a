import {escapeHtml, htmlPage} from '../charts/html-page.js';
import {InputError} from '../runtime/errors.js';
import {confusionMatrix, type DifficultyChart, difficultyCharts, exitHistogram, qualityChart} from './charts.js';
import {type Cost, costOf, frontOf, isPolicy, type ReportInputs, type ReportPoint, reportPoints} from './points.js';
import {trainingCharts, trainingText} from './training.js';
import {certificateTables, correlationTable, policyTable, runTable, verdictTable, wantedRetention} from './tables.js';

/**
 * Style of a report, beside that of all pages. Charts are drawn for white paper: in the dark their inks are exchanged.
 */
const REPORT_STYLE = `
section{margin:34px 0 0}section>h2{font-size:22px;margin:0 0 12px;letter-spacing:-.01em}section h3{font-size:17px;margin:26px 0 6px}
h4{margin:18px 0 6px;font-size:13px}
figure{margin:0 0 14px;padding:6px;background:var(--card);border:1px solid var(--line);border-radius:12px;overflow-x:auto}
figure svg{display:block;margin:0 auto}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:6px 14px;margin:8px 0 14px}
th{font-weight:500;color:var(--muted);text-align:left;font-size:12.5px;white-space:nowrap}th,td{padding:5px 14px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}td{font-size:13px}td:first-child{white-space:nowrap}td:last-child:not(.n){min-width:210px}td:last-child,th:last-child{padding-right:0}.n{text-align:right;white-space:nowrap}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(520px,100%),1fr));gap:14px;align-items:start}.grid>*{min-width:0}
details{margin:0 0 12px}summary{cursor:pointer;font-weight:500;margin:0 0 10px}
article{margin:0 0 18px}
@media (prefers-color-scheme:dark){
svg>rect[fill="#ffffff"]{fill:var(--card)}
svg text:not([pointer-events])[fill="#222222"]{fill:var(--ink)}svg [fill="#5c5c5c"]{fill:var(--muted)}
svg [stroke="#5c5c5c"]{stroke:var(--muted)}svg [stroke="#e4e4e4"]{stroke:var(--line)}svg rect[stroke="#ffffff"]{stroke:var(--card)}
svg [fill="#0072b2"]{fill:#4aa8e8}svg [stroke="#0072b2"]{stroke:#4aa8e8}svg [fill="#444444"]{fill:#b8c0c8}svg [stroke="#444444"]{stroke:#b8c0c8}
svg [fill="#882255"]{fill:#d4709f}svg [stroke="#882255"]{stroke:#d4709f}svg [fill="#d55e00"]{fill:#f07f2a}svg [stroke="#d55e00"]{stroke:#f07f2a}
svg [fill="#009e73"]{fill:#2cc39a}svg [stroke="#009e73"]{stroke:#2cc39a}svg [fill="#aa4499"]{fill:#d07fc4}svg [stroke="#aa4499"]{stroke:#d07fc4}
svg [fill="#b07d00"]{fill:#d9a832}svg [stroke="#b07d00"]{stroke:#d9a832}
}
`;

/** A file of a report. */
export interface ReportFile {
  readonly name: string;
  readonly content: string;
}

const COSTS: readonly Cost[] = ['layers', 'macs', 'ms'];
const TASKS: Readonly<Record<string, string>> = {'snli-ve': 'Visual entailment', caption: 'Captions', vqa: 'Questions'};

/** Adds an SVG file of this name to the report. @returns its markup for the page */
type Figure = (name: string, svg: string) => string;

/**
 * The files of a report: index.html (self-contained), points.csv, report.json, and an SVG for each chart.
 * @throws InputError `report-empty` without any input
 */
export function report(
  inputs: ReportInputs,
  {title = 'Early exits: what they save, and what they cost'}: {readonly title?: string} = {},
): readonly ReportFile[] {
  const {evaluations, sweeps, plans, trainings = []} = inputs;
  if (evaluations.length + sweeps.length + plans.length + trainings.length === 0)
    throw new InputError(
      'report-empty',
      'there is nothing to report: no evaluation, no sweep, no plan and no training was given',
    );
  const points = reportPoints(inputs);
  const tasks = [...new Set(points.map(({task}) => task))];
  const difficulty = evaluations.map(({name, metrics, rows}) => difficultyCharts(name, metrics, rows));
  const svgs: ReportFile[] = [];
  const figure: Figure = (name, svg) => {
    svgs.push({name: `${fileName(name)}.svg`, content: `${svg}\n`});
    return `<figure>${svg}</figure>`;
  };
  const sections = tasks.map((task) => taskSection(task, points, inputs, figure));
  const details = evaluations.map((run, i) => runDetails(run, difficulty[i]!, i < 4, figure));
  const certificates = plans.map(
    ({name, plan}) => `<article><h3>${escapeHtml(name)}</h3>${certificateTables(plan)}</article>`,
  );
  const curves = trainings.map(
    (training) => `<details open><summary>${escapeHtml(training.name)}</summary>
<p class="muted">${escapeHtml(trainingText(training))}</p>
<div class="grid">${trainingCharts(training)
      .map(({name, svg}) => figure(`training-${training.name}-${name}`, svg))
      .join('\n')}</div></details>`,
  );
  const body = `<header><h1>${escapeHtml(title)}</h1>
<p>Layers are not time: every saving is given in layers, multiply-accumulates and, where it was run, milliseconds. Points of sweeps are replayed from one
recording of all depths; milliseconds come from evaluations only.</p></header>
${sections.join('\n')}
${details.length === 0 ? '' : `<section><h2>Where runs exit</h2>${details.join('\n')}</section>`}
${curves.length === 0 ? '' : `<section><h2>Trainings</h2>${curves.join('\n')}</section>`}
${certificates.length === 0 ? '' : `<section><h2>Calibrated plans</h2>${certificates.join('\n')}</section>`}
<footer>All points: points.csv and report.json beside this page. Made by <code>mue report</code>.</footer>`;
  const correlations = evaluations.flatMap(({name: source}, i) =>
    difficulty[i]!.map(({field, correlations: of}) => ({source, field, correlations: of})),
  );
  return [
    ...svgs,
    {name: 'points.csv', content: pointsCsv(points)},
    {name: 'report.json', content: `${JSON.stringify(reportJson(points, tasks, correlations, inputs), null, 1)}\n`},
    // Last: a reader who sees the page can rely on the other files.
    {name: 'index.html', content: htmlPage({title, style: REPORT_STYLE, body})},
  ];
}

/** Charts and tables of the points of one task. */
function taskSection(
  task: string,
  points: readonly ReportPoint[],
  {evaluations, sweeps}: ReportInputs,
  figure: Figure,
): string {
  const of = points.filter((point) => point.task === task);
  const charts = COSTS.map((cost) => {
    const svg = qualityChart(task, of, cost);
    return svg === undefined ? missing(cost) : figure(`${task}-${cost}`, svg);
  });
  const runs = evaluations.filter(({metrics}) => metrics.task === task);
  const sets = [...new Set(runs.map(({metrics}) => `${metrics.data.name}, ${metrics.model.name}`))];
  const mixed =
    sets.length < 2
      ? ''
      : `<p class="remark">These runs are of different data or models: ${escapeHtml(sets.join('; '))}. Compare within one.</p>`;
  const judged = sweeps.filter(({sweep}) => sweep.task === task && sweep.verdicts.length > 0);
  const table = runTable(of);
  return `<section><h2>${escapeHtml(TASKS[task] ?? task)}</h2>
${mixed}
${charts.join('\n')}
<h3>Policies compared</h3>
<p class="muted">Each policy's cheapest setting that keeps ${Math.round(100 * wantedRetention(task))} % of the full model's quality on the items shown. Chosen here, it is
flattered by the choice: what holds on other items, calibration says.</p>
${policyTable(task, of)}
${judged.map(verdicts).join('')}
${table === '' ? '' : `<h3>Evaluated runs</h3>${table}`}
</section>`;
}

/** Exit layers of one run, its confusions, and layers by difficulty. */
function runDetails(
  {name, metrics, rows}: ReportInputs['evaluations'][number],
  difficulty: readonly DifficultyChart[],
  open: boolean,
  figure: Figure,
): string {
  const confusion = confusionMatrix(name, metrics);
  const figures = [
    figure(`exits-${name}`, exitHistogram(name, metrics, rows)),
    ...(confusion === undefined ? [] : [figure(`confusion-${name}`, confusion)]),
    ...difficulty.map((chart) => `<div>${figure(`${chart.field}-${name}`, chart.svg)}${correlationTable(chart)}</div>`),
  ];
  return `<details${open ? ' open' : ''}><summary>${escapeHtml(name)}: ${escapeHtml(TASKS[metrics.task] ?? metrics.task)}, ${metrics.n} rows, ${escapeHtml(metrics.data.name)}</summary>
<div class="grid">${figures.join('\n')}</div></details>`;
}

function verdicts({name, sweep}: ReportInputs['sweeps'][number]): string {
  const chosen = sweep.settingsFrom === undefined ? '' : ` Thresholds: ${sweep.settingsFrom}.`;
  return `<h3>Verdicts of ${escapeHtml(name)}</h3><p class="muted">One-sided bounds of a paired bootstrap over pictures.${escapeHtml(chosen)}</p>${verdictTable(sweep)}`;
}

function missing(cost: Cost): string {
  const why =
    cost === 'ms' ? 'milliseconds: no evaluation was given, and a replay has no time' : `${cost}: no point has them`;
  return `<p class="muted">No chart of ${why}.</p>`;
}

function reportJson(
  points: readonly ReportPoint[],
  tasks: readonly string[],
  correlations: readonly object[],
  {plans}: ReportInputs,
): object {
  const index = new Map(points.map((point, i) => [point, i]));
  const fronts = (task: string): object => {
    const of = points.filter((point) => point.task === task && isPolicy(point));
    return Object.fromEntries(COSTS.map((cost) => [cost, frontOf(of, cost).map((point) => index.get(point))]));
  };
  return {
    version: 1,
    points,
    fronts: Object.fromEntries(tasks.map((task) => [task, fronts(task)])),
    difficulty: correlations,
    plans: plans.map(({name, plan}) => ({name, plan})),
  };
}

/** A line for each point; metrics and stacks as columns. */
function pointsCsv(points: readonly ReportPoint[]): string {
  const metrics = [...new Set(points.flatMap((point) => Object.keys(point.metrics)))];
  const stacks = [...new Set(points.flatMap((point) => Object.keys(point.stacks)))];
  const saved = (run: number | null, full: number | null): number | null =>
    run === null || full === null ? null : 1 - run / full;
  const front = new Map(COSTS.map((cost) => [cost, onFronts(points, cost)]));
  const columns: readonly (readonly [string, (point: ReportPoint) => string | number | boolean | null | undefined])[] =
    [
      ['task', (p) => p.task],
      ['source', (p) => p.source],
      ['kind', (p) => p.kind],
      ['exact', (p) => p.exact],
      ['policy', (p) => p.policy],
      ['setting', (p) => p.setting],
      ['n', (p) => p.n],
      ...metrics.map((name) => [name, (p: ReportPoint) => p.metrics[name]] as const),
      ['retention', (p) => p.retention],
      ['agreement', (p) => p.agreement],
      ...stacks.map((name) => [`layers ${name}`, (p: ReportPoint) => p.stacks[name]] as const),
      ['layers', (p) => p.layers],
      ['layers full', (p) => p.depth],
      ['layers saved', (p) => p.etr ?? saved(p.layers, p.depth)],
      ['MACs', (p) => p.macs],
      ['MACs full', (p) => p.macsFull],
      ['MACs saved', (p) => saved(p.macs, p.macsFull)],
      ['ms p50', (p) => p.p50],
      ['ms p90', (p) => p.p90],
      ...COSTS.map((cost) => [`on front of ${cost}`, (p: ReportPoint) => front.get(cost)!.has(p)] as const),
    ];
  const lines = points.map((point) => columns.map(([, of]) => csvField(of(point))).join(','));
  return `${[columns.map(([name]) => csvField(name)).join(','), ...lines].join('\r\n')}\r\n`;
}

function onFronts(points: readonly ReportPoint[], cost: Cost): ReadonlySet<ReportPoint> {
  const tasks = [...new Set(points.map(({task}) => task))];
  return new Set(
    tasks.flatMap((task) =>
      frontOf(
        points.filter((point) => point.task === task && isPolicy(point) && Number.isFinite(costOf(point, cost))),
        cost,
      ),
    ),
  );
}

/** RFC 4180; a text that a spreadsheet would take for a formula gets an apostrophe. */
function csvField(value: string | number | boolean | null | undefined): string {
  if (value === null || value === undefined) return '';
  if (typeof value !== 'string') return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function fileName(name: string): string {
  return (
    name
      .replace(/[^\w.-]+/g, '_')
      .replace(/^[._]+/, '')
      .slice(0, 120) || 'chart'
  );
}
