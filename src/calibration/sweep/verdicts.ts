import {retention} from '../../metrics/savings.js';
import {weigh} from '../replay/layer-weights.js';
import {bootstrap, type Interval} from '../../statistics/bootstrap.js';
import type {PolicyReplay} from '../replay/policy-replay.js';
import type {ItemOutcomes} from '../replay/threshold-replay.js';
import {type StaticMix, staticMix} from '../replay/static-mix.js';
import {type CostName, pointCost, type Sweep, type SweepPoint} from './sweep.js';

/** What one policy's best point is worth, with intervals from a paired bootstrap over pictures. */
export interface SweepVerdict {
  readonly policy: string;
  /** What the point was chosen by: the cheapest in this cost that keeps at least `claim` here, or, if none does, the one that keeps most. */
  readonly cost: CostName;
  readonly claim: number;
  /** Index into `points`. */
  readonly point: number;
  readonly retention: Interval;
  readonly saving: Readonly<Record<CostName, Interval>>;
  /** Whether the one-sided bound of the retention reaches the claim. */
  readonly holds: boolean;
  /**
   * The most accurate static rival of the same cost: every item at the depths `from`, or, for a share of them drawn at random, at the
   * depths `to` (indices into `static`), and how much more accurate than that the policy is. null if every static point costs more.
   */
  readonly against: {
    readonly from: number;
    readonly to: number;
    readonly share: number;
    readonly gain: Interval;
  } | null;
}

export interface VerdictOptions {
  readonly claim: number;
  readonly level: number;
  readonly resamples: number;
  readonly seed: number;
}

/** A verdict a policy and cost. */
export function sweepVerdicts(replay: PolicyReplay, sweep: Sweep, options: VerdictOptions): SweepVerdict[] {
  const {depths} = replay.recording;
  const full = replay.fixed(depths.image, depths.text, depths.decoder);
  return Object.entries(sweep.policyFronts).flatMap(([policy, fronts]) =>
    (['layers', 'macs'] as const).flatMap((cost): SweepVerdict[] => {
      // Ascending cost and accuracy.
      const front = fronts[cost];
      const point = front.find((i) => sweep.points[i]!.retention >= options.claim) ?? front.at(-1);
      if (point === undefined) return [];
      return [verdict(replay, sweep, full, {policy, cost, point}, options)];
    }),
  );
}

function verdict(
  replay: PolicyReplay,
  sweep: Sweep,
  full: ItemOutcomes,
  {policy, cost, point}: Pick<SweepVerdict, 'policy' | 'cost' | 'point'>,
  {claim, level, resamples, seed}: VerdictOptions,
): SweepVerdict {
  const early = replay.outcomes(sweep.points[point]!);
  const rivals = sweep.staticFronts[cost].map((index) => {
    const rival = sweep.static[index]!;
    return {index, cost: pointCost(rival, cost, replay.weights), quality: rival.accuracy};
  });
  const mix = staticMix(rivals, pointCost(sweep.points[point]!, cost, replay.weights));
  const rival = mix === undefined ? full.correct : mixed(replay, sweep, mix);
  const ones = new Uint8Array(full.correct.length).fill(1);
  const statistics = bootstrap(
    [
      early.correct,
      full.correct,
      layersRun(replay, early),
      layersRun(replay, full),
      early.costs['macs']!,
      full.costs['macs']!,
      rival,
      ones,
    ],
    {
      retention: (s) => retention(s[0]!, s[1]!),
      layers: (s) => 1 - s[2]! / s[3]!,
      macs: (s) => 1 - s[4]! / s[5]!,
      gain: (s) => (s[0]! - s[6]!) / s[7]!,
    },
    {level, resamples, seed, groups: replay.pictures},
  );
  return {
    policy,
    cost,
    claim,
    point,
    retention: statistics.retention,
    saving: {layers: statistics.layers, macs: statistics.macs},
    holds: statistics.retention.lowerBound >= claim,
    against: mix === undefined ? null : {...mix, gain: statistics.gain},
  };
}

/** Expected correctness of every item under a mix. */
function mixed(replay: PolicyReplay, {static: statics}: Sweep, {from, to, share}: StaticMix): Float64Array {
  const correct = ({image, text, decoder}: SweepPoint): Uint8Array => replay.fixed(image!, text!, decoder!).correct;
  const [a, b] = [correct(statics[from]!), correct(statics[to]!)];
  return Float64Array.from(a, (x, i) => (1 - share) * x + share * b[i]!);
}

function layersRun({weights}: PolicyReplay, {imageLayers, textLayers, decoderLayers}: ItemOutcomes): Float64Array {
  return Float64Array.from(imageLayers, (image, i) => weigh(weights, image, textLayers[i]!, decoderLayers[i]!));
}
