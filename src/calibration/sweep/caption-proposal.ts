import {DECODER_POLICIES, type DecoderPolicy, type PolicySetting} from '../policy-setting.js';
import {csvLine, csvNumber, frontHeads, percent, settingCells, settingText, thinned} from './text.js';
import type {CostName, Sweep, SweepMeans} from './sweep.js';

// What a replay of captions proposes, for people and as CSV.

/** The front of one cost as a table, thinned to at most `rows` lines. */
export function* proposalText(
  {recording, points, fronts, full}: Proposal,
  cost: CostName,
  rows = 16,
): Generator<string> {
  const all = fronts[cost].map((i) => points[i]!);
  const shown = thinned(all, rows);
  const name = cost === 'macs' ? 'MACs' : 'layers';
  yield `proposed front of ${name} (${shown.length} of ${all.length} points, estimates; full depth agrees with its own captions at ${percent(full.agreement)} of positions)`;
  yield `own word  ${frontHeads(recording)}`;
  for (const point of shown) {
    const {image, text, decoder} = point.layers;
    const depths = [image, text, decoder].map((x) => x.toFixed(2)).join('/');
    const saved = [point.etr, point.macs.saved].map((x) => percent(x).padEnd(8));
    yield [percent(point.agreement).padEnd(8), depths.padEnd(16), ...saved, settingText(point)].join('  ');
  }
}

/** Every point and static point as CSV lines. */
export function* proposalCsv({points, static: statics}: Proposal): Generator<string> {
  yield 'kind,encoder,policy,patience,score,image,text,decoder,agreement,image_layers,text_layers,decoder_layers,etr,macs_run,macs_full,macs_saved,exact\n';
  for (const point of points) yield line('policy', point);
  for (const point of statics) yield line('static', point);
}

function line(kind: string, point: PolicySetting & ProposedMeans): string {
  const {agreement, layers, etr, macs, exact} = point;
  const numbers = [agreement, layers.image, layers.text, layers.decoder, etr, macs.run, macs.full, macs.saved];
  return csvLine(kind, ...settingCells(point), ...numbers.map(csvNumber), String(exact));
}

/** Policies that a caption can be searched for with: a linear head would have to be trained first. */
export const CAPTION_POLICIES: readonly DecoderPolicy[] = DECODER_POLICIES.filter((policy) => policy !== 'linear-head');

/** Means over the positions of captions that were recorded at full depth. */
export interface ProposedMeans extends Pick<SweepMeans, 'layers' | 'etr' | 'macs'> {
  /** Share of positions where the likeliest word is that of full depth's caption: a proxy of quality, fed with full depth's words. */
  readonly agreement: number;
  readonly exact: false;
}

/** A sweep whose figures are estimates. */
export interface Proposal extends Omit<Sweep, 'full' | 'points' | 'static' | 'oracle' | 'random'> {
  readonly full: ProposedMeans;
  readonly points: readonly (PolicySetting & ProposedMeans)[];
  readonly static: readonly (PolicySetting & ProposedMeans)[];
}

/** Says of every figure of a replayed caption recording what it is. */
export function captionProposal({oracle: _, random: __, full, points, static: statics, ...sweep}: Sweep): Proposal {
  return {...sweep, full: proposed(full), points: points.map(proposed), static: statics.map(proposed)};
}

/** Settings worth running: of the fronts of both costs and of the static ones at most `most` each, evenly spread. */
export function promising({points, static: statics, fronts, staticFronts}: Proposal, most: number): PolicySetting[] {
  const picked = (cost: CostName): PolicySetting[] => [
    ...thinned(fronts[cost], most).map((i) => settingOf(points[i]!)),
    ...thinned(staticFronts[cost], most).map((i) => settingOf(statics[i]!)),
  ];
  return [...picked('layers'), ...picked('macs')];
}

function proposed<T extends SweepMeans>(point: T): Omit<T, keyof SweepMeans> & ProposedMeans {
  const {accuracy, agreement: _, retention: __, exact: ___, ...rest} = point;
  return {...rest, agreement: accuracy, exact: false} as Omit<T, keyof SweepMeans> & ProposedMeans;
}

function settingOf({
  agreement: _,
  exact: __,
  layers: ___,
  etr: ____,
  macs: _____,
  ...setting
}: PolicySetting & ProposedMeans): PolicySetting {
  return setting;
}
