import type * as tf from '@tensorflow/tfjs';
import {rowCosines} from '../exit/cosine.js';
import type {ExitPolicy} from '../exit/policy.js';
import type {PictureDepths, VisionLanguageModel} from '../models/model.js';
import {throwIfAborted} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';

// I, T encoder depths, L decoder depths, A answers

/** One entailment item at every combination of depths: what any policy would have seen, and what each would have answered. */
export interface EntailmentRecord {
  /** Similarity after each layer of each encoder stack. */
  readonly encoder: readonly (readonly number[])[];
  /** Decoder similarity over the prompt, [I · T · L]. */
  readonly similarity: Float32Array;
  /** Scores of the answers, [I · T · L · A]; margins, entropies and the answer itself follow from them. */
  readonly logits: Float32Array;
  /** Multiply-accumulates, [I · T · L]. */
  readonly macs: Float64Array;
}

/**
 * Runs one prompt on a picture whose stacks are known at every depth: all combinations of encoder depths in one batch,
 * through all decoder layers. Exact: the exits only choose among what is computed here.
 * @param source prompt of the encoder; @param target what the decoder is fed; @param answers one token each
 */
export async function recordEntailment(
  model: VisionLanguageModel,
  picture: PictureDepths,
  source: readonly number[],
  target: readonly number[],
  answers: readonly number[],
  signal?: AbortSignal,
): Promise<EntailmentRecord> {
  using scope = new TensorScope();
  throwIfAborted(signal);
  const prompt = scope.hold(await picture.withPrompt(source, {signal}));
  const pairs = combinations(prompt.stacks.map(({similarity}) => similarity.length));
  const layers = model.stacks.decoder!;
  const similarity = new Float32Array(pairs.length * layers);
  const logits = new Float32Array(pairs.length * layers * answers.length);
  const watch: ExitPolicy = {
    name: 'recording',
    observe: async (before, after, at, scores) => {
      const layer = at.layer - 1;
      const cosines = await rowCosines(before, after);
      const values = await (scores() as tf.Tensor).data();
      for (let c = 0; c < pairs.length; c++) {
        similarity[c * layers + layer] = cosines[c]!;
        logits.set(values.subarray(c * answers.length, (c + 1) * answers.length) as Float32Array, (c * layers + layer) * answers.length);
      }
      return {exit: false};
    },
  };
  const encoded = scope.hold(prompt.combine(pairs));
  const at = pairs.map((_, row) => ({row, position: target.length - 1}));
  const {logits: last} = await model.score(encoded, {targets: pairs.map(() => target), at, words: answers}, watch, {signal});
  last.dispose();
  const macs = new Float64Array(pairs.length * layers);
  for (const [c, pair] of pairs.entries())
    for (let l = 0; l < layers; l++) macs[c * layers + l] = prompt.scoringMacs(pair, l + 1, target.length, answers.length);
  return {encoder: prompt.stacks.map((stack) => stack.similarity), similarity, logits, macs};
}

/** All depth vectors, the last stack's depth running fastest. */
export function combinations(depths: readonly number[]): number[][] {
  return depths.reduce<number[][]>((found, depth) => found.flatMap((row) => Array.from({length: depth}, (_, d) => [...row, d + 1])), [[]]);
}
