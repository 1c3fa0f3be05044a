import type {Interval} from '../../statistics/bootstrap.js';
import {csvLine, percent, shortPercent, signedPoints, significant, tableLine} from '../../text/format.js';
import type {PolicySetting} from '../policy-setting.js';
import {type ByPlace, lastStack, PLACES, type RecordedStacks, stacksBefore} from '../stacks.js';
import type {CostName, Sweep, SweepMeans} from './sweep.js';
import type {SweepVerdict} from './verdicts.js';

// Sweeps for people, and as CSV. The parts that sweeps of all kinds share come first.

/** Name of a cost in a sentence. */
export function costText(cost: CostName): string {
  return cost === 'macs' ? 'MACs' : 'layers';
}

/** The setting in short: `similarity .61/.543, softmax-margin .93`. */
export function settingText({encoder, policy, image, text, decoder, patience, score}: PolicySetting): string {
  const number = (value: number | null): string => (value === null ? 'never' : significant(value, 5));
  const kind = encoder === 'fixed' ? 'depth' : 'similarity';
  const more = patience === undefined ? (score ?? '') : `${patience} layers`;
  const before = [image, text].filter((value) => value !== undefined).map(number);
  return `${kind} ${before.join('/')}, ${policy}${more ? ` (${more})` : ''} ${number(decoder)}`;
}

/** At most `most` of a list, evenly spread, both ends among them. */
export function thinned<T>(all: readonly T[], most: number): readonly T[] {
  return all.length <= most
    ? all
    : Array.from({length: most}, (_, k) => all[Math.round((k / Math.max(1, most - 1)) * (all.length - 1))]!);
}

/** A stack's name in tables: `image` of `encoder.image`. */
export function shortName(stack: string): string {
  return stack.slice(stack.lastIndexOf('.') + 1);
}

/** Widths of the columns of costs in a front's table: layers, saved layers, saved MACs. */
const COST_WIDTHS = [16, 8, 8];

/** Heads of the columns of costs and setting, by the names of the recorded stacks. */
export function costHeads(stacks: RecordedStacks): string {
  const initials = stacks.map(({stack}) => shortName(stack)[0]).join('/');
  const [first, ...more] = stacksBefore(stacks).map(({stack}) => stack);
  const settings = `${[first!.replace('.', ' '), ...more.map(shortName)].join('/')}, ${shortName(lastStack(stacks).stack)}`;
  return tableLine([`layers ${initials}`, '-layers', '-MACs', settings], COST_WIDTHS);
}

/** Mean layers of every stack: `2.12/1.14/3.05`. */
export function layersText(layers: ByPlace<number>): string {
  return placed(layers)
    .map((count) => count.toFixed(2))
    .join('/');
}

/** The values that there are, in the order of the places. */
function placed<T>(values: ByPlace<T>): readonly T[] {
  return PLACES.flatMap((place) => values[place] ?? []);
}

/** Costs and setting of a point, below those heads. */
export function costCells(point: PolicySetting & Pick<SweepMeans, 'layers' | 'etr' | 'macs'>): string {
  return tableLine(
    [layersText(point.layers), percent(point.etr), percent(point.macs.saved), settingText(point)],
    COST_WIDTHS,
  );
}

/** The front of one cost as a table, thinned to at most `rows` lines. */
export function* frontText({recording, points, fronts, full}: Sweep, cost: CostName, rows = 16): Generator<string> {
  const all = fronts[cost].map((i) => points[i]!);
  const shown = thinned(all, rows);
  yield `front of ${costText(cost)} (${shown.length} of ${all.length} points; full depth: accuracy ${full.accuracy.toFixed(4)})`;
  yield `accuracy  kept      agrees    ${costHeads(recording.stacks)}`;
  for (const point of shown) {
    const quality = [point.accuracy.toFixed(4), percent(point.retention), percent(point.agreement)];
    yield tableLine([...quality, costCells(point)], [8, 8, 8]);
  }
}

/** Points and fixed depths of a sweep, as far as a verdict names them. */
interface SettingLists {
  readonly points: readonly PolicySetting[];
  readonly static: readonly PolicySetting[];
}

/**
 * A verdict as a sentence: the quality that a policy keeps with confidence, and whether it beats fixed depths.
 * @param level confidence of the verdict
 * @param kept, gained words for the measures
 */
export function verdictText(
  {policy, cost, claim, point, retention, saving, holds, against}: SweepVerdict,
  sweep: SettingLists,
  level: number,
  {kept, gained} = {kept: 'retention', gained: 'accuracy'},
): string {
  const bound = ({estimate, lowerBound}: Interval): string => `${percent(estimate)} (≥ ${percent(lowerBound)})`;
  return (
    `${policy}, ${costText(cost)} (${settingText(sweep.points[point]!)}): ` +
    `${kept} ≥ ${percent(retention.lowerBound)} with ${shortPercent(level, 6)} confidence ` +
    `(${percent(retention.estimate)} here), ${percent(claim)} ${holds ? 'holds' : 'FAILS'}; ` +
    `saves ${bound(saving.layers)} of layers, ${bound(saving.macs)} of MACs; ${rivalText(against, sweep, cost, gained)}`
  );
}

function rivalText(against: SweepVerdict['against'], sweep: SettingLists, cost: CostName, gained: string): string {
  if (against === null) return 'no static depth costs so little';
  const {from, to, share, gain} = against;
  const depths = (index: number): string => {
    const {image, text, decoder} = sweep.static[index]!;
    return `(${[image, text, decoder].filter((depth) => depth !== undefined).join(', ')})`;
  };
  const rival = from === to ? depths(from) : `${depths(from)}–${depths(to)}, ${percent(share)} of the latter,`;
  const outcome = gain.low > 0 ? 'BEATS' : gain.high < 0 ? 'LOSES to' : 'no better than';
  const [estimate, low, high] = [gain.estimate, gain.low, gain.high].map(signedPoints);
  return `${outcome} static ${rival} at equal ${costText(cost)}: ${estimate} [${low}, ${high}] points of ${gained}`;
}

/** Heads of the CSV columns of settings (`settingCells`) and of costs (`costCsvCells`). */
export const SETTING_HEADS = 'kind,encoder,policy,patience,score,image,text,decoder';
export const COST_HEADS = 'image_layers,text_layers,decoder_layers,etr,macs_run,macs_full,macs_saved,exact';

/** CSV cells of a setting. */
export function settingCells({encoder, policy, patience, score, image, text, decoder}: PolicySetting): string[] {
  const values = [image, text, decoder].map((value) => (value === null ? 'never' : String(value ?? '')));
  return [encoder, policy, patience === undefined ? '' : String(patience), score ?? '', ...values];
}

/** CSV cells of costs. */
export function costCsvCells({
  layers,
  etr,
  macs,
  exact,
}: Pick<SweepMeans, 'layers' | 'etr' | 'macs'> & {readonly exact: boolean}): string[] {
  const cells = PLACES.map((place) => (layers[place] === undefined ? '' : csvNumber(layers[place])));
  return [...cells, ...[etr, macs.run, macs.full, macs.saved].map(csvNumber), String(exact)];
}

export function csvNumber(value: number): string {
  return significant(value, 10);
}

/** Every point, fixed depth, oracle and random expectation as CSV lines. */
export function* sweepCsv(sweep: Sweep): Generator<string> {
  yield `${SETTING_HEADS},accuracy,agreement,retention,${COST_HEADS}\n`;
  const meanCells = (means: SweepMeans): string[] => [
    ...[means.accuracy, means.agreement, means.retention].map(csvNumber),
    ...costCsvCells(means),
  ];
  for (const point of sweep.points) yield csvLine(['policy', ...settingCells(point), ...meanCells(point)]);
  for (const point of sweep.static) yield csvLine(['static', ...settingCells(point), ...meanCells(point)]);
  for (const point of sweep.oracle) {
    const depths = [point.image, point.text].map((depth) => String(depth ?? ''));
    yield csvLine(['oracle', 'fixed', point.oracle, '', '', ...depths, '', ...meanCells(point)]);
  }
  for (const {of, accuracy, agreement, retention, macs: run} of sweep.random) {
    const point = sweep.points[of]!;
    const macs = {...point.macs, run, saved: 1 - run / point.macs.full};
    yield csvLine(['random', ...settingCells(point), ...meanCells({...point, accuracy, agreement, retention, macs})]);
  }
}
