import {retention} from '../../metrics/savings.js';
import {type LayerWeights, STREAM_WEIGHTS, weigh} from '../replay/layer-weights.js';
import {paretoFront} from '../../statistics/pareto-front.js';
import type {PolicyReplay} from '../replay/policy-replay.js';
import type {PolicySetting} from '../policy-setting.js';
import type {RecordingHeader} from '../recording/entailment.js';
import {cheapestOracle, decoderOracle, randomWithHistogram} from '../replay/baselines.js';
import type {ItemOutcomes, SweepTable} from '../replay/threshold-replay.js';
import {staticSettings} from '../settings/grid.js';

/** What a cost is counted in: MuE's layers, or multiply-accumulates of the whole model. */
export type CostName = 'layers' | 'macs';

/** Means over the recording's items. */
export interface SweepMeans {
  readonly accuracy: number;
  /** Share of items with full depth's answer. */
  readonly agreement: number;
  /** Accuracy / accuracy at full depth. */
  readonly retention: number;
  readonly layers: {readonly image: number; readonly text: number; readonly decoder: number};
  /** Layers saved as MuE counts them. */
  readonly etr: number;
  readonly macs: {readonly run: number; readonly full: number; readonly saved: number};
  /** Not an estimate: the answers of all combinations were recorded. */
  readonly exact: true;
}

export type SweepPoint = PolicySetting & SweepMeans;
export type OraclePoint = SweepMeans & {
  readonly oracle: string;
  readonly image: number | null;
  readonly text: number | null;
};
/** What the depths that a point uses are worth without its choosing. Cost and layers are the point's, MACs nearly. */
export interface RandomPoint {
  /** Index into `points`. */
  readonly of: number;
  readonly accuracy: number;
  readonly agreement: number;
  readonly retention: number;
  readonly macs: number;
}

export interface Sweep {
  readonly format: 'mue-sweep';
  readonly version: 1;
  readonly recording: RecordingHeader & {readonly sha256: string; readonly n: number; readonly pictures: number};
  readonly full: SweepMeans;
  readonly points: readonly SweepPoint[];
  /** Fixed depths of all stacks: the baseline. In the order of the recording's combinations. */
  readonly static: readonly SweepPoint[];
  /** Indices into `points`: by ascending cost, all that no cheaper point of any policy matches; the same policy by policy. */
  readonly fronts: CostFronts;
  readonly policyFronts: Readonly<Record<string, CostFronts>>;
  /** Indices into `static`. */
  readonly staticFronts: CostFronts;
  readonly oracle: readonly OraclePoint[];
  /** For the points of the fronts. */
  readonly random: readonly RandomPoint[];
}

const COSTS: readonly CostName[] = ['layers', 'macs'];

/** Replays settings, and everything they are to be compared with. @param sha256 of the recording's rows */
export function sweepRecording(replay: PolicyReplay, settings: readonly PolicySetting[], sha256: string): Sweep {
  const {recording, pictures} = replay;
  const {depths, header, n} = recording;
  const full = replay.means(replay.fixed(depths.image, depths.text, depths.decoder));
  const meansOf = (table: SweepTable, s: number): SweepMeans => means(table, s, full);
  const pointsOf = (list: readonly PolicySetting[]): SweepPoint[] => {
    const table = replay.sweep(list);
    return list.map((setting, s) => ({...setting, ...meansOf(table, s)}));
  };
  const points = pointsOf(settings);
  const statics = pointsOf(staticSettings(replay));
  const accuracy = (point: SweepMeans): number => point.accuracy;
  const fronts = costFronts(points, accuracy, replay.weights);
  const policyFronts = costFrontsByPolicy(points, accuracy, replay.weights);
  const used = frontPoints({fronts, policyFronts});
  const oracles = (name: string, image: number | null, text: number | null, outcomes: ItemOutcomes): OraclePoint => ({
    oracle: name,
    image,
    text,
    ...meansOf(replay.means(outcomes), 0),
  });
  return {
    format: 'mue-sweep',
    version: 1,
    recording: {...header, sha256, n, pictures: new Set(pictures).size},
    full: meansOf(full, 0),
    points,
    static: statics,
    fronts,
    policyFronts,
    staticFronts: costFronts(statics, accuracy, replay.weights),
    oracle: [
      ...statics
        .filter(({decoder}) => decoder === 1)
        .flatMap(({image, text}) =>
          (['agreement', 'correct'] as const).map((kind) =>
            oracles(`decoder-${kind}`, image, text, decoderOracle(replay, image!, text!, kind)),
          ),
        ),
      ...(['agreement', 'correct'] as const).flatMap((kind) =>
        COSTS.map((cost) => oracles(`all-stacks-${kind}-${cost}`, null, null, cheapestOracle(replay, kind, cost))),
      ),
    ],
    random: used
      .sort((a, b) => a - b)
      .map((of) => {
        const expected = randomWithHistogram(replay, replay.outcomes(points[of]!));
        return {of, ...expected, retention: retention(expected.accuracy, full.accuracy[0]!)};
      }),
  };
}

/** Means of one setting's outcomes. */
export function sweepMeans(replay: PolicyReplay, outcomes: ItemOutcomes): SweepMeans {
  const {image, text, decoder} = replay.recording.depths;
  return means(replay.means(outcomes), 0, replay.means(replay.fixed(image, text, decoder)));
}

/** What a point costs. @param weights of layers; by default those of two streams and a decoder */
export function pointCost(
  {layers, macs}: Pick<SweepMeans, 'layers' | 'macs'>,
  cost: CostName,
  weights: LayerWeights = STREAM_WEIGHTS,
): number {
  return cost === 'macs' ? macs.run : weigh(weights, layers.image, layers.text, layers.decoder);
}

function means(table: SweepTable, s: number, full: SweepTable): SweepMeans {
  const run = table.costs['macs']![s]!;
  const fullMacs = full.costs['macs']![0]!;
  return {
    accuracy: table.accuracy[s]!,
    agreement: table.agreement[s]!,
    retention: retention(table.accuracy[s]!, full.accuracy[0]!),
    layers: {image: table.imageLayers[s]!, text: table.textLayers[s]!, decoder: table.decoderLayers[s]!},
    etr: table.etr[s]!,
    macs: {run, full: fullMacs, saved: 1 - run / fullMacs},
    exact: true,
  };
}

/** Indices of points by ascending cost: of those in `among`, all that no cheaper one matches. */
export type CostFronts = Readonly<Record<CostName, readonly number[]>>;

export function costFronts<P extends Pick<SweepMeans, 'layers' | 'macs'>>(
  points: readonly P[],
  quality: (point: P) => number,
  weights: LayerWeights = STREAM_WEIGHTS,
  among: (point: P) => boolean = () => true,
): CostFronts {
  const front = (cost: CostName): number[] =>
    paretoFront(
      // A point with NaN is on no front.
      points.map((point) => (among(point) ? pointCost(point, cost, weights) : Number.NaN)),
      points.map((point) => -quality(point)),
    );
  return {layers: front('layers'), macs: front('macs')};
}

/** What is on any front, over all policies or of one. */
export function frontPoints({
  fronts,
  policyFronts,
}: {
  readonly fronts: CostFronts;
  readonly policyFronts: Readonly<Record<string, CostFronts>>;
}): number[] {
  return [...new Set([fronts, ...Object.values(policyFronts)].flatMap(({layers, macs}) => [...layers, ...macs]))];
}

/** The same policy by policy, in the order of their first points. */
export function costFrontsByPolicy<P extends PolicySetting & Pick<SweepMeans, 'layers' | 'macs'>>(
  points: readonly P[],
  quality: (point: P) => number,
  weights: LayerWeights = STREAM_WEIGHTS,
): Readonly<Record<string, CostFronts>> {
  const policies = [...new Set(points.map(({policy}) => policy))];
  return Object.fromEntries(
    policies.map((name) => [name, costFronts(points, quality, weights, ({policy}) => policy === name)]),
  );
}
