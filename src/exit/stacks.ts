import {UsageError} from '../runtime/errors.js';
import type {StackName} from './policy.js';

// What the stacks of all families are to an answer: the one table that metrics, recordings and replays read.

interface StackRole {
  /** Looks at what is asked, once an answer; or runs for every token that is written or scored. */
  readonly side: 'encoder' | 'decoder';
  /** Whether its states become words: the last stack to run. */
  readonly writes: boolean;
  /** How much one of its layers counts where layers are counted. */
  readonly weight: number;
}

const ROLES: Readonly<Record<StackName, StackRole>> = {
  // Two streams of one encoder that do not see each other: MuE counts their mean (early_exit.md A5).
  'encoder.image': {side: 'encoder', writes: false, weight: 0.5},
  'encoder.text': {side: 'encoder', writes: false, weight: 0.5},
  encoder: {side: 'encoder', writes: false, weight: 1},
  decoder: {side: 'decoder', writes: true, weight: 1},
  vision: {side: 'encoder', writes: false, weight: 1},
  // Before the multimodal stack, token by token (coca section 10).
  text: {side: 'decoder', writes: false, weight: 1},
  multimodal: {side: 'decoder', writes: true, weight: 1},
};

/** How much a layer counts; one of a stack that is not known counts as one. */
export function layerWeight(stack: string): number {
  return stack in ROLES ? ROLES[stack as StackName].weight : 1;
}

export function writes(stack: StackName): boolean {
  return ROLES[stack].writes;
}

/** Whether it runs for every token, and may leave each time at another layer; others run once an answer. */
export function perToken(stack: StackName): boolean {
  return ROLES[stack].side === 'decoder';
}

/** The stack whose states become words. @throws UsageError for a model without one */
export function writingStack(stacks: Readonly<Partial<Record<StackName, number>>>): StackName {
  const found = (Object.keys(stacks) as StackName[]).find(writes);
  if (found) return found;
  throw new UsageError('stack-writing', `none of the stacks ${Object.keys(stacks).join(', ')} writes words`);
}

/** Layers on both sides as they are counted. @param layers of a stack. @param stacks all that a model has */
export function countLayers(
  layers: (stack: StackName) => number,
  stacks: readonly StackName[],
): {encoder: number; decoder: number} {
  const sum = (side: StackRole['side']): number =>
    stacks
      .filter((stack) => ROLES[stack]?.side === side)
      .reduce((all, stack) => all + ROLES[stack].weight * layers(stack), 0);
  return {encoder: sum('encoder'), decoder: sum('decoder')};
}
