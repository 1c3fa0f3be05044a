import {z} from 'zod';
import {InputError} from '../../runtime/errors.js';
import {shortName} from './text.js';

/** One setting of a sweep and what it came to, means over items. What is absent is not known. */
export interface SweptPoint {
  /** What decides: a policy, or `full depth`, `static depth`, `random`, `oracle …`. */
  readonly policy: string;
  /** Threshold or depth by stack, and further parameters, as text. */
  readonly setting: string;
  readonly metrics: Readonly<Record<string, number>>;
  /** Share of the answers that are those of the full model. */
  readonly agreement: number | null;
  readonly retention: number | null;
  /** By stack. */
  readonly layers: Readonly<Record<string, number>> | undefined;
  readonly etr: number | null;
  readonly macs: number | null;
  readonly macsFull: number | null;
  /** Whether the figures are those of running it; a replay of free text only proposes. */
  readonly exact: boolean;
}

/** Bounds of one policy's best point, as the sweep judged them. */
export interface SweptVerdict {
  readonly policy: string;
  readonly cost: string;
  readonly claim: number;
  /** What the claim is about, where a task has several measures. */
  readonly measure?: string | undefined;
  readonly holds: boolean;
  /** The point, as text. */
  readonly setting: string;
  readonly retention: Bounds;
  readonly saving: {readonly layers: Bounds; readonly macs: Bounds};
  /** Gain over the best static depth that costs no more, in quality. */
  readonly gain: {readonly estimate: number; readonly low: number; readonly high: number} | null;
}
interface Bounds {
  readonly estimate: number;
  readonly lowerBound: number;
}

/** sweep.json, as far as a report reads it. */
export interface SweepFile {
  readonly task: string;
  readonly n: number | null;
  readonly depths: Readonly<Record<string, number>>;
  readonly points: readonly SweptPoint[];
  readonly verdicts: readonly SweptVerdict[];
  /** Where the thresholds come from. */
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
const sweepSchema = z.looseObject({
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
 * Reads what `mue sweep` wrote: its points, and the full model, static depths, random exits and oracles beside them. Unknown
 * fields are left alone. @param where names it in errors. @throws InputError `sweep-corrupt`, `sweep-empty`
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
  const stacks = recording?.stacks.map(({stack}) => stack) ?? STREAMS;
  const named = (point: RawPoint, policy: string, text = settingText(point, stacks)): SweptPoint =>
    swept(point, policy, text, stacks);
  return {
    task: recording?.task ?? rest.task ?? 'snli-ve',
    n: recording?.n ?? rest.n ?? null,
    depths: recording
      ? Object.fromEntries(recording.stacks.map(({stack, depth}) => [stack, depth]))
      : byStack(rest.depths ?? {}, stacks),
    points: [
      ...(full ? [named(full, 'full depth', '')] : []),
      ...points.map((point) => named(point, policyName(point))),
      ...rest.static.map((point) => named(point, 'static depth')),
      ...rest.random.map((point) => {
        const of = point.of === undefined ? undefined : points[point.of];
        return randomPoint(named(point, 'random'), of && named(of, policyName(of)));
      }),
      ...rest.oracle.map((point) => {
        // One oracle a cost: each is a point of the same kind.
        const policy = `oracle ${point.oracle.replace(/-(layers|macs)$/, '')}`.trim();
        return point.image === null ? named(point, policy, '') : named(point, policy);
      }),
    ],
    verdicts: verdicts.map(({point, against, ...verdict}) => ({
      ...verdict,
      setting: points[point] ? settingText(points[point], stacks) : '',
      gain: against?.gain ?? null,
    })),
    settingsFrom,
  };
}

/** What a sweep calls image, text and decoder, where it does not say. */
const STREAMS: readonly string[] = ['encoder.image', 'encoder.text', 'decoder'];

function swept(point: RawPoint, policy: string, text: string, stacks: readonly string[]): SweptPoint {
  const {accuracy, metrics, agreement, retention, layers, etr, macs, exact} = point;
  const all = Object.entries({...(accuracy === undefined ? {} : {accuracy}), ...metrics});
  return {
    policy,
    setting: text,
    metrics: Object.fromEntries(all.filter((entry): entry is [string, number] => entry[1] !== null)),
    agreement: agreement ?? null,
    retention: retention ?? null,
    layers: layers && byStack(layers, stacks),
    etr: etr ?? null,
    macs: (typeof macs === 'number' ? macs : macs?.run) ?? null,
    macsFull: (typeof macs === 'number' ? null : macs?.full) ?? null,
    exact: exact ?? true,
  };
}

/** Depths drawn as often as a point uses them: its layers, nearly its MACs. */
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
  stacks: readonly string[],
): string {
  const [first, second, last] = stacks.map(shortName) as [string, string, string];
  const all = {[first]: image, [second]: text, [last]: decoder, patience, score};
  const parts = Object.entries(all).filter(([, value]) => value !== undefined);
  if (Array.isArray(thresholds)) parts.push(['thresholds', `[${thresholds.map(valueText).join(', ')}]`]);
  else
    parts.push(
      ...(Object.entries(thresholds ?? {}).map(([stack, value]) => [
        shortName(stack),
        valueText(value),
      ]) as typeof parts),
    );
  const depths = encoder === 'fixed' && policy !== 'fixed' ? 'fixed ' : '';
  return parts
    .map(([name, value]) => `${name === first || name === second ? depths : ''}${name} ${valueText(value)}`)
    .join(', ');
}

function valueText(value: unknown): string {
  if (typeof value === 'number') return String(Number(value.toPrecision(6)));
  return value === null ? 'never' : typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

/** Sweeps say image, text and decoder for the model's three stacks. */
function byStack(layers: Readonly<Record<string, number>>, stacks: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    Object.entries(layers).map(([place, value]) => [
      stacks[['image', 'text', 'decoder'].indexOf(place)] ?? place,
      value,
    ]),
  );
}
