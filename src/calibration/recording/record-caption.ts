import type * as tf from '@tensorflow/tfjs';
import {confidence} from '../../exit/policies/confidence.js';
import {rowCosines} from '../../exit/policies/cosine.js';
import {type PolicyPerImage, type ExitPolicy, never, type StackName} from '../../exit/policy.js';
import {NEVER_PLAN} from '../../exit/plan/schema.js';
import {writingStack} from '../../exit/stacks.js';
import {addMacs} from '../../exit/trace.js';
import type {ImageStates, MultiDepthEncoding, VisionLanguageModel} from '../../models/model.js';
import {throwIfAborted} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import {bestHypothesis} from '../../tasks/answer.js';
import type {AnswerWriter} from '../../tasks/processor.js';
import {unusable} from '../../evaluation/evaluate.js';
import {combinations, stacksBetween} from './record-entailment.js';

// I, T depths of the stacks before the one that writes, L depths of that, P positions of the caption with its end symbol (unless it was
// cut off), C = I · T, V words

/** What policies would have seen while full depth's caption was written: a proxy, for other exits write other words. */
export interface CaptionRecord {
  readonly caption: string;
  readonly score: number;
  readonly positions: number;
  /** Similarity after each layer of each stack before the one that writes; of a stack that runs for every token [P · depth]. */
  readonly encoder: readonly (readonly number[])[];
  /** Of successive states at a position in the stack that writes, [P · I · T · L]; the same of the word scores after a layer. */
  readonly similarity: Float32Array;
  readonly margin: Float32Array;
  readonly max: Float32Array;
  readonly entropy: Float32Array;
  /** The likeliest word after a layer, numbered within its position: 0 is the caption's own, the others in order of appearance. */
  readonly answer: Uint8Array;
  /** Multiply-accumulates of the search: about linear in the depths. At depths of 1, and of one more layer of each stack. */
  readonly macs: {readonly base: number; readonly layer: readonly number[]};
}

/** Numbers that a forward pass may give at once. */
const MOST_SCORES = 2 ** 24;

/**
 * Writes the caption at full depth, and feeds it again at every combination of depths through all layers of the stack that writes.
 * @throws InputError `score-not-finite`; AbortError
 */
export async function recordCaption(
  model: VisionLanguageModel,
  picture: ImageStates,
  writer: AnswerWriter,
  signal?: AbortSignal,
): Promise<CaptionRecord> {
  using scope = new TensorScope();
  throwIfAborted(signal);
  const prompt = scope.hold(await picture.withPrompt(writer.source, {signal}));
  const known = prompt.stacks.map(({similarity}) => similarity.length);
  const encoded = scope.hold(prompt.combine([known]));
  const decoding = scope.hold(model.startDecoding(encoded, writer.rows, writer.maxSteps, NEVER_PLAN.skippedKv));
  const [written] = await writer.write(decoding, 1, never, {signal});
  const {hypotheses, tokens, traces} = written!;
  const {text, score} = bestHypothesis(hypotheses);
  const macs = addMacs(encoded.runs[0]!.macs, decoding.macs[0]!);
  const error = unusable({score, macs});
  if (error) throw error;
  const writing = writingStack(model.stacks);
  const between = stacksBetween(model, prompt);
  const depths = [...known, ...between.map((stack) => model.stacks[stack]!)];
  const layers = model.stacks[writing]!;
  const pass: Omit<Pass, 'first'> = {
    between,
    of: depths.reduce((a, b) => a * b, 1),
    target: [...writer.prompt, ...tokens.slice(0, -1)],
    before: writer.prompt.length - 1,
    layers,
    numbers: tokens.map((token) => new Map([[token, 0]])),
    seen: emptyMeasures(tokens.length * depths.reduce((a, b) => a * b, 1) * layers),
    passed: between.map((stack) => new Array<number>(tokens.length * model.stacks[stack]!).fill(0)),
  };
  const all = combinations(depths);
  const chunk = Math.max(1, Math.floor(MOST_SCORES / (tokens.length * model.vocabularySize)));
  for (let first = 0; first < all.length; first += chunk)
    await watch(model, prompt, all.slice(first, first + chunk), {...pass, first}, signal);
  const steps = traces.filter(({stack}) => stack === writing).length;
  return {
    caption: text,
    score,
    positions: tokens.length,
    encoder: [...prompt.stacks.map(({similarity}) => similarity), ...pass.passed],
    ...pass.seen,
    macs: searchMacs(prompt, {
      full: macs.run,
      depths: [...depths, layers],
      positions: tokens.length,
      rowSteps: writer.rows * steps,
    }),
  };
}

type Measures = Pick<CaptionRecord, 'similarity' | 'margin' | 'max' | 'entropy' | 'answer'>;

function emptyMeasures(size: number): Measures {
  const floats = (): Float32Array => new Float32Array(size);
  return {similarity: floats(), margin: floats(), max: floats(), entropy: floats(), answer: new Uint8Array(size)};
}

interface Pass {
  /** Stacks that run for every token before the one that writes. */
  readonly between: readonly StackName[];
  /** Which combination the first of the pass is, and how many there are in all. */
  readonly first: number;
  readonly of: number;
  readonly target: readonly number[];
  /** How many tokens of the target come before the one that is continued with the caption's first word. */
  readonly before: number;
  readonly layers: number;
  readonly numbers: readonly Map<number, number>[];
  readonly seen: Measures;
  /** Of the stacks between: their similarities, position by position. */
  readonly passed: readonly number[][];
}

/** One teacher-forced pass at some of the combinations. */
async function watch(
  model: VisionLanguageModel,
  prompt: MultiDepthEncoding,
  some: readonly (readonly number[])[],
  pass: Pass,
  signal: AbortSignal | undefined,
): Promise<void> {
  using scope = new TensorScope();
  const {between, before: skipped, numbers, target} = pass;
  const known = prompt.stacks.length;
  const positions = numbers.length;
  const at = some.flatMap((_, row) => numbers.map((_words, p) => ({row, position: skipped + p})));
  /** Similarities at the caption's positions of each of the rows. */
  const cosines = async (before: tf.Tensor3D, after: tf.Tensor3D): Promise<number[]> => {
    const rows = before.shape[0];
    const all = await rowCosines(before, after, rows * target.length);
    return all.filter((_, i) => i % target.length >= skipped);
  };
  const read = async (
    before: tf.Tensor3D,
    after: tf.Tensor3D,
    layer: number,
    logits: tf.Tensor2D,
    row: number,
  ): Promise<void> => {
    const similar = await cosines(before, after);
    const values = (await (logits as tf.Tensor).data()) as Float32Array;
    const words = logits.shape[1];
    for (const [k, similarity] of similar.entries())
      note(
        pass,
        {row: row + Math.floor(k / positions), position: k % positions, layer},
        similarity,
        values.subarray(k * words, (k + 1) * words),
      );
  };
  /** All combinations at once. */
  const watchAll: ExitPolicy = {
    name: 'recording',
    observe: async (before, after, {layer}, logits) => {
      await read(before, after, layer, logits(), 0);
      return {exit: false};
    },
  };
  /** Leaves the stacks between as its combination says; the one that runs them all sees what others of other depths see. */
  const watchOne = (row: number): ExitPolicy => ({
    name: 'recording',
    observe: async (before, after, {stack, layer, depth}, logits) => {
      const axis = between.indexOf(stack);
      if (axis < 0) {
        await read(before, after, layer, logits(), row);
        return {exit: false};
      }
      for (const [p, similarity] of (await cosines(before, after)).entries())
        pass.passed[axis]![p * depth + layer - 1] = similarity;
      return {exit: layer === some[row]![known + axis]!};
    },
  });
  const policy: PolicyPerImage = between.length === 0 ? watchAll : some.map((_, row) => watchOne(row));
  const encoded = scope.hold(prompt.combine(some.map((depths) => depths.slice(0, known))));
  const {logits} = await model.score(encoded, {targets: some.map(() => target), at}, policy, {signal});
  logits.dispose();
}

/** Keeps what a policy would see at one position of one combination. @param row of the pass */
function note(
  {seen, numbers, first, of, layers}: Pass,
  {row, position, layer}: {readonly row: number; readonly position: number; readonly layer: number},
  similarity: number,
  scores: Float32Array,
): void {
  const cell = (position * of + first + row) * layers + layer - 1;
  const {margin, max, entropy, argmax} = confidence(scores);
  seen.similarity[cell] = similarity;
  seen.margin[cell] = margin;
  seen.max[cell] = max;
  seen.entropy[cell] = entropy;
  const known = numbers[position]!;
  // More words than numbers: the rarest share one.
  if (!known.has(argmax)) known.set(argmax, Math.min(known.size, 255));
  seen.answer[cell] = known.get(argmax)!;
}

interface Search {
  /** Multiply-accumulates at full depth. */
  readonly full: number;
  /** Of all stacks. */
  readonly depths: readonly number[];
  readonly positions: number;
  /** Beams times steps. */
  readonly rowSteps: number;
}

/** Leaves out what is small: tests, keys and values of skipped layers, word scores that a policy asks for. */
function searchMacs(prompt: MultiDepthEncoding, {full, depths, positions, rowSteps}: Search): CaptionRecord['macs'] {
  const scoring = (tokens: number, deeper?: number): number => {
    const all = depths.map((_, axis) => (axis === deeper ? 2 : 1));
    return prompt.scoringMacs(all.slice(0, -1), all.at(-1)!, tokens, 0);
  };
  // What a layer costs once (without any token), and for every token of every row.
  const layer = depths.map((_, axis) => {
    const once = scoring(0, axis) - scoring(0);
    return once + (rowSteps * (scoring(positions, axis) - scoring(positions) - once)) / positions;
  });
  return {base: full - layer.reduce((sum, macs, axis) => sum + macs * (depths[axis]! - 1), 0), layer};
}
