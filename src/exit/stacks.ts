import {UsageError} from '../runtime/errors.js';
import type {StackName} from './policy.js';

// Roles of the stacks of all families: the one table that metrics, recordings and replays read.

interface StackRole {
  /** An encoder runs once an answer, a decoder for every token that is generated or scored. */
  readonly side: 'encoder' | 'decoder';
  /** Whether its states become tokens: the last stack to run. */
  readonly producesTokens: boolean;
  /** Weight of one of its layers where layers are counted. */
  readonly weight: number;
  /**
   * Whether it is a stack only for plans that name it, and part of what stands before the stacks for all others. Such a
   * stack may also be left before its first layer.
   */
  readonly optional?: true;
}

const ROLES: Readonly<Record<StackName, StackRole>> = {
  // Blocks of the picture's ResNet, which MuE's count of layers leaves out; their multiply-accumulates count in full.
  'encoder.patch': {side: 'encoder', producesTokens: false, weight: 0, optional: true},
  // Two streams of one encoder that do not see each other: MuE counts their mean (docs/reference/early-exit.md A5).
  'encoder.image': {side: 'encoder', producesTokens: false, weight: 0.5},
  'encoder.text': {side: 'encoder', producesTokens: false, weight: 0.5},
  encoder: {side: 'encoder', producesTokens: false, weight: 1},
  decoder: {side: 'decoder', producesTokens: true, weight: 1},
  vision: {side: 'encoder', producesTokens: false, weight: 1},
  // Before the multimodal stack, token by token (docs/reference/coca.md 10).
  text: {side: 'decoder', producesTokens: false, weight: 1},
  multimodal: {side: 'decoder', producesTokens: true, weight: 1},
};

/** Weight of a layer where layers are counted; 1 for a stack that is not known. */
export function layerWeight(stack: string): number {
  return Object.hasOwn(ROLES, stack) ? ROLES[stack as StackName].weight : 1;
}

/** Whether the states of a stack become tokens. */
export function producesTokens(stack: StackName): boolean {
  return ROLES[stack].producesTokens;
}

/** Whether a stack runs for every token, and may leave each time at another layer; others run once an answer. */
export function runsPerToken(stack: StackName): boolean {
  return ROLES[stack].side === 'decoder';
}

/** Whether a stack runs as one only where a plan names it, and may be skipped as a whole. */
export function isOptional(stack: StackName): boolean {
  return ROLES[stack].optional ?? false;
}

/** The fewest layers that a pass through a stack may run. */
export function leastLayers(stack: StackName): 0 | 1 {
  return isOptional(stack) ? 0 : 1;
}

/** The stack whose states become tokens. @throws UsageError for a model without one */
export function writingStack(stacks: Readonly<Partial<Record<StackName, number>>>): StackName {
  const found = (Object.keys(stacks) as StackName[]).find(producesTokens);
  if (found) return found;
  throw new UsageError('stack-writing', `none of the stacks ${Object.keys(stacks).join(', ')} writes words`);
}

/**
 * Weighted layers on both sides.
 * @param layers   run in a stack
 * @param stacks   all that a model has
 */
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

/**
 * How the layers that an exit skipped get their keys and values for that token (docs/reference/ofa-mue.md 10.9).
 * - `gap`: not at all; their caches stay shorter, as in the authors' release.
 * - `copy`: they take over those of the exit layer: its whole cache, as the authors' research branch intends, or those
 *   of the last token alone (docs/reference/coca.md 10).
 * - `project`: from the exit state, through their own projections.
 * - `just-in-time`: exactly; the token is run through the missing layers together with the next one that goes deeper.
 */
export const SKIPPED_KV = ['gap', 'copy', 'project', 'just-in-time'] as const;
export type SkippedKv = (typeof SKIPPED_KV)[number];
