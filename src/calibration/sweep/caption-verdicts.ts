import {captionRetention} from '../../evaluation/caption-retention.js';
import {type BootstrapOptions, bootstrap, type Interval} from '../../statistics/bootstrap.js';
import {staticMix} from '../replay/baselines.js';
import {
  type CaptionOutcomes,
  type CaptionPoint,
  type CaptionRuns,
  type CaptionSweep,
  isStatic,
  layersCounted,
} from './caption-sweep.js';
import {type CostName, pointCost} from './sweep.js';
import type {SweepVerdict, VerdictOptions} from './verdicts.js';

/** Measure that a claim is about: CIDEr-D, or the mean of the retentions of all six metrics. */
export type CaptionMeasure = 'CIDEr-D' | 'mean';

/** Like `SweepVerdict`, but `against.gain` is measured in CIDEr-D. */
export interface CaptionVerdict extends SweepVerdict {
  readonly measure: CaptionMeasure;
}

const MEASURES: readonly CaptionMeasure[] = ['CIDEr-D', 'mean'];

/** A verdict for each policy, cost and measure, with intervals from a paired bootstrap over pictures. */
export function captionVerdicts(captions: CaptionRuns, sweep: CaptionSweep, options: VerdictOptions): CaptionVerdict[] {
  const adaptive = captions.outcomes.filter(({setting}) => !isStatic(setting));
  const known = new Map<CaptionOutcomes, Judged>();
  return Object.keys(sweep.policyFronts).flatMap((policy) =>
    (['layers', 'macs'] as const).flatMap((cost) =>
      MEASURES.flatMap((measure): CaptionVerdict[] => {
        const point = chosen(captions, sweep.points, policy, {measure, cost, claim: options.claim});
        if (point === undefined) return [];
        const of = adaptive[point]!;
        const judged = known.get(of) ?? judge(captions, of, options);
        known.set(of, judged);
        const kept = judged.kept[measure];
        return [
          {
            policy,
            cost,
            measure,
            claim: options.claim,
            point,
            retention: kept,
            saving: judged.saving,
            holds: kept.lowerBound >= options.claim,
            against: against(captions, sweep, of, {point, cost}, options),
          },
        ];
      }),
    ),
  );
}

/** The policy's cheapest point that keeps the claim, or, if none does, the one that keeps most. */
function chosen(
  {stacks}: CaptionRuns,
  points: readonly CaptionPoint[],
  policy: string,
  {measure, cost, claim}: {readonly measure: CaptionMeasure; readonly cost: CostName; readonly claim: number},
): number | undefined {
  const kept = ({retention, meanRetention}: CaptionPoint): number => (measure === 'mean' ? meanRetention : retention);
  const all = points.flatMap((point, i) => (point.policy === policy ? [i] : []));
  const cheap = all.toSorted((a, b) => pointCost(points[a]!, cost, stacks) - pointCost(points[b]!, cost, stacks));
  const most = all.toSorted((a, b) => kept(points[b]!) - kept(points[a]!));
  return cheap.find((i) => kept(points[i]!) >= claim) ?? most[0];
}

/** Retention of each measure and savings of each cost, of one setting. */
interface Judged {
  readonly kept: Readonly<Record<CaptionMeasure, Interval>>;
  readonly saving: Readonly<Record<CostName, Interval>>;
}

function judge(captions: CaptionRuns, early: CaptionOutcomes, options: VerdictOptions): Judged {
  const {full} = captions;
  const drawn = resampling(captions, options);
  const kept = captionRetention(early.scores, full.scores, drawn);
  const saving = bootstrap(
    [layersCounted(captions, early), layersCounted(captions, full), early.macs, full.macs],
    {layers: (sums) => 1 - sums[0]! / sums[1]!, macs: (sums) => 1 - sums[2]! / sums[3]!},
    drawn,
  );
  return {kept: {'CIDEr-D': kept['CIDEr-D'], mean: kept.mean}, saving};
}

/** Gain in CIDEr-D of a point over the best mix of two fixed depths that costs as much. */
function against(
  captions: CaptionRuns,
  sweep: CaptionSweep,
  early: CaptionOutcomes,
  {point, cost}: {readonly point: number; readonly cost: CostName},
  options: VerdictOptions,
): SweepVerdict['against'] {
  const rivals = sweep.staticFronts[cost].map((index) => {
    const rival = sweep.static[index]!;
    return {index, cost: pointCost(rival, cost, captions.stacks), quality: rival.metrics['CIDEr-D']};
  });
  const mix = staticMix(rivals, pointCost(sweep.points[point]!, cost, captions.stacks));
  if (mix === undefined) return null;
  const statics = captions.outcomes.filter(({setting}) => isStatic(setting)).map(({scores}) => scores.ciderD.perItem);
  const [a, b] = [statics[mix.from]!, statics[mix.to]!];
  const rival = a.map((x, i) => (1 - mix.share) * x + mix.share * b[i]!);
  const {gain} = bootstrap(
    [early.scores.ciderD.perItem, rival, new Uint8Array(rival.length).fill(1)],
    {gain: (sums) => (sums[0]! - sums[1]!) / sums[2]!},
    resampling(captions, options),
  );
  return {...mix, gain};
}

function resampling(captions: CaptionRuns, {level, resamples, seed}: VerdictOptions): BootstrapOptions {
  return {level, resamples, seed, groups: captions.pictures};
}
