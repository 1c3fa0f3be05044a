import type * as tf from '@tensorflow/tfjs';
import {rowCosines} from '../../exit/policies/cosine.js';
import type {ExitPolicy, PolicyPerImage, StackName} from '../../exit/policy.js';
import {writingStack} from '../../exit/stacks.js';
import type {ImageStates, MultiDepthEncoding, VisionLanguageModel} from '../../models/model.js';
import type {ExitAdapters} from '../../nn/exit-adapters.js';
import {throwIfAborted} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';

// C combinations of depths (cells, numbered as in stacks.ts), A answers. A cut: layers of the stacks before the last.
// A stack "between" runs for every token, before the last stack.

/** An entailment item at every combination of depths: scores that any policy would have seen, and the answers. */
export interface EntailmentRecord {
  /** Similarity after each layer of each stack before the last; none of these reads the output of another. */
  readonly encoder: readonly (readonly number[])[];
  /** Similarity in the last stack, over the prompt, [C]. */
  readonly similarity: Float32Array;
  /** Scores of the answers, [C · A]; margins, entropies and the answer itself follow from them. */
  readonly logits: Float32Array;
  /** Multiply-accumulates, [C]. */
  readonly macs: Float64Array;
}

/**
 * Runs a prompt on an image whose encoder states are known at every depth: all combinations of depths in one batch,
 * through all layers of the last stack. Exact: exits only choose among these results.
 * @param picture borrowed
 * @param source  token ids of the encoder's prompt
 * @param target  token ids that the decoder is fed before the answer
 * @param answers a token id each
 * @param adapters stand between early states and the head; borrowed
 * @throws AbortError
 */
export async function recordEntailment(
  model: VisionLanguageModel,
  picture: ImageStates,
  source: readonly number[],
  target: readonly number[],
  answers: readonly number[],
  signal?: AbortSignal,
  adapters?: ExitAdapters,
): Promise<EntailmentRecord> {
  using scope = new TensorScope();
  throwIfAborted(signal);
  const prompt = scope.hold(await picture.withPrompt(source, {signal}));
  const last = writingStack(model.stacks);
  const known = prompt.stacks.map(({stack}) => stack);
  const between = stacksBetween(model, prompt);
  const depths = [...known, ...between].map((stack) => model.stacks[stack]!);
  const cuts = combinations(depths);
  const layers = model.stacks[last]!;
  const similarity = new Float32Array(cuts.length * layers);
  const logits = new Float32Array(cuts.length * layers * answers.length);
  const put = (c: number, layer: number, cosine: number, values: ArrayLike<number>): void => {
    similarity[c * layers + layer - 1] = cosine;
    logits.set(values, (c * layers + layer - 1) * answers.length);
  };
  const betweenSimilarity = between.map((stack) => new Array<number>(model.stacks[stack]!).fill(0));
  /** Sees all cuts at once. */
  const joint: ExitPolicy = {
    name: 'recording',
    observe: async (before, after, {layer}, scores) => {
      const cosines = await rowCosines(before, after);
      const values = (await (scores() as tf.Tensor).data()) as Float32Array;
      for (let c = 0; c < cuts.length; c++)
        put(c, layer, cosines[c]!, values.subarray(c * answers.length, (c + 1) * answers.length));
      return {exit: false};
    },
  };
  /** Leaves the stacks between after the layers of cut `c`. Every depth of them is seen, by deeper cuts. */
  const single = (c: number): ExitPolicy => ({
    name: 'recording',
    observe: async (before, after, {stack, layer}, scores) => {
      const axis = between.indexOf(stack);
      const [cosine] = await rowCosines(before, after);
      if (axis >= 0) {
        betweenSimilarity[axis]![layer - 1] = cosine!;
        return {exit: layer === cuts[c]![known.length + axis]!};
      }
      put(c, layer, cosine!, (await (scores() as tf.Tensor).data()) as Float32Array);
      return {exit: false};
    },
  });
  const policy: PolicyPerImage = between.length === 0 ? joint : cuts.map((_, c) => single(c));
  const encoded = scope.hold(prompt.combine(cuts.map((cut) => cut.slice(0, known.length))));
  const at = cuts.map((_, row) => ({row, position: target.length - 1}));
  const {logits: scored} = await model.score(
    encoded,
    {targets: cuts.map(() => target), at, ids: answers, adapters},
    policy,
    {
      signal,
    },
  );
  scored.dispose();
  const adapted = (layer: number): number => adapters?.macs(layer) ?? 0;
  const macs = new Float64Array(cuts.length * layers);
  for (const [c, cut] of cuts.entries())
    for (let l = 0; l < layers; l++)
      macs[c * layers + l] = prompt.scoringMacs(cut, l + 1, target.length, answers.length, adapted);
  return {encoder: [...prompt.stacks.map((stack) => stack.similarity), ...betweenSimilarity], similarity, logits, macs};
}

/** Stacks that run for every token before the last: those whose states the prompt does not hold. */
export function stacksBetween(
  {stacks}: Pick<VisionLanguageModel, 'stacks'>,
  prompt: MultiDepthEncoding,
): readonly StackName[] {
  const writing = writingStack(stacks);
  const known = prompt.stacks.map(({stack}) => stack);
  return (Object.keys(stacks) as StackName[]).filter((stack) => stack !== writing && !known.includes(stack));
}

/** All combinations of layers, from 1, the last stack's running fastest. @param depths of the stacks */
export function combinations(depths: readonly number[]): number[][] {
  return depths.reduce<number[][]>(
    (found, depth) => found.flatMap((row) => Array.from({length: depth}, (_, d) => [...row, d + 1])),
    [[]],
  );
}
