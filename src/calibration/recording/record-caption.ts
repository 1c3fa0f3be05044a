import type * as tf from '@tensorflow/tfjs';
import {unusable} from '../../evaluation/evaluate.js';
import {NEVER_PLAN} from '../../exit/plan/schema.js';
import {confidence} from '../../exit/policies/confidence.js';
import {rowCosines} from '../../exit/policies/cosine.js';
import {type ExitPolicy, never, type PolicyPerImage, type StackName} from '../../exit/policy.js';
import {writingStack} from '../../exit/stacks.js';
import {addMacs} from '../../exit/trace.js';
import type {ImageStates, MultiDepthEncoding, VisionLanguageModel} from '../../models/model.js';
import type {ExitAdapters} from '../../nn/exit-adapters.js';
import {throwIfAborted} from '../../runtime/errors.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import {bestHypothesis} from '../../tasks/answer.js';
import type {AnswerWriter} from '../../tasks/processor.js';
import {combinations, stacksBetween} from './record-entailment.js';

// P positions of the caption with its end symbol (unless it was cut off), V vocabulary size
// A cut: layers of the stacks before the last; K of them, the last of these stacks running fastest. C = K · layers of
// the last stack, the cells of stacks.ts. A stack "between" runs for every token, before the last stack.

/**
 * Scores that policies would have seen while full depth's caption was written: a proxy, for other exits write other
 * words.
 */
export interface CaptionRecord {
  readonly caption: string;
  /** Log-probability, as the search ranks it. */
  readonly score: number;
  /** P */
  readonly positions: number;
  /** Similarity after each layer of each stack before the last; of a stack between [P · depth]. */
  readonly encoder: readonly (readonly number[])[];
  /** Similarity of successive states at a position in the last stack, [P · C]. */
  readonly similarity: Float32Array;
  /** Confidences of the next-token logits after each layer, [P · C]. */
  readonly margin: Float32Array;
  readonly max: Float32Array;
  readonly entropy: Float32Array;
  /**
   * Likeliest token after each layer, [P · C], numbered within its position: 0 is the caption's own, the others as met.
   */
  readonly answer: Uint8Array;
  /**
   * Multiply-accumulates of the search, about linear in the depths: at depths of 1, and of one more layer of each
   * stack.
   */
  readonly macs: {readonly base: number; readonly layer: readonly number[]};
}

/** Most logits of one forward pass. */
const MOST_LOGITS = 2 ** 24;

/**
 * Writes the caption at full depth, and feeds it again at every cut, through all layers of the last stack.
 * @param picture borrowed
 * @param adapters stand between early states and the head; borrowed
 * @throws InputError `score-not-finite`
 * @throws AbortError
 */
export async function recordCaption(
  model: VisionLanguageModel,
  picture: ImageStates,
  writer: AnswerWriter,
  signal?: AbortSignal,
  adapters?: ExitAdapters,
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
  const macs = addMacs([encoded.runs[0]!.macs, decoding.macs[0]!]);
  const error = unusable({score, macs});
  if (error) throw error;
  const last = writingStack(model.stacks);
  const between = stacksBetween(model, prompt);
  const depths = [...known, ...between.map((stack) => model.stacks[stack]!)];
  const layers = model.stacks[last]!;
  const cuts = combinations(depths);
  const positions = tokens.length;
  const seen: Seen = {
    cuts: cuts.length,
    layers,
    numbers: tokens.map((token) => new Map([[token, 0]])),
    measures: emptyMeasures(positions * cuts.length * layers),
    between: between.map((stack) => new Array<number>(positions * model.stacks[stack]!).fill(0)),
  };
  const target = {tokens: [...writer.prompt, ...tokens.slice(0, -1)], before: writer.prompt.length - 1, adapters};
  const chunk = Math.max(1, Math.floor(MOST_LOGITS / (positions * model.vocabularySize)));
  for (let first = 0; first < cuts.length; first += chunk)
    await scoreCuts(model, prompt, {first, cuts: cuts.slice(first, first + chunk), between}, target, seen, signal);
  const steps = traces.filter(({stack}) => stack === last).length;
  return {
    caption: text,
    score,
    positions,
    encoder: [...prompt.stacks.map(({similarity}) => similarity), ...seen.between],
    ...seen.measures,
    macs: searchMacs(prompt, {full: macs.run, depths: [...depths, layers], positions, rowSteps: writer.rows * steps}),
  };
}

/** Arrays [P · C] of a record. */
type Measures = Pick<CaptionRecord, 'similarity' | 'margin' | 'max' | 'entropy' | 'answer'>;

function emptyMeasures(size: number): Measures {
  const floats = (): Float32Array => new Float32Array(size);
  return {similarity: floats(), margin: floats(), max: floats(), entropy: floats(), answer: new Uint8Array(size)};
}

/** Everything seen so far, filled pass by pass. */
interface Seen {
  /** K */
  readonly cuts: number;
  /** Layers of the last stack. */
  readonly layers: number;
  /** Numbers of the tokens met at each position. */
  readonly numbers: readonly Map<number, number>[];
  readonly measures: Measures;
  /** Similarities of each stack between, [P · depth]. */
  readonly between: readonly number[][];
}

/** Cuts that share a forward pass, each as an image of its own. */
interface CutBatch {
  /** Number of the first of them among all cuts. */
  readonly first: number;
  readonly cuts: readonly (readonly number[])[];
  /** The stacks between; their layers stand last in a cut. */
  readonly between: readonly StackName[];
}

/** Token ids to be fed, prompt first; the one after `before` others is continued with the caption's first token. */
interface Target {
  readonly tokens: readonly number[];
  readonly before: number;
  readonly adapters?: ExitAdapters;
}

/** A teacher-forced pass at some of the cuts. */
async function scoreCuts(
  model: VisionLanguageModel,
  prompt: MultiDepthEncoding,
  {first, cuts, between}: CutBatch,
  target: Target,
  seen: Seen,
  signal: AbortSignal | undefined,
): Promise<void> {
  using scope = new TensorScope();
  const known = prompt.stacks.length;
  const positions = seen.numbers.length;
  /** Similarities at the caption's positions of each of the rows. */
  const cosines = async (before: tf.Tensor3D, after: tf.Tensor3D): Promise<number[]> => {
    const all = await rowCosines(before, after, before.shape[0] * target.tokens.length);
    return all.filter((_, i) => i % target.tokens.length >= target.before);
  };
  /** Reads a layer of the last stack for the rows given. @param cut number of the first row's cut */
  const read = async (
    before: tf.Tensor3D,
    after: tf.Tensor3D,
    layer: number,
    logits: tf.Tensor2D,
    cut: number,
  ): Promise<void> => {
    const similar = await cosines(before, after);
    const values = (await (logits as tf.Tensor).data()) as Float32Array;
    const size = logits.shape[1];
    for (const [k, similarity] of similar.entries()) {
      const at = {cut: cut + Math.floor(k / positions), position: k % positions, layer};
      note(seen, at, similarity, values.subarray(k * size, (k + 1) * size));
    }
  };
  /** Sees all cuts at once. */
  const joint: ExitPolicy = {
    name: 'recording',
    observe: async (before, after, {layer}, logits) => {
      await read(before, after, layer, logits(), first);
      return {exit: false};
    },
  };
  /** Leaves the stacks between after the layers of its cut. Every depth of them is seen, by deeper cuts. */
  const single = (row: number): ExitPolicy => ({
    name: 'recording',
    observe: async (before, after, {stack, layer, depth}, logits) => {
      const axis = between.indexOf(stack);
      if (axis < 0) {
        await read(before, after, layer, logits(), first + row);
        return {exit: false};
      }
      for (const [p, similarity] of (await cosines(before, after)).entries())
        seen.between[axis]![p * depth + layer - 1] = similarity;
      return {exit: layer === cuts[row]![known + axis]!};
    },
  });
  const policy: PolicyPerImage = between.length === 0 ? joint : cuts.map((_, row) => single(row));
  const encoded = scope.hold(prompt.combine(cuts.map((layers) => layers.slice(0, known))));
  const at = cuts.flatMap((_, row) => seen.numbers.map((_numbers, p) => ({row, position: target.before + p})));
  const {logits} = await model.score(
    encoded,
    {targets: cuts.map(() => target.tokens), at, adapters: target.adapters},
    policy,
    {signal},
  );
  logits.dispose();
}

/** Keeps the scores at one position after one layer, from 1, behind one cut. @param logits [V] */
function note(
  {measures, numbers, cuts, layers}: Seen,
  {cut, position, layer}: {readonly cut: number; readonly position: number; readonly layer: number},
  similarity: number,
  logits: Float32Array,
): void {
  const cell = (position * cuts + cut) * layers + layer - 1;
  const {margin, max, entropy, argmax} = confidence(logits);
  measures.similarity[cell] = similarity;
  measures.margin[cell] = margin;
  measures.max[cell] = max;
  measures.entropy[cell] = entropy;
  const known = numbers[position]!;
  // More tokens than a byte has numbers: the rarest share one.
  if (!known.has(argmax)) known.set(argmax, Math.min(known.size, 255));
  measures.answer[cell] = known.get(argmax)!;
}

/** A search at full depth. */
interface Search {
  /** Multiply-accumulates. */
  readonly full: number;
  /** Layers of all stacks, the last stack's last. */
  readonly depths: readonly number[];
  readonly positions: number;
  /** Beams times steps. */
  readonly rowSteps: number;
}

/** Leaves out what is small: exit tests, keys and values of skipped layers, logits that a policy asks for. */
function searchMacs(prompt: MultiDepthEncoding, {full, depths, positions, rowSteps}: Search): CaptionRecord['macs'] {
  const scoring = (tokens: number, deeper?: number): number => {
    const all = depths.map((_, axis) => (axis === deeper ? 2 : 1));
    return prompt.scoringMacs(all.slice(0, -1), all.at(-1)!, tokens, 0);
  };
  // Costs of a layer: once (without any token), and for every token of every row.
  const layer = depths.map((_, axis) => {
    const once = scoring(0, axis) - scoring(0);
    return once + (rowSteps * (scoring(positions, axis) - scoring(positions) - once)) / positions;
  });
  return {base: full - layer.reduce((sum, macs, axis) => sum + macs * (depths[axis]! - 1), 0), layer};
}
