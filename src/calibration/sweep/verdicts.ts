import {retention} from '../../metrics/savings.js';
import {bootstrap, type Interval} from '../../statistics/bootstrap.js';
import {type StaticMix, staticMix} from '../replay/baselines.js';
import type {PolicyReplay} from '../replay/policy-replay.js';
import type {ItemOutcomes} from '../replay/threshold-replay.js';
import {weightedLayersEach} from '../stacks.js';
import {type CostName, pointCost, type Sweep} from './sweep.js';

/** Worth of one policy's best point, with intervals from a paired bootstrap over pictures. */
export interface SweepVerdict {
  readonly policy: string;
  /**
   * Cost by which the point was chosen: the cheapest that keeps at least `claim` here, or, if none does, the one that
   * keeps most.
   */
  readonly cost: CostName;
  readonly claim: number;
  /** Index into `points`. */
  readonly point: number;
  readonly retention: Interval;
  readonly saving: Readonly<Record<CostName, Interval>>;
  /** Whether the one-sided bound of the retention reaches the claim. */
  readonly holds: boolean;
  /**
   * The most accurate rival of the same cost among fixed depths (indices into `static`): every item at the depths
   * `from`, or, for a fraction `share` of them drawn at random, at the depths `to`; and how much more accurate than
   * that the policy is. null if every fixed depth costs more.
   */
  readonly against: (StaticMix & {readonly gain: Interval}) | null;
}

export interface VerdictOptions {
  /** Retention that is claimed. */
  readonly claim: number;
  /** Confidence of the intervals. */
  readonly level: number;
  readonly resamples: number;
  readonly seed: number;
}

/** A verdict for each policy and cost. */
export function sweepVerdicts(replay: PolicyReplay, sweep: Sweep, options: VerdictOptions): SweepVerdict[] {
  const full = replay.full();
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
  const {stacks} = replay;
  const early = replay.outcomes(sweep.points[point]!);
  const rivals = sweep.staticFronts[cost].map((index) => {
    const rival = sweep.static[index]!;
    return {index, cost: pointCost(rival, cost, stacks), quality: rival.accuracy};
  });
  const mix = staticMix(rivals, pointCost(sweep.points[point]!, cost, stacks));
  const rival = mix === undefined ? full.correct : mixed(replay, sweep, mix);
  const ones = new Uint8Array(full.correct.length).fill(1);
  const statistics = bootstrap(
    [
      early.correct,
      full.correct,
      weightedLayersEach(stacks, early.layers),
      weightedLayersEach(stacks, full.layers),
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
  const [a, b] = [replay.outcomes(statics[from]!).correct, replay.outcomes(statics[to]!).correct];
  return Float64Array.from(a, (x, i) => (1 - share) * x + share * b[i]!);
}
