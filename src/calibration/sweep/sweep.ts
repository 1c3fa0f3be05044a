import {retention} from '../../metrics/savings.js';
import {paretoFront} from '../../statistics/pareto-front.js';
import type {PolicySetting} from '../policy-setting.js';
import type {Recording} from '../recording/entailment.js';
import {cheapestOracle, decoderOracle, randomWithHistogram} from '../replay/baselines.js';
import type {PolicyReplay} from '../replay/policy-replay.js';
import type {ItemOutcomes, SweepTable} from '../replay/threshold-replay.js';
import {staticSettings} from '../settings/grid.js';
import {
  type ByPlace,
  type ByStack,
  byPlace,
  byStack,
  cellCount,
  cellLayers,
  mapStacks,
  type RecordedStacks,
  stacksBefore,
  weightedLayers,
} from '../stacks.js';

/** Unit of cost: layers as they are counted, or multiply-accumulates of the whole model. */
export type CostName = 'layers' | 'macs';
const COSTS: readonly CostName[] = ['layers', 'macs'];

/** Means over the recording's items. */
export interface SweepMeans {
  readonly accuracy: number;
  /** Fraction of items with full depth's answer. */
  readonly agreement: number;
  /** Accuracy / accuracy at full depth. */
  readonly retention: number;
  readonly layers: ByPlace<number>;
  /** Layers saved, as they are counted. */
  readonly etr: number;
  readonly macs: {readonly run: number; readonly full: number; readonly saved: number};
  /** Not an estimate: the answers of all combinations were recorded. */
  readonly exact: true;
}

export type SweepPoint = PolicySetting & SweepMeans;

/**
 * An oracle, and the fixed depths before its stack; null where it chooses those, too, and `text` absent for a model of
 * two stacks.
 */
export type OraclePoint = SweepMeans & {
  readonly oracle: string;
  readonly image: number | null;
  readonly text?: number | null;
};

/** Worth of the depths that a point uses, dealt out at random. Cost and layers are the point's, MACs nearly. */
export interface RandomPoint {
  /** Index into `points`. */
  readonly of: number;
  readonly accuracy: number;
  readonly agreement: number;
  readonly retention: number;
  readonly macs: number;
}

/** Indices of points by ascending cost: of those looked at, all that no cheaper one matches. */
export type CostFronts = Readonly<Record<CostName, readonly number[]>>;

/** sweep.json, as far as a replay fills it. */
export interface Sweep {
  readonly format: 'mue-sweep';
  readonly version: 1;
  readonly recording: Recording['header'] & {
    readonly sha256: string;
    readonly n: number;
    readonly pictures: number;
  };
  readonly full: SweepMeans;
  readonly points: readonly SweepPoint[];
  /** The fixed-depth baseline, in the order of the recording's combinations. */
  readonly static: readonly SweepPoint[];
  /** Indices into `points`: of any policy, and policy by policy. */
  readonly fronts: CostFronts;
  readonly policyFronts: Readonly<Record<string, CostFronts>>;
  /** Indices into `static`. */
  readonly staticFronts: CostFronts;
  readonly oracle: readonly OraclePoint[];
  /** For the points of the fronts. */
  readonly random: readonly RandomPoint[];
}

/** Replays settings, and everything they are to be compared with. @param sha256 of the recording's rows */
export function sweepRecording(replay: PolicyReplay, settings: readonly PolicySetting[], sha256: string): Sweep {
  const {recording, pictures, stacks} = replay;
  const {header, n} = recording;
  const full = replay.means(replay.full());
  const pointsOf = (list: readonly PolicySetting[]): SweepPoint[] => {
    const table = replay.sweep(list);
    return list.map((setting, s) => ({...setting, ...tableMeans(stacks, table, s, full)}));
  };
  const points = pointsOf(settings);
  const statics = pointsOf(staticSettings(replay));
  const accuracy = (point: SweepMeans): number => point.accuracy;
  const fronts = costFronts(points, accuracy, stacks);
  const policyFronts = costFrontsByPolicy(points, accuracy, stacks);
  return {
    format: 'mue-sweep',
    version: 1,
    recording: {...header, sha256, n, pictures: new Set(pictures).size},
    full: tableMeans(stacks, full, 0, full),
    points,
    static: statics,
    fronts,
    policyFronts,
    staticFronts: costFronts(statics, accuracy, stacks),
    oracle: oraclePoints(replay, full),
    random: frontPoints({fronts, policyFronts})
      .sort((a, b) => a - b)
      .map((of) => {
        const expected = randomWithHistogram(replay, replay.outcomes(points[of]!));
        return {of, ...expected, retention: retention(expected.accuracy, full.accuracy[0]!)};
      }),
  };
}

/** Means of one setting's outcomes. */
export function sweepMeans(replay: PolicyReplay, outcomes: ItemOutcomes): SweepMeans {
  return tableMeans(replay.stacks, replay.means(outcomes), 0, replay.means(replay.full()));
}

function oraclePoints(replay: PolicyReplay, full: SweepTable): OraclePoint[] {
  const {stacks} = replay;
  const kinds = ['agreement', 'correct'] as const;
  const point = (oracle: string, before: ByStack<number> | undefined, outcomes: ItemOutcomes): OraclePoint => {
    const chosen = mapStacks(stacks, (stack) => before?.[stack] ?? null);
    const {decoder: _, ...fixed} = byPlace(stacks, chosen);
    return {oracle, ...fixed, ...tableMeans(stacks, replay.means(outcomes), 0, full)};
  };
  // Every combination of the stacks before the last.
  const earlier = stacksBefore(stacks);
  const cuts = Array.from({length: cellCount(earlier)}, (_, cut) => cellLayers(earlier, cut));
  return [
    ...cuts.flatMap((cut) => kinds.map((kind) => point(`decoder-${kind}`, cut, decoderOracle(replay, cut, kind)))),
    ...kinds.flatMap((kind) =>
      COSTS.map((cost) => point(`all-stacks-${kind}-${cost}`, undefined, cheapestOracle(replay, kind, cost))),
    ),
  ];
}

/** Means of setting `s` of a table. @param full a table of full depth alone */
function tableMeans(stacks: RecordedStacks, table: SweepTable, s: number, full: SweepTable): SweepMeans {
  const run = table.costs['macs']![s]!;
  const fullMacs = full.costs['macs']![0]!;
  return {
    accuracy: table.accuracy[s]!,
    agreement: table.agreement[s]!,
    retention: retention(table.accuracy[s]!, full.accuracy[0]!),
    layers: byPlace(
      stacks,
      mapStacks(stacks, (stack) => table.layers[stack]![s]!),
    ),
    etr: table.etr[s]!,
    macs: {run, full: fullMacs, saved: 1 - run / fullMacs},
    exact: true,
  };
}

/** Mean cost of a point. */
export function pointCost(
  {layers, macs}: Pick<SweepMeans, 'layers' | 'macs'>,
  cost: CostName,
  stacks: RecordedStacks,
): number {
  return cost === 'macs' ? macs.run : weightedLayers(stacks, byStack(stacks, layers));
}

/** Fronts of cost and quality. @param among points that are looked at; default all */
export function costFronts<P extends Pick<SweepMeans, 'layers' | 'macs'>>(
  points: readonly P[],
  quality: (point: P) => number,
  stacks: RecordedStacks,
  among: (point: P) => boolean = () => true,
): CostFronts {
  const front = (cost: CostName): number[] =>
    paretoFront(
      // A point with NaN is on no front.
      points.map((point) => (among(point) ? pointCost(point, cost, stacks) : Number.NaN)),
      points.map((point) => -quality(point)),
    );
  return {layers: front('layers'), macs: front('macs')};
}

/** Fronts of each policy's points, in the order of their first points. */
export function costFrontsByPolicy<P extends PolicySetting & Pick<SweepMeans, 'layers' | 'macs'>>(
  points: readonly P[],
  quality: (point: P) => number,
  stacks: RecordedStacks,
): Readonly<Record<string, CostFronts>> {
  const policies = [...new Set(points.map(({policy}) => policy))];
  return Object.fromEntries(
    policies.map((name) => [name, costFronts(points, quality, stacks, ({policy}) => policy === name)]),
  );
}

/** Indices of the points that are on any front, over all policies or of one. */
export function frontPoints({fronts, policyFronts}: Pick<Sweep, 'fronts' | 'policyFronts'>): number[] {
  return [...new Set([fronts, ...Object.values(policyFronts)].flatMap(({layers, macs}) => [...layers, ...macs]))];
}
