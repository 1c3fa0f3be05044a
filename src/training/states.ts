import {z} from 'zod';
import {InputError} from '../runtime/errors.js';

// L layers, N scored positions, D width

/** What is known of cached states besides the numbers, a group of rows with one picture at a time. */
export const stateGroupSchema = z
  .object({
    /** Position of its first row in the data set, from 0. */
    index: z.number().int().nonnegative(),
    imageId: z.string(),
    /** For each scored position the right answer's number, or the token that follows; −1 where it is not known. */
    labels: z.array(z.number().int()).min(1).readonly(),
  })
  .readonly();
export type StateGroup = z.infer<typeof stateGroupSchema>;

/** What states depend on: the first line of their file. */
export const statesHeaderSchema = z
  .object({
    format: z.literal('mue-exit-states'),
    version: z.literal(2),
    task: z.string(),
    /** SHA-256 of the weights. */
    model: z.string(),
    /** SHA-256 of the data file. */
    data: z.string(),
    /** Only so many rows of it; null is all. */
    limit: z.number().nullable(),
    /** Most captions of a picture; null where the task has none. */
    references: z.number().nullable(),
    stack: z.string(),
    /** L */
    layers: z.number().int().positive(),
    /** D */
    size: z.number().int().positive(),
  })
  .readonly();
export type StatesHeader = z.infer<typeof statesHeaderSchema>;

/** States at the scored positions after every layer of the stack that writes, the last one's as the teacher. */
export interface ExitStates {
  readonly layers: number;
  readonly size: number;
  readonly groups: readonly StateGroup[];
  /** States after `layer` layers, from 1: [N, D], groups in order; the array is the caller's. */
  read(layer: number): Float32Array;
}

/** States that grow. */
export interface StateStore extends ExitStates {
  /** @param states [L, n, D] of the group's n positions */
  append(group: StateGroup, states: Float32Array): void;
}

/** How many positions there are. */
export function countPositions(groups: readonly StateGroup[]): number {
  return groups.reduce((sum, {labels}) => sum + labels.length, 0);
}

/** States in memory. */
export class MemoryStates implements StateStore {
  readonly groups: StateGroup[] = [];
  readonly #states: Float32Array[] = [];

  constructor(
    readonly layers: number,
    readonly size: number,
  ) {}

  append(group: StateGroup, states: Float32Array): void {
    checkStates(states, this.layers * group.labels.length * this.size);
    this.groups.push(group);
    this.#states.push(states);
  }

  read(layer: number): Float32Array {
    const all = new Float32Array(countPositions(this.groups) * this.size);
    let at = 0;
    for (const [g, {labels}] of this.groups.entries()) {
      const length = labels.length * this.size;
      all.set(this.#states[g]!.subarray((layer - 1) * length, layer * length), at);
      at += length;
    }
    return all;
  }
}

/** @throws InputError if a state is not made of numbers, which damaged weights lead to */
export function checkStates(states: Float32Array, wanted: number): void {
  if (states.length !== wanted) throw new RangeError(`${states.length} numbers for states of ${wanted}`);
  if (!states.every(Number.isFinite))
    throw new InputError('score-not-finite', 'a state is not made of numbers', {
      hint: 'Damaged weights give such states.',
    });
}
