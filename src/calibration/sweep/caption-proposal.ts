import {csvLine, percent, tableLine} from '../../text/format.js';
import {paretoFront} from '../../statistics/pareto-front.js';
import {byStack, weightedLayers} from '../stacks.js';
import {DECODER_POLICIES, type DecoderPolicy, type PolicySetting} from '../policy-setting.js';
import type {CostName, Sweep, SweepMeans} from './sweep.js';
import {
  COST_HEADS,
  costCells,
  costCsvCells,
  costHeads,
  costText,
  csvNumber,
  SETTING_HEADS,
  settingCells,
  thinned,
} from './text.js';

// A replay of captions only proposes settings: other exits write other words, which were not recorded.

/** Policies that a caption can be searched for with: a linear head would have to be trained first. */
export const CAPTION_POLICIES: readonly DecoderPolicy[] = DECODER_POLICIES.filter((policy) => policy !== 'linear-head');

/** Means over the positions of captions that were recorded at full depth. */
export interface ProposedMeans extends Pick<SweepMeans, 'layers' | 'etr' | 'macs'> {
  /**
   * Fraction of positions where the likeliest word is that of full depth's caption: a proxy of quality, fed with full
   * depth's words.
   */
  readonly agreement: number;
  readonly exact: false;
}
export type ProposedPoint = PolicySetting & ProposedMeans;

/** A sweep whose figures are estimates. */
export interface Proposal extends Omit<Sweep, 'full' | 'points' | 'static' | 'oracle' | 'random'> {
  readonly full: ProposedMeans;
  readonly points: readonly ProposedPoint[];
  readonly static: readonly ProposedPoint[];
}

/** Marks every figure of a replayed caption recording as an estimate. */
export function captionProposal({oracle: _, random: __, full, points, static: statics, ...sweep}: Sweep): Proposal {
  return {...sweep, full: proposed(full), points: points.map(proposed), static: statics.map(proposed)};
}

/** A point with the accuracy of its positions as agreement with full depth, in place of what only a run can tell. */
function proposed<T extends SweepMeans>({accuracy, agreement: _, retention: __, exact: ___, ...rest}: T) {
  return {...rest, agreement: accuracy, exact: false as const};
}

/** Settings worth running: of the fronts of both costs and of fixed depths at most `most` each, evenly spread. */
export function promising({points, static: statics, fronts, staticFronts}: Proposal, most: number): PolicySetting[] {
  const picked = (cost: CostName): PolicySetting[] => [
    ...thinned(fronts[cost], most).map((i) => settingOf(points[i]!)),
    ...thinned(staticFronts[cost], most).map((i) => settingOf(statics[i]!)),
  ];
  return [...picked('layers'), ...picked('macs')];
}

/**
 * Settings worth certifying: from the front of agreement and cost, fixed depths among them, at most `most`, of those
 * whose words are not too often others.
 * @param others largest fraction of positions with another word than full depth has there
 */
export function candidates(
  {points, static: statics, full, recording}: Proposal,
  cost: CostName,
  {most, others}: {readonly most: number; readonly others: number},
): PolicySetting[] {
  const all = [...points, ...statics];
  const costOf = ({layers, macs}: ProposedPoint): number =>
    cost === 'macs' ? macs.run : weightedLayers(recording.stacks, byStack(recording.stacks, layers));
  const front = paretoFront(
    all.map(({agreement}) => -agreement),
    all.map(costOf),
  ).map((i) => all[i]!);
  const close = front.filter(({agreement}) => agreement >= full.agreement - others);
  return thinned(close.length > 0 ? close : front.slice(0, 1), most).map(settingOf);
}

function settingOf({
  agreement: _,
  exact: __,
  layers: ___,
  etr: ____,
  macs: _____,
  ...setting
}: ProposedPoint): PolicySetting {
  return setting;
}

/** The front of one cost as a table, thinned to at most `rows` lines. */
export function* proposalText(
  {recording, points, fronts, full}: Proposal,
  cost: CostName,
  rows = 16,
): Generator<string> {
  const all = fronts[cost].map((i) => points[i]!);
  const shown = thinned(all, rows);
  yield `proposed front of ${costText(cost)} (${shown.length} of ${all.length} points, estimates; full depth agrees with its own captions at ${percent(full.agreement)} of positions)`;
  yield `own word  ${costHeads(recording.stacks)}`;
  for (const point of shown) yield tableLine([percent(point.agreement), costCells(point)], [8]);
}

/** Every point and fixed depth as CSV lines. */
export function* proposalCsv({points, static: statics}: Proposal): Generator<string> {
  yield `${SETTING_HEADS},agreement,${COST_HEADS}\n`;
  for (const point of points) yield line('policy', point);
  for (const point of statics) yield line('static', point);
}

function line(kind: string, point: ProposedPoint): string {
  return csvLine([kind, ...settingCells(point), csvNumber(point.agreement), ...costCsvCells(point)]);
}
