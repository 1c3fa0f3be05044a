import {checkArguments, fields, FUNCTION, type Kind, OBJECT, optional, TEXT} from '../runtime/check-arguments.js';
import type * as tf from '@tensorflow/tfjs';

// B rows, T positions, D width, V words

export const STACK_NAMES = [
  'encoder.patch',
  'encoder.image',
  'encoder.text',
  'encoder',
  'decoder',
  'vision',
  'text',
  'multimodal',
] as const;
/**
 * A stack of layers that may exit; thresholds are kept by this name. `encoder` is the joint one of plain OFA,
 * `encoder.patch` the blocks at the end of its ResNet.
 */
export type StackName = (typeof STACK_NAMES)[number];

/** A point between two layers. */
export interface Position {
  readonly stack: StackName;
  /** Layers run so far in this pass, 1 … depth. */
  readonly layer: number;
  readonly depth: number;
  /** Decoding step from 0, and the most steps there may be (N); absent in an encoder and in scoring. */
  readonly step?: number;
  readonly maxSteps?: number;
}

/** A policy's decision at one position, and its measurement; no score where it did not look. */
export interface Observation {
  readonly exit: boolean;
  readonly score?: number;
  readonly threshold?: number;
}

/** How a decoding drafts tokens with its first layers and verifies them with the others (docs/exits.md). */
export interface Drafting {
  /** d, layers that draft: 1 … depth − 1. */
  readonly layers: number;
  /** A token whose margin after d layers is below it is not drafted upon. */
  readonly threshold: number;
  /** K, most tokens that are verified in one pass. */
  readonly draftLength: number;
}

/** Decides, between two layers, whether the state is good enough. A policy cannot touch the model. */
export interface ExitPolicy {
  readonly name: string;
  /** Given by a policy that never exits and lets a decoding draft; whoever does not draft runs it as `never`. */
  readonly drafting?: Drafting | undefined;
  /**
   * Stacks that it was made for; absent where it is for any. An optional stack (`exit/stacks.ts`) is run layer by layer
   * only for a policy that names it.
   */
  readonly stacks?: readonly StackName[];
  /** Whether it leaves before the first layer, in a stack that may be skipped; never by default. */
  skips?(stack: StackName): boolean;
  /**
   * Async, because reading a number from a GPU is.
   * @param before   state before the layer just run [B, T, D], borrowed
   * @param after    state after it, borrowed
   * @param logits   next-token logits for `after`, [B, V] or of the allowed answers only; computed when called,
   *                 borrowed
   */
  observe(before: tf.Tensor3D, after: tf.Tensor3D, at: Position, logits: () => tf.Tensor2D): Promise<Observation>;
  /**
   * Decides for several units at once, which are equal shares of the rows, in order. Only policies that remember
   * nothing have it: they may be asked about passes in any order.
   * @param at   a position for each unit, all of one layer
   * @returns    one observation for each unit
   */
  observeEach?(
    before: tf.Tensor3D,
    after: tf.Tensor3D,
    at: readonly Position[],
    logits: () => tf.Tensor2D,
  ): Promise<readonly Observation[]>;
}

/** The deciding policies: one for all images together, as in the authors' release, or one for each image. */
export type PolicyPerImage = ExitPolicy | readonly ExitPolicy[];

/** Selects the policies of the given images; a shared policy is returned unchanged. */
export function policiesOfImages(policy: PolicyPerImage, images: readonly number[]): PolicyPerImage {
  return Array.isArray(policy) ? images.map((b) => (policy as readonly ExitPolicy[])[b]!) : policy;
}

/** A policy that remembers nothing, from its decisions about several units. */
export function memoryless(name: string, observeEach: NonNullable<ExitPolicy['observeEach']>): ExitPolicy {
  return {
    name,
    observeEach,
    observe: async (before, after, at, logits) => (await observeEach(before, after, [at], logits))[0]!,
  };
}

/** Runs every layer and measures nothing. An ordinary policy: "early exit off" is no second code path. */
export const never: ExitPolicy = memoryless('never', (_before, _after, at) =>
  Promise.resolve(at.map(() => ({exit: false}))),
);

/** An exit policy as an argument of public calls. */
export const POLICY: Kind = fields({name: TEXT, observe: FUNCTION});

/** One policy for each stack; a stack left out never exits. */
export function stackPolicies(policies: Readonly<Partial<Record<StackName, ExitPolicy>>>): ExitPolicy {
  checkArguments('stackPolicies', {policies: [policies, OBJECT]});
  for (const [stack, policy] of Object.entries(policies))
    checkArguments('stackPolicies', {[`policies.${stack}`]: [policy, optional(POLICY)]});
  const all = Object.values(policies).filter((policy) => policy !== undefined);
  const names = new Set(all.map((policy) => policy.name));
  const policyAt = ({stack}: Position): ExitPolicy => policies[stack] ?? never;
  return {
    name: names.size === 1 ? [...names][0]! : names.size === 0 ? never.name : 'mixed',
    drafting: all.find(({drafting}) => drafting)?.drafting,
    stacks: (Object.keys(policies) as StackName[]).filter((stack) => policies[stack] !== never),
    skips: (stack) => policies[stack]?.skips?.(stack) ?? false,
    observe: (before, after, at, logits) => policyAt(at).observe(before, after, at, logits),
    observeEach: all.every((policy) => policy.observeEach)
      ? (before, after, at, logits) => policyAt(at[0]!).observeEach!(before, after, at, logits)
      : undefined,
  };
}
