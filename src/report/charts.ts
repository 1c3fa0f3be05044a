import {barChart} from '../charts/bar.js';
import {heatMap} from '../charts/heat-map.js';
import {lineChart, type Series} from '../charts/line.js';
import {countedLayers, type EvaluationMetrics} from '../evaluation/metrics.js';
import {type EvaluationRow, rowLayers} from '../evaluation/row.js';
import type {StackName} from '../exit/policy.js';
import {leastLayers} from '../exit/stacks.js';
import {mean} from '../statistics/descriptive.js';
import {type RankCorrelation, spearman} from '../statistics/spearman.js';
import {giga, percent, significant} from '../text/format.js';
import {type Cost, costOf, frontOf, isFull, isPolicy, type ReportPoint} from './points.js';
import {largest} from '../runtime/extremes.js';

// Charts of a report, as SVG.

const COSTS: Readonly<Record<Cost, {readonly title: string; readonly label: string}>> = {
  layers: {title: 'layers', label: 'layers run a row (of two streams their mean)'},
  macs: {title: 'multiply-accumulates', label: 'multiply-accumulates a row (G)'},
  ms: {title: 'milliseconds', label: 'milliseconds a row, median'},
};

/**
 * Quality against one cost: every policy's own front, the front of all, baselines.
 * @returns undefined if no point has that cost
 */
export function qualityChart(task: string, points: readonly ReportPoint[], cost: Cost): string | undefined {
  const all = points.filter((point) => point.quality !== null && Number.isFinite(costOf(point, cost)));
  if (all.length === 0) return undefined;
  const known = close(all);
  const metric = known[0]!.metric;
  const format = metric === 'accuracy' ? 'percent' : 'number';
  const scale = cost === 'macs' ? 1e-9 : 1;
  const place = (point: ReportPoint) => ({x: costOf(point, cost) * scale, y: point.quality!, title: pointText(point)});
  const sweeps = known.filter(
    ({kind, policy}) => kind === 'sweep' && policy !== 'full depth' && !/^oracle .*correct/.test(policy),
  );
  const several = new Set(sweeps.map(({source}) => source)).size > 1;
  const groups = new Map<string, ReportPoint[]>();
  for (const point of sweeps) {
    const name = several ? `${point.policy} (${point.source})` : point.policy;
    groups.set(name, [...(groups.get(name) ?? []), point]);
  }
  const series: Series[] = [...groups].map(([name, of]) => ({
    name,
    mark: 'line and points',
    dashed: /^(static depth|fixed|random|oracle)/.test(name),
    points: frontOf(of, cost).map(place),
  }));
  const runs = known.filter(({kind}) => kind === 'evaluation');
  if (runs.length > 0) series.push({name: 'evaluated runs', mark: 'points', points: runs.map(place)});
  const front = frontOf(known.filter(isPolicy), cost);
  if (sweeps.length > 0 && front.length > 1)
    series.push({name: 'Pareto front of all', mark: 'line', points: front.map(place)});
  const full = [...new Map(all.filter(isFull).map((point) => [point.quality, point])).values()].slice(0, 4);
  return lineChart({
    title: `${task}: ${metric} against ${COSTS[cost].title}`,
    subtitle: `Each policy's own Pareto front; hover over a point for its thresholds.${known.length < all.length ? CLOSE : ''}`,
    x: {label: COSTS[cost].label, include: cost === 'ms' ? [0] : undefined},
    y: {label: metric, format},
    series,
    references: full.map((point) => ({
      axis: 'y',
      at: point.quality!,
      name: full.length > 1 ? `full: ${point.source}` : 'full depth',
    })),
    width: 1120,
    height: 520,
  });
}

const CLOSE = ` Not drawn: the full model's point and what keeps less than 85 % of it; they are in the tables.`;

/**
 * The points to draw. Far points would squeeze the crowd of a sweep: the full model is a line of its own, and points
 * that are much worse are of no use.
 */
function close(points: readonly ReportPoint[]): readonly ReportPoint[] {
  const near = points.filter((point) => !isFull(point) && (point.retention ?? 1) >= 0.85);
  return near.filter(({kind}) => kind === 'sweep').length < 8 ? points : near;
}

/** All figures of a point, on lines. */
export function pointText(point: ReportPoint): string {
  const {
    source,
    policy,
    setting,
    quality,
    metric,
    layers,
    depth,
    macs,
    macsFull,
    p50,
    p90,
    agreement,
    retention,
    exact,
  } = point;
  return [
    `${policy}${setting === '' ? '' : `: ${setting}`}`,
    `${metric} ${quality === null ? '–' : metric === 'accuracy' ? percent(quality) : quality.toFixed(4)}${retention === null ? '' : ` (${percent(retention)} of full)`}`,
    layers === null ? '' : `layers ${layers.toFixed(2)}${depth === null ? '' : ` of ${depth.toFixed(0)}`}`,
    macs === null ? '' : `MACs ${giga(macs, 3)}${macsFull === null ? '' : ` of ${giga(macsFull, 3)}`} G`,
    p50 === null ? '' : `${p50.toFixed(1)} ms median${p90 === null ? '' : `, ${p90.toFixed(1)} ms 90 %`}`,
    agreement === null ? '' : `agrees with the full model on ${percent(agreement)}`,
    `${source}${exact ? '' : ' (replayed: an estimate)'}`,
  ]
    .filter((line) => line !== '')
    .join('\n');
}

/** Histogram of exit layers by stack; of a stack that runs for every token, every step counts. */
export function exitHistogram(name: string, {depths}: EvaluationMetrics, rows: readonly EvaluationRow[]): string {
  const stacks = Object.entries(depths) as [StackName, number][];
  const deepest = Math.max(1, largest(stacks.map(([, depth]) => depth)));
  const first = stacks.some(([stack]) => leastLayers(stack) === 0) ? 0 : 1;
  const groups = stacks.map(([stack, depth]) => {
    const counts = new Float64Array(deepest + 1 - first);
    let passes = 0;
    for (const {layers} of rows)
      for (const layer of [layers[stack] ?? []].flat()) {
        // A mean over candidates may lie between layers.
        counts[Math.min(depth, Math.max(leastLayers(stack), Math.round(layer))) - first]!++;
        passes++;
      }
    return {
      name: `${stack} (${passes} passes)`,
      values: Array.from(counts, (count) => (passes === 0 ? Number.NaN : count / passes)),
    };
  });
  return barChart({
    title: `Exit layers: ${name}`,
    subtitle: 'Share of the passes (a decoder: of the steps) that end after each layer.',
    x: {label: 'last layer run'},
    y: {label: 'share of passes', format: 'percent'},
    categories: Array.from({length: deepest + 1 - first}, (_, i) => String(i + first)),
    groups,
    width: 560,
    height: 340,
  });
}

/** Mean exit layers by one difficulty field, with rank correlations. */
export interface DifficultyChart {
  readonly field: string;
  readonly svg: string;
  readonly correlations: readonly {readonly stack: string; readonly correlation: RankCorrelation}[];
}

/** Charts of every numeric field of the rows whose name speaks of difficulty. */
export function difficultyCharts(
  name: string,
  {depths}: EvaluationMetrics,
  rows: readonly EvaluationRow[],
): readonly DifficultyChart[] {
  const fields = [...new Set(rows.flatMap(({extra}) => Object.keys(extra ?? {})))].filter((field) =>
    /difficulty/i.test(field),
  );
  return fields.flatMap((field) => {
    const with_ = rows.filter(({extra}) => typeof extra?.[field] === 'number' && Number.isFinite(extra[field]));
    if (with_.length === 0) return [];
    const difficulty = with_.map(({extra}) => extra![field] as number);
    const levels = [...new Set(difficulty)].sort((a, b) => a - b);
    const bins = levels.length <= 12 ? levels : binEdges(difficulty, 8);
    const binOf = (value: number): number => bins.findLastIndex((low) => value >= low);
    const stacks = Object.keys(depths) as StackName[];
    const layers = (row: EvaluationRow, stack: StackName): number => rowLayers(row, stack) ?? Number.NaN;
    const groups = stacks.map((stack) => ({
      name: stack,
      values: bins.map((_, bin) =>
        mean(with_.flatMap((row, i) => (binOf(difficulty[i]!) === bin ? [layers(row, stack)] : []))),
      ),
    }));
    const all = with_.map((row) => {
      const {encoder, decoder} = countedLayers(row, depths);
      return encoder + decoder;
    });
    return {
      field,
      svg: barChart({
        title: `Exit layers by ${field}: ${name}`,
        subtitle: `Mean layers run of ${with_.length} rows; adaptive exits should rise with difficulty.`,
        x: {label: levels.length <= 12 ? field : `${field}, from`},
        y: {label: 'mean layers run'},
        categories: bins.map((bin) => significant(bin, 4)),
        groups,
        width: 560,
        height: 340,
      }),
      correlations: [
        ...stacks.map((stack) => ({
          stack,
          correlation: spearman(
            difficulty,
            with_.map((row) => layers(row, stack)),
          ),
        })),
        {stack: 'all layers', correlation: spearman(difficulty, all)},
      ],
    };
  });
}

/** Labels against answers; undefined for a task without classes. */
export function confusionMatrix(name: string, {confusion}: EvaluationMetrics): string | undefined {
  if (confusion === undefined) return undefined;
  const {classes, counts} = confusion;
  const total = counts.map((row) => row.reduce((sum, n) => sum + n, 0));
  return heatMap({
    title: `Confusion: ${name}`,
    subtitle: 'Rows by label; each row is 100 %.',
    xLabel: 'answer',
    yLabel: 'label',
    columns: [...classes],
    rows: [...classes],
    values: counts.map((row, r) => row.map((n) => (total[r] === 0 ? null : n / total[r]!))),
    texts: counts.map((row, r) =>
      row.map((n) => `${n} (${total[r] === 0 ? '–' : `${((100 * n) / total[r]!).toFixed(1)} %`})`),
    ),
    scale: {label: 'share of the label', min: 0, max: 1, format: 'percent'},
    cellWidth: 110,
    cellHeight: 44,
  });
}

/** Distinct lower ends of at most `count` bins of about equally many values. */
function binEdges(values: readonly number[], count: number): number[] {
  const sorted = values.toSorted((a, b) => a - b);
  return [...new Set(Array.from({length: count}, (_, i) => sorted[Math.floor((i * sorted.length) / count)]!))];
}
