import type {ExitPlan, StackPlan} from '../exit/plan/schema.js';
import type {StackName} from '../exit/policy.js';
import {countLayers} from '../exit/stacks.js';
import type {EvaluationMetrics} from '../evaluation/metrics.js';
import type {EvaluationRow} from '../evaluation/row.js';
import {paretoFront} from '../statistics/pareto-front.js';
import type {SweepFile, SweptPoint} from '../calibration/sweep/file.js';
import type {TrainingCurves} from './training.js';

/** Results that a report is made of; names are those of folders and files. */
export interface ReportInputs {
  readonly evaluations: readonly {
    readonly name: string;
    readonly metrics: EvaluationMetrics;
    readonly rows: readonly EvaluationRow[];
  }[];
  readonly sweeps: readonly {readonly name: string; readonly sweep: SweepFile}[];
  readonly plans: readonly {readonly name: string; readonly plan: ExitPlan}[];
  readonly trainings?: readonly TrainingCurves[];
}

/** Quality and costs of a setting, means over items. null is unknown. */
export interface ReportPoint {
  readonly task: string;
  readonly source: string;
  /** Source of the point: a run (with times), or a sweep. */
  readonly kind: 'evaluation' | 'sweep';
  /** Whether the setting was run, or replayed exactly. */
  readonly exact: boolean;
  readonly policy: string;
  /** The thresholds behind the point. */
  readonly setting: string;
  readonly n: number | null;
  readonly metric: string;
  readonly quality: number | null;
  readonly metrics: Readonly<Record<string, number>>;
  readonly retention: number | null;
  readonly agreement: number | null;
  readonly stacks: Readonly<Record<string, number>>;
  /** Layers run on both sides as they are counted (`countLayers`), and those of full depth. */
  readonly layers: number | null;
  readonly depth: number | null;
  readonly etr: number | null;
  /** Multiply-accumulates. */
  readonly macs: number | null;
  readonly macsFull: number | null;
  /** Milliseconds of a row, median and 90 % quantile; evaluations only. */
  readonly p50: number | null;
  readonly p90: number | null;
}

export type Cost = 'layers' | 'macs' | 'ms';

/** Points of all inputs, those of evaluations first. */
export function reportPoints({evaluations, sweeps}: ReportInputs): readonly ReportPoint[] {
  const points = [
    ...evaluations.map(({name, metrics}) => evaluationPoint(name, metrics)),
    ...sweeps.flatMap(({name, sweep}) => sweep.points.map((point) => sweepPoint(name, sweep, point))),
  ];
  return points.map((point) => ({...point, retention: point.retention ?? retained(point, points)}));
}

export function costOf({layers, macs, p50}: ReportPoint, cost: Cost): number {
  return (cost === 'layers' ? layers : cost === 'macs' ? macs : p50) ?? Number.NaN;
}

/** The points that no other beats in quality and cost. */
export function frontOf(points: readonly ReportPoint[], cost: Cost): readonly ReportPoint[] {
  const of = paretoFront(
    points.map((point) => costOf(point, cost)),
    points.map(({quality}) => -(quality ?? Number.NaN)),
  );
  return of.map((i) => points[i]!);
}

/** A policy that could be run, unlike an oracle, and that looks at its items, unlike random exits. */
export function isPolicy({policy}: ReportPoint): boolean {
  return !/^(oracle|random)/.test(policy);
}

/** Whether every layer was run. */
export function isFull({etr, policy}: ReportPoint): boolean {
  return policy === 'full depth' || (etr !== null && Math.abs(etr) < 1e-9);
}

/** Fraction of the quality of the full model of the point's source, or else of another source of the task. */
function retained({task, source, quality, metric}: ReportPoint, points: readonly ReportPoint[]): number | null {
  const full = points.filter((point) => isFull(point) && point.task === task && point.metric === metric);
  const of = (full.find((point) => point.source === source) ?? full[0])?.quality;
  return quality === null || of === undefined || of === null || of === 0 ? null : quality / of;
}

/** The metric that charts show. */
function mainMetric(task: string, metrics: Readonly<Record<string, number | null>>): string {
  const wanted = task === 'caption' ? 'CIDEr-D' : 'accuracy';
  return wanted in metrics ? wanted : (Object.keys(metrics)[0] ?? wanted);
}

function evaluationPoint(
  source: string,
  {task, n, metrics, layers, depths, etr, macs, ms, exit}: EvaluationMetrics,
): ReportPoint {
  const metric = mainMetric(task, metrics);
  return {
    task,
    source,
    kind: 'evaluation',
    exact: true,
    ...planText(exit),
    n,
    metric,
    quality: metrics[metric] ?? null,
    metrics,
    retention: null,
    agreement: null,
    stacks: layers,
    layers: counted(layers, depths),
    depth: counted(depths, depths),
    etr,
    macs: macs.run,
    macsFull: macs.full,
    p50: ms.p50,
    p90: ms.p90,
  };
}

function sweepPoint(source: string, {task, n, depths}: SweepFile, point: SweptPoint): ReportPoint {
  const {metrics, layers: stacks, macs, macsFull, etr} = point;
  const metric = mainMetric(task, metrics);
  const layers = stacks === undefined ? null : counted(stacks, depths);
  // Without depths, the layers saved tell them.
  const depth = counted(depths, depths) ?? (layers === null || etr === null ? null : layers / (1 - etr));
  return {
    task,
    source,
    kind: 'sweep',
    exact: point.exact,
    policy: point.policy,
    setting: point.setting,
    n,
    metric,
    quality: metrics[metric] ?? null,
    metrics,
    retention: point.retention,
    agreement: point.agreement,
    stacks: stacks ?? {},
    layers,
    depth,
    etr,
    macs,
    macsFull,
    p50: null,
    p90: null,
  };
}

function counted(layers: Readonly<Record<string, number>>, depths: Readonly<Record<string, number>>): number | null {
  const of = (stack: StackName): number => layers[stack] ?? depths[stack] ?? 0;
  const stacks = Object.keys({...depths, ...layers}) as StackName[];
  if (stacks.length === 0) return null;
  const {encoder, decoder} = countLayers(of, stacks);
  return encoder + decoder;
}

function planText({stacks}: ExitPlan): Pick<ReportPoint, 'policy' | 'setting'> {
  const active = Object.entries(stacks).filter(([, plan]) => exits(plan));
  if (active.length === 0) return {policy: 'full depth', setting: ''};
  const names = [...new Set(active.map(([, {policy}]) => policy))];
  const policy = names.length === 1 && names[0] === 'fixed' ? 'static depth' : names.join(' + ');
  const value = ({threshold, layers, patience, schedule}: StackPlan): string =>
    `${threshold ?? layers ?? patience ?? 'as planned'}${schedule && schedule !== 'constant' ? ` (${schedule})` : ''}`;
  const setting = active.map(
    ([stack, plan]) => `${stack.replace(/^encoder\./, '')} ${names.length > 1 ? `${plan.policy} ` : ''}${value(plan)}`,
  );
  return {policy, setting: setting.join(', ')};
}

function exits({policy, threshold}: StackPlan): boolean {
  if (policy === 'never') return false;
  return !(policy === 'similarity' && (threshold ?? null) === null);
}
