import type {Interval} from '../../statistics/bootstrap.js';
import type {PolicySetting, SettingTarget} from '../policy-setting.js';
import type {CostName, Sweep, SweepMeans} from './sweep.js';
import type {SweepVerdict} from './verdicts.js';

// A sweep for people, and as CSV.

/** The setting in short: `similarity .61/.543, softmax-margin .93`. */
export function settingText({encoder, policy, image, text, decoder, patience, score}: PolicySetting): string {
  const number = (value: number | null): string => (value === null ? 'never' : String(Number(value.toPrecision(5))));
  const kind = encoder === 'fixed' ? 'depth' : 'similarity';
  const more = patience === undefined ? (score ?? '') : `${patience} layers`;
  return `${kind} ${number(image)}/${number(text)}, ${policy}${more ? ` (${more})` : ''} ${number(decoder)}`;
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

/** Heads of the last columns of a front's table, by the three stacks of a recording. */
export function frontHeads({stacks}: Pick<SettingTarget, 'stacks'>): string {
  const [first, second, last] = stacks.map(({stack}) => stack) as [string, string, string];
  const initials = [first, second, last].map((stack) => shortName(stack)[0]).join('/');
  const settings = `${first.replace('.', ' ')}/${shortName(second)}, ${shortName(last)}`;
  return `${`layers ${initials}`.padEnd(16)}  -layers   -MACs     ${settings}`;
}

/** The front of one cost as a table, thinned to at most `rows` lines. */
export function* frontText({recording, points, fronts, full}: Sweep, cost: CostName, rows = 16): Generator<string> {
  const all = fronts[cost].map((i) => points[i]!);
  const shown = thinned(all, rows);
  yield `front of ${cost === 'macs' ? 'MACs' : 'layers'} (${shown.length} of ${all.length} points; full depth: accuracy ${full.accuracy.toFixed(4)})`;
  yield `accuracy  kept      agrees    ${frontHeads(recording)}`;
  for (const point of shown) {
    const {image, text, decoder} = point.layers;
    const depths = [image, text, decoder].map((x) => x.toFixed(2)).join('/');
    yield [
      point.accuracy.toFixed(4).padEnd(8),
      ...[point.retention, point.agreement].map((x) => percent(x).padEnd(8)),
      depths.padEnd(16),
      ...[point.etr, point.macs.saved].map((x) => percent(x).padEnd(8)),
      settingText(point),
    ].join('  ');
  }
}

interface SettingLists {
  readonly points: readonly PolicySetting[];
  readonly static: readonly PolicySetting[];
}

/** What a policy keeps with confidence, and whether it beats static depth. */
export function verdictText(
  {policy, cost, claim, point, retention, saving, holds, against}: SweepVerdict,
  sweep: SettingLists,
  level: number,
  {kept, gained}: {readonly kept: string; readonly gained: string} = {kept: 'retention', gained: 'accuracy'},
): string {
  const bound = (what: string, {estimate, lowerBound}: Interval): string =>
    `${what} ${percent(estimate)} (≥ ${percent(lowerBound)})`;
  const sure = `${Number((100 * level).toPrecision(6))} %`;
  const name = cost === 'macs' ? 'MACs' : 'layers';
  const rival =
    against === null
      ? 'no static depth costs so little'
      : `${against.gain.low > 0 ? 'BEATS' : against.gain.high < 0 ? 'LOSES to' : 'no better than'} static ${staticText(sweep, against)} at equal ${name}: ` +
        `${points(against.gain.estimate)} [${points(against.gain.low)}, ${points(against.gain.high)}] points of ${gained}`;
  return (
    `${policy}, ${name} (${settingText(sweep.points[point]!)}): ${kept} ≥ ${percent(retention.lowerBound)} with ${sure} confidence ` +
    `(${percent(retention.estimate)} here), ${percent(claim)} ${holds ? 'holds' : 'FAILS'}; ` +
    `${bound('saves', saving.layers)} of layers, ${bound('', saving.macs).trim()} of MACs; ${rival}`
  );
}

/** Every point, static line, oracle and random expectation as CSV lines. */
export function* sweepCsv(sweep: Sweep): Generator<string> {
  yield 'kind,encoder,policy,patience,score,image,text,decoder,accuracy,agreement,retention,image_layers,text_layers,decoder_layers,etr,macs_run,macs_full,macs_saved,exact\n';
  const meanCells = (means: SweepMeans): string[] => [
    ...[
      means.accuracy,
      means.agreement,
      means.retention,
      means.layers.image,
      means.layers.text,
      means.layers.decoder,
      means.etr,
    ].map(csvNumber),
    ...[means.macs.run, means.macs.full, means.macs.saved].map(csvNumber),
    'true',
  ];
  for (const point of sweep.points) yield csvLine('policy', ...settingCells(point), ...meanCells(point));
  for (const point of sweep.static) yield csvLine('static', ...settingCells(point), ...meanCells(point));
  for (const point of sweep.oracle)
    yield csvLine(
      'oracle',
      'fixed',
      point.oracle,
      '',
      '',
      ...[point.image, point.text].map((x) => (x === null ? '' : String(x))),
      '',
      ...meanCells(point),
    );
  for (const {of, accuracy, agreement, retention, macs} of sweep.random) {
    const point = sweep.points[of]!;
    const same = {
      ...point,
      accuracy,
      agreement,
      retention,
      macs: {...point.macs, run: macs, saved: 1 - macs / point.macs.full},
    };
    yield csvLine('random', ...settingCells(point), ...meanCells(same));
  }
}

/** encoder, policy, patience, score, image, text, decoder */
export function settingCells({encoder, policy, patience, score, image, text, decoder}: PolicySetting): string[] {
  return [
    encoder,
    policy,
    patience === undefined ? '' : String(patience),
    score ?? '',
    ...[image, text, decoder].map(orNever),
  ];
}

export function csvLine(...cells: readonly string[]): string {
  return `${cells.join(',')}\n`;
}

function orNever(value: number | null): string {
  return value === null ? 'never' : String(value);
}

export function csvNumber(value: number): string {
  return String(Number(value.toPrecision(10)));
}

function staticText({static: statics}: SettingLists, {from, to, share}: NonNullable<SweepVerdict['against']>): string {
  const depths = (index: number): string => {
    const {image, text, decoder} = statics[index]!;
    return `(${image}, ${text}, ${decoder})`;
  };
  return from === to ? depths(from) : `${depths(from)}–${depths(to)}, ${percent(share)} of the latter,`;
}

export function percent(x: number): string {
  return `${(100 * x).toFixed(2)} %`;
}

function points(x: number): string {
  return `${x < 0 ? '−' : '+'}${Math.abs(100 * x).toFixed(2)}`;
}
