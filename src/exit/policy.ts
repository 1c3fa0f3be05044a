import type * as tf from '@tensorflow/tfjs';

/** One policy a stack; a stack left out never exits. */
export function stackPolicies(policies: Readonly<Partial<Record<StackName, ExitPolicy>>>): ExitPolicy {
  const all = Object.values(policies);
  const names = new Set(all.map((policy) => policy.name));
  const of = ({stack}: Position): ExitPolicy => policies[stack] ?? never;
  return {
    name: names.size === 1 ? [...names][0]! : names.size === 0 ? never.name : 'mixed',
    observe: (before, after, at, logits) => of(at).observe(before, after, at, logits),
    ...(all.every((policy) => policy.observeEach)
      ? {observeEach: (before, after, at, logits) => of(at[0]!).observeEach!(before, after, at, logits)}
      : {}),
  };
}

/** Where a stack of layers sits; thresholds are kept by this name. `encoder` is the joint one of plain OFA. */
export type StackName = 'encoder.image' | 'encoder.text' | 'encoder' | 'decoder' | 'vision' | 'text' | 'multimodal';
export const STACK_NAMES: readonly StackName[] = [
  'encoder.image',
  'encoder.text',
  'encoder',
  'decoder',
  'vision',
  'text',
  'multimodal',
];

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

/** What a policy saw at one position, and decided. No score where it did not look. */
export interface Observation {
  readonly exit: boolean;
  readonly score?: number;
  readonly threshold?: number;
}

/** Decides, between two layers, whether the state is good enough. A policy cannot touch the model. */
export interface ExitPolicy {
  readonly name: string;
  /**
   * Async, because reading a number from a GPU is.
   * @param before state before the layer just run, [B, T, D]; borrowed
   * @param after state after it
   * @param logits scores of the next word for `after`, [B, V] or of the allowed answers only; computed when called, borrowed
   */
  observe(before: tf.Tensor3D, after: tf.Tensor3D, at: Position, logits: () => tf.Tensor2D): Promise<Observation>;
  /**
   * The same for several samples at once, which are equal shares of the rows, in order: one observation each. Only policies
   * that remember nothing have it: they may be asked about passes in any order.
   * @param at a position a sample, all of one layer
   */
  observeEach?(
    before: tf.Tensor3D,
    after: tf.Tensor3D,
    at: readonly Position[],
    logits: () => tf.Tensor2D,
  ): Promise<readonly Observation[]>;
}

/** Who decides: one policy for all pictures together, as in the authors' release, or one a picture. */
export type PolicyPerImage = ExitPolicy | readonly ExitPolicy[];

/** Of a list of policies, those of some pictures. */
export function policiesOfImages(policy: PolicyPerImage, pictures: readonly number[]): PolicyPerImage {
  return Array.isArray(policy) ? pictures.map((b) => (policy as readonly ExitPolicy[])[b]!) : policy;
}

/** A policy that remembers nothing, from what it says of several samples. */
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
