import {z} from 'zod';
import {STACK_NAMES, type StackName} from '../exit/policy.js';
import {layerWeight} from '../exit/stacks.js';

// A recorded model runs two or three stacks, the last of which produces tokens. Values that belong to stacks are keyed by
// the stacks' names. Files that serve every model name the places instead (image, text, decoder): `byPlace` and
// `byStack` are the one door between the two.

export const stackDepthSchema = z.object({stack: z.enum(STACK_NAMES), depth: z.number().int().positive()}).readonly();

/** A stack and its number of layers. */
export type StackDepth = z.infer<typeof stackDepthSchema>;

/** The stacks of a recorded model in the order in which they run; the last produces tokens. */
export type RecordedStacks = readonly [StackDepth, StackDepth, ...StackDepth[]];

/** A value for each of a model's stacks; stacks that the model lacks are absent. */
export type ByStack<T> = Readonly<Partial<Record<StackName, T>>>;

/** Words of files for the first, the second and the last stack, whatever the model calls them. */
export const PLACES = ['image', 'text', 'decoder'] as const;
export type Place = (typeof PLACES)[number];

/** A value for each place; `text` is absent where a model has two stacks, such as a joint encoder and a decoder. */
export type ByPlace<T> = Readonly<Record<'image' | 'decoder', T> & Partial<Record<'text', T>>>;

/** The place of every stack, in their order. */
export function placesOf(stacks: readonly unknown[]): readonly Place[] {
  return stacks.length === 2 ? ['image', 'decoder'] : PLACES;
}

/** Narrows a list that a file or a model gave. @returns undefined unless every stack has a place */
export function recordedStacks([first, second, ...more]: readonly StackDepth[]): RecordedStacks | undefined {
  return first && second && more.length <= 1 ? [first, second, ...more] : undefined;
}

/** Two or three stacks, as headers of files list them. */
export const recordedStacksSchema = z
  .array(stackDepthSchema)
  .min(2)
  .max(3)
  .transform((stacks): RecordedStacks => [stacks[0]!, stacks[1]!, ...stacks.slice(2)]);

/** The stack that produces tokens. */
export function lastStack(stacks: RecordedStacks): StackDepth {
  return stacks.at(-1)!;
}

/** The stacks before the one that produces tokens. */
export function stacksBefore(stacks: RecordedStacks): readonly StackDepth[] {
  return stacks.slice(0, -1);
}

/** A model's stacks as headers list them. @param stacks depths by name, in the order in which the stacks run */
export function stackDepths(stacks: ByStack<number>): readonly StackDepth[] {
  return (Object.keys(stacks) as StackName[]).map((stack) => ({stack, depth: stacks[stack]!}));
}

/** A value of every stack, computed from the stack's name, its depth, and its place in the order. */
export function mapStacks<T>(
  stacks: readonly StackDepth[],
  value: (stack: StackName, depth: number, index: number) => T,
): ByStack<T> {
  return Object.fromEntries(stacks.map(({stack, depth}, index) => [stack, value(stack, depth, index)]));
}

/** Values by the names of the stacks as files hold them: by place. */
export function byPlace<T>(stacks: RecordedStacks, values: ByStack<T>): ByPlace<T> {
  const places = placesOf(stacks);
  const entries = stacks.map(({stack}, k) => [places[k]!, values[stack]!]);
  return Object.fromEntries(entries) as unknown as ByPlace<T>;
}

/** Values by place, as files hold them, by the names of the stacks. */
export function byStack<T>(stacks: RecordedStacks, values: ByPlace<T>): ByStack<T> {
  const places = placesOf(stacks);
  return mapStacks(stacks, (_stack, _depth, k) => values[places[k]!]!);
}

/** Layers of every stack at full depth. */
export function fullDepth(stacks: readonly StackDepth[]): ByStack<number> {
  return mapStacks(stacks, (_, depth) => depth);
}

/** Layers as they are counted: those of each stack, times what one of its layers counts (`layerWeight`). */
export function weightedLayers(stacks: readonly StackDepth[], layers: ByStack<number>): number {
  return stacks.reduce((sum, {stack}) => sum + layerWeight(stack) * layers[stack]!, 0);
}

/** `weightedLayers` item by item. */
export function weightedLayersEach(stacks: readonly StackDepth[], layers: ByStack<ArrayLike<number>>): Float64Array {
  const columns = stacks.map(({stack}) => layers[stack]!);
  const total = new Float64Array(columns[0]!.length);
  for (const [k, {stack}] of stacks.entries()) {
    const [weight, own] = [layerWeight(stack), columns[k]!];
    for (let i = 0; i < total.length; i++) total[i]! += weight * own[i]!;
  }
  return total;
}

// Combinations of depths are numbered from 0, the last stack's depth running fastest: a cell.

/** Number of combinations of depths. */
export function cellCount(stacks: readonly StackDepth[]): number {
  return stacks.reduce((product, {depth}) => product * depth, 1);
}

/** The cell of every item. @param layers of every stack, from 1, item by item */
export function cellsOf(stacks: readonly StackDepth[], layers: ByStack<ArrayLike<number>>): Int32Array {
  const columns = stacks.map(({stack}) => layers[stack]!);
  const cells = new Int32Array(columns[0]!.length);
  for (const [k, {depth}] of stacks.entries()) {
    const own = columns[k]!;
    for (let i = 0; i < cells.length; i++) cells[i] = cells[i]! * depth + own[i]! - 1;
  }
  return cells;
}

/** Layers of every stack, from 1, in a cell. */
export function cellLayers(stacks: readonly StackDepth[], cell: number): ByStack<number> {
  let rest = cell;
  const layers: Partial<Record<StackName, number>> = {};
  for (const {stack, depth} of stacks.toReversed()) {
    layers[stack] = 1 + (rest % depth);
    rest = Math.floor(rest / depth);
  }
  return layers;
}
