import type * as tf from '@tensorflow/tfjs';
import {rowCosines} from '../../exit/policies/cosine.js';
import type {PolicyPerImage, ExitPolicy, StackName} from '../../exit/policy.js';
import {writingStack} from '../../exit/stacks.js';
import type {ImageStates, MultiDepthEncoding, VisionLanguageModel} from '../../models/model.js';
import {throwIfAborted} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';

// I, T depths of the stacks before the one that writes, L depths of that, A answers

/** One entailment item at every combination of depths: what any policy would have seen, and what each would have answered. */
export interface EntailmentRecord {
  /** Similarity after each layer of each stack before the one that writes; none of them sees what another gave. */
  readonly encoder: readonly (readonly number[])[];
  /** Similarity in the stack that writes, over the prompt, [I · T · L]. */
  readonly similarity: Float32Array;
  /** Scores of the answers, [I · T · L · A]; margins, entropies and the answer itself follow from them. */
  readonly logits: Float32Array;
  /** Multiply-accumulates, [I · T · L]. */
  readonly macs: Float64Array;
}

/**
 * Runs one prompt on a picture whose stacks are known at every depth: all combinations of depths in one batch, through all
 * layers that write. Exact: the exits only choose among what is computed here.
 * @param source prompt of the encoder; @param target what the decoder is fed; @param answers one token each
 */
export async function recordEntailment(
  model: VisionLanguageModel,
  picture: ImageStates,
  source: readonly number[],
  target: readonly number[],
  answers: readonly number[],
  signal?: AbortSignal,
): Promise<EntailmentRecord> {
  using scope = new TensorScope();
  throwIfAborted(signal);
  const prompt = scope.hold(await picture.withPrompt(source, {signal}));
  const writing = writingStack(model.stacks);
  const known = prompt.stacks.map(({stack}) => stack);
  const between = stacksBetween(model, prompt);
  const depths = [...known, ...between].map((stack) => model.stacks[stack]!);
  const pairs = combinations(depths);
  const layers = model.stacks[writing]!;
  const similarity = new Float32Array(pairs.length * layers);
  const logits = new Float32Array(pairs.length * layers * answers.length);
  const put = (c: number, layer: number, cosine: number, values: ArrayLike<number>): void => {
    similarity[c * layers + layer - 1] = cosine;
    logits.set(values, (c * layers + layer - 1) * answers.length);
  };
  const passed = between.map((stack) => new Array<number>(model.stacks[stack]!).fill(0));
  const watchAll: ExitPolicy = {
    name: 'recording',
    observe: async (before, after, {layer}, scores) => {
      const cosines = await rowCosines(before, after);
      const values = (await (scores() as tf.Tensor).data()) as Float32Array;
      for (let c = 0; c < pairs.length; c++)
        put(c, layer, cosines[c]!, values.subarray(c * answers.length, (c + 1) * answers.length));
      return {exit: false};
    },
  };
  /** Leaves the stacks between as its combination says; the one that runs them all sees what others of other depths see. */
  const watchOne = (c: number): ExitPolicy => ({
    name: 'recording',
    observe: async (before, after, {stack, layer}, scores) => {
      const axis = between.indexOf(stack);
      const [cosine] = await rowCosines(before, after);
      if (axis >= 0) {
        passed[axis]![layer - 1] = cosine!;
        return {exit: layer === pairs[c]![known.length + axis]!};
      }
      put(c, layer, cosine!, (await (scores() as tf.Tensor).data()) as Float32Array);
      return {exit: false};
    },
  });
  const watch: PolicyPerImage = between.length === 0 ? watchAll : pairs.map((_, c) => watchOne(c));
  const encoded = scope.hold(prompt.combine(pairs.map((pair) => pair.slice(0, known.length))));
  const at = pairs.map((_, row) => ({row, position: target.length - 1}));
  const {logits: last} = await model.score(encoded, {targets: pairs.map(() => target), at, ids: answers}, watch, {
    signal,
  });
  last.dispose();
  const macs = new Float64Array(pairs.length * layers);
  for (const [c, pair] of pairs.entries())
    for (let l = 0; l < layers; l++)
      macs[c * layers + l] = prompt.scoringMacs(pair, l + 1, target.length, answers.length);
  return {encoder: [...prompt.stacks.map((stack) => stack.similarity), ...passed], similarity, logits, macs};
}

/** Stacks that run for every token before the one that writes: those whose depths the prompt does not hold. */
export function stacksBetween(
  {stacks}: Pick<VisionLanguageModel, 'stacks'>,
  prompt: MultiDepthEncoding,
): readonly StackName[] {
  const writing = writingStack(stacks);
  const known = prompt.stacks.map(({stack}) => stack);
  return (Object.keys(stacks) as StackName[]).filter((stack) => stack !== writing && !known.includes(stack));
}

/** All depth vectors, the last stack's depth running fastest. */
export function combinations(depths: readonly number[]): number[][] {
  return depths.reduce<number[][]>(
    (found, depth) => found.flatMap((row) => Array.from({length: depth}, (_, d) => [...row, d + 1])),
    [[]],
  );
}
