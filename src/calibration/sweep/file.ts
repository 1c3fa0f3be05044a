import {z} from 'zod';
import {InputError} from '../../runtime/errors.js';
import {significant} from '../../text/format.js';
import {type Place, placesOf} from '../stacks.js';
import {shortName} from './text.js';

// sweep.json as a report reads it: written by any version of `mue sweep`, or by hand, hence of stacks of any names.

/** A setting of a sweep with its means over items. null or absent is unknown. */
export interface SweptPoint {
  /** Policy, or `full depth`, `static depth`, `random`, `oracle …`. */
  readonly policy: string;
  /** Threshold or depth of each stack, and further parameters, as text. */
  readonly setting: string;
  readonly metrics: Readonly<Record<string, number>>;
  /** Fraction of the answers that are those of the full model. */
  readonly agreement: number | null;
  readonly retention: number | null;
  /** By stack name. */
  readonly layers: Readonly<Record<string, number>> | undefined;
  /** Fraction of the layers saved. */
  readonly etr: number | null;
  /** Multiply-accumulates. */
  readonly macs: number | null;
  readonly macsFull: number | null;
  /** Whether the setting was run, or replayed exactly; a replay of free text only estimates. */
  readonly exact: boolean;
}

/** Bounds of one policy's best point, as the sweep judged them. */
export interface SweptVerdict {
  readonly policy: string;
  readonly cost: string;
  readonly claim: number;
  /** Measure that the claim is about, where a task has several. */
  readonly measure?: string;
  readonly holds: boolean;
  /** The point, as text. */
  readonly setting: string;
  readonly retention: Bounds;
  readonly saving: {readonly layers: Bounds; readonly macs: Bounds};
  /** Gain in quality over the best fixed depths that cost no more. */
  readonly gain: {readonly estimate: number; readonly low: number; readonly high: number} | null;
}
type Bounds = z.infer<typeof bounds>;

/** The parts of sweep.json that a report reads. */
export interface SweepFile {
  readonly task: string;
  /** Items. */
  readonly n: number | null;
  /** Layers of each stack, by its name. */
  readonly depths: Readonly<Record<string, number>>;
  readonly points: readonly SweptPoint[];
  readonly verdicts: readonly SweptVerdict[];
  /** Origin of the thresholds, in words. */
  readonly settingsFrom: string | undefined;
}

const number = z.number().nullish();
const setting = z.union([z.number(), z.string(), z.null()]).optional();
const pointSchema = z.looseObject({
  policy: z.string().default('unnamed'),
  encoder: z.string().optional(),
  image: setting,
  text: setting,
  decoder: setting,
  patience: setting,
  score: setting,
  thresholds: z.union([z.record(z.string(), z.unknown()), z.array(z.unknown())]).optional(),
  accuracy: number,
  metrics: z.record(z.string(), z.number().nullable()).optional(),
  agreement: number,
  layers: z.record(z.string(), z.number()).optional(),
  etr: number,
  macs: z.union([z.number(), z.looseObject({run: number, full: number})]).nullish(),
  retention: number,
  exact: z.boolean().optional(),
});
type RawPoint = z.infer<typeof pointSchema>;
const bounds = z.looseObject({estimate: z.number(), lowerBound: z.number()});
export const sweepSchema = z.looseObject({
  task: z.string().optional(),
  n: z.number().optional(),
  depths: z.record(z.string(), z.number()).optional(),
  recording: z
    .looseObject({
      task: z.string(),
      n: z.number(),
      stacks: z.array(z.looseObject({stack: z.string(), depth: z.number()})),
    })
    .optional(),
  points: z.array(pointSchema),
  full: pointSchema.optional(),
  static: z.array(pointSchema).default([]),
  random: z.array(pointSchema.extend({of: z.number().optional()})).default([]),
  oracle: z.array(pointSchema.extend({oracle: z.string().default('')})).default([]),
  settingsFrom: z.string().optional(),
  verdicts: z
    .array(
      z.looseObject({
        policy: z.string(),
        cost: z.string(),
        claim: z.number(),
        measure: z.string().optional(),
        holds: z.boolean(),
        point: z.number(),
        retention: bounds,
        saving: z.looseObject({layers: bounds, macs: bounds}),
        against: z
          .looseObject({gain: z.looseObject({estimate: z.number(), low: z.number(), high: z.number()})})
          .nullish(),
      }),
    )
    .default([]),
});

/**
 * Reads a file of `mue sweep`: its points, and the full model, fixed depths, random exits and oracles beside them.
 * Unknown fields are ignored.
 * @param where names the file in errors
 * @throws InputError `sweep-corrupt`, `sweep-empty`
 */
export function parseSweep(json: unknown, where: string): SweepFile {
  const parsed = sweepSchema.safeParse(json);
  if (!parsed.success) {
    const {path, message} = parsed.error.issues[0]!;
    throw new InputError(
      'sweep-corrupt',
      `${where} is no result of a sweep: ${path.join('.') || 'top level'}: ${message}`,
      {
        hint: '`mue sweep` writes one.',
      },
    );
  }
  const {recording, points, full, verdicts, settingsFrom, ...rest} = parsed.data;
  if (points.length === 0) throw new InputError('sweep-empty', `${where} has no points; at least one is needed`);
  const names = stackNames(recording?.stacks.map(({stack}) => stack) ?? STREAMS);
  const named = (point: RawPoint, policy: string, text = settingText(point, names)): SweptPoint =>
    swept(point, policy, text, names);
  return {
    task: recording?.task ?? rest.task ?? 'snli-ve',
    n: recording?.n ?? rest.n ?? null,
    depths: recording
      ? Object.fromEntries(recording.stacks.map(({stack, depth}) => [stack, depth]))
      : byName(rest.depths ?? {}, names),
    points: [
      ...(full ? [named(full, 'full depth', '')] : []),
      ...points.map((point) => named(point, policyName(point))),
      ...rest.static.map((point) => named(point, 'static depth')),
      ...rest.random.map((point) => {
        const of = point.of === undefined ? undefined : points[point.of];
        return randomPoint(named(point, 'random'), of && named(of, policyName(of)));
      }),
      ...rest.oracle.map((point) => {
        // Oracles of both costs are points of one kind.
        const policy = `oracle ${point.oracle.replace(/-(layers|macs)$/, '')}`.trim();
        return point.image === null ? named(point, policy, '') : named(point, policy);
      }),
    ],
    verdicts: verdicts.map(({point, against, ...verdict}) => ({
      ...verdict,
      setting: points[point] ? settingText(points[point], names) : '',
      gain: against?.gain ?? null,
    })),
    settingsFrom,
  };
}

/** Stacks of a sweep that does not name them. */
const STREAMS: readonly string[] = ['encoder.image', 'encoder.text', 'decoder'];

/** The stack at each place. */
type StackNames = ReadonlyMap<string, string>;

function stackNames(stacks: readonly string[]): StackNames {
  return new Map(placesOf(stacks).map((place, k) => [place, stacks[k] ?? place]));
}

/** Values by place, as sweeps hold them, by the names of the stacks; other keys stay. */
function byName(values: Readonly<Record<string, number>>, names: StackNames): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([place, value]) => [names.get(place) ?? place, value]));
}

function swept(point: RawPoint, policy: string, text: string, names: StackNames): SweptPoint {
  const {accuracy, metrics, agreement, retention, layers, etr, macs, exact} = point;
  const all = Object.entries({...(accuracy === undefined ? {} : {accuracy}), ...metrics});
  return {
    policy,
    setting: text,
    metrics: Object.fromEntries(all.filter((entry): entry is [string, number] => entry[1] !== null)),
    agreement: agreement ?? null,
    retention: retention ?? null,
    layers: layers && byName(layers, names),
    etr: etr ?? null,
    macs: (typeof macs === 'number' ? macs : macs?.run) ?? null,
    macsFull: (typeof macs === 'number' ? null : macs?.full) ?? null,
    exact: exact ?? true,
  };
}

/**
 * A point of random depths, drawn as often as another point uses them: it has that one's layers, and nearly its MACs.
 */
function randomPoint(alone: SweptPoint, like: SweptPoint | undefined): SweptPoint {
  if (like === undefined) return alone;
  return {
    ...alone,
    setting: `depths as often as ${like.policy}: ${like.setting}`,
    layers: alone.layers ?? like.layers,
    etr: alone.etr ?? like.etr,
    macsFull: alone.macsFull ?? like.macsFull,
  };
}

/** Fixed depths in all stacks are the static baseline. */
function policyName({policy, encoder}: RawPoint): string {
  if (policy === 'never' || policy === 'full') return 'full depth';
  if (policy !== 'fixed' && policy !== 'static') return policy;
  return encoder === undefined || encoder === 'fixed' ? 'static depth' : 'fixed decoder';
}

function settingText(
  {image, text, decoder, patience, score, thresholds, encoder, policy}: RawPoint,
  names: StackNames,
): string {
  const name = (place: Place): string => shortName(names.get(place) ?? place);
  const fixed = encoder === 'fixed' && policy !== 'fixed' ? 'fixed ' : '';
  const all: readonly (readonly [string, unknown])[] = [
    [`${fixed}${name('image')}`, image],
    [`${fixed}${name('text')}`, text],
    [name('decoder'), decoder],
    ['patience', patience],
    ['score', score],
  ];
  const more: readonly (readonly [string, unknown])[] = Array.isArray(thresholds)
    ? [['thresholds', `[${thresholds.map(valueText).join(', ')}]`]]
    : Object.entries(thresholds ?? {}).map(([stack, value]) => [shortName(stack), value]);
  return [...all.filter(([, value]) => value !== undefined), ...more]
    .map(([what, value]) => `${what} ${valueText(value)}`)
    .join(', ');
}

function valueText(value: unknown): string {
  if (typeof value === 'number') return significant(value, 6);
  return value === null ? 'never' : typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}
