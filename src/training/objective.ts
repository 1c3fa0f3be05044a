import type * as tf from '@tensorflow/tfjs';
import type {Block, StoredWeight} from '../nn/block.js';

/** Sums over the passes of an update. */
export interface UpdateSums {
  /** The sum whose gradients are taken. */
  readonly loss: number;
  /** Parts of it that the log shows, each a sum: the layers that are learnt from, or the terms of a loss. */
  readonly layers: readonly number[];
  /** Terms of the loss by their names, each a sum. */
  readonly terms?: Readonly<Record<string, number>>;
  /** What sums and gradients are divided by: fairseq's sample size. */
  readonly sampleSize: number;
  /** Tokens that were learnt from, for the log. */
  readonly tokens: number;
}

/** The update that gradients are taken for. */
export interface UpdateContext {
  /** Updates that are done. */
  readonly update: number;
  /** Number of the update's first row, counted over all epochs: the same in every run of the same settings. */
  readonly place: number;
  /** By which gradients are taken; borrowed. */
  readonly variables: tf.Variable[];
  /** Adds gradients to the update's. @param gradients by the variables' names; taken over */
  readonly add: (gradients: tf.NamedTensorMap) => Promise<void>;
  readonly signal: AbortSignal | undefined;
}

/**
 * What a training makes smaller: a loss of a model over examples. The loop around it decides which examples, and what
 * happens with the gradients.
 */
export interface Objective<E> {
  /** The tree of the weights that may be trained; borrowed. */
  readonly module: Block;
  /**
   * Forward and backward of an update. A loss that needs all of its examples at once sees them here.
   * @param passes   examples that are computed together, at least one each
   * @throws AbortError, before anything is changed
   */
  gradients(passes: readonly (readonly E[])[], context: UpdateContext): Promise<UpdateSums>;
  /** Whether a weight decays; all do by default. */
  decays?(weight: StoredWeight): boolean;
  /** Smallest and largest value of weights, by their names: an update that leads outside ends there. */
  readonly bounds?: ReadonlyMap<string, readonly [least: number, most: number]>;
}

/** Sums of several passes that stand for themselves. */
export async function sumOfPasses<E>(
  passes: readonly (readonly E[])[],
  run: (examples: readonly E[], pass: number) => Promise<UpdateSums>,
): Promise<UpdateSums> {
  let sums: UpdateSums = {loss: 0, layers: [], sampleSize: 0, tokens: 0};
  for (const [pass, examples] of passes.entries()) {
    const {loss, layers, sampleSize, tokens} = await run(examples, pass);
    sums = {
      loss: sums.loss + loss,
      layers: layers.map((sum, i) => sum + (sums.layers[i] ?? 0)),
      sampleSize: sums.sampleSize + sampleSize,
      tokens: sums.tokens + tokens,
    };
  }
  return sums;
}
