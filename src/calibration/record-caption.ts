import type * as tf from '@tensorflow/tfjs';
import {confidence} from '../exit/confidence.js';
import {rowCosines} from '../exit/cosine.js';
import {type ExitPolicy, never} from '../exit/policy.js';
import {NEVER_PLAN} from '../exit/plan.js';
import {writingStack} from '../exit/stack-roles.js';
import {addMacs} from '../exit/trace.js';
import {beamSearch} from '../generation/beam-search.js';
import type {PictureDepths, PromptDepths, VisionLanguageModel} from '../models/model.js';
import {throwIfAborted} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import type {AnswerSearch} from '../tasks/assistant.js';
import {unusable} from './evaluation.js';
import {combinations} from './record-entailment.js';

// I, T encoder depths, L decoder depths, P positions of the caption with its end symbol, C = I · T, V words

/** What policies would have seen while full depth's caption was written: a proxy, for other exits write other words. */
export interface CaptionRecord {
  readonly caption: string;
  readonly score: number;
  readonly positions: number;
  /** Similarity after each layer of each encoder stack. */
  readonly encoder: readonly (readonly number[])[];
  /** Of successive decoder states at a position, [P · I · T · L]; the same of the word scores after a layer. */
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
 * Writes the caption at full depth, and feeds it again at every combination of encoder depths through all decoder layers.
 * @throws InputError `score-not-finite`; AbortError
 */
export async function recordCaption(
  model: VisionLanguageModel,
  picture: PictureDepths,
  {source, options, read}: AnswerSearch,
  signal?: AbortSignal,
): Promise<CaptionRecord> {
  using scope = new TensorScope();
  throwIfAborted(signal);
  const prompt = scope.hold(await picture.withPrompt(source, {signal}));
  const depths = prompt.stacks.map(({similarity}) => similarity.length);
  const encoded = scope.hold(prompt.combine([depths]));
  const decoding = scope.hold(model.startDecoding(encoded, options.beams, options.maxLength, NEVER_PLAN.skippedKv));
  const {hypotheses, traces} = await beamSearch(decoding, 1, never, {...options, signal});
  const found = hypotheses[0]![0] ?? {tokens: [], score: Number.NEGATIVE_INFINITY};
  const {text, score} = read(found);
  const macs = addMacs(encoded.runs[0]!.macs, decoding.macs[0]!);
  const error = unusable({score, macs});
  if (error) throw error;
  const {tokens} = found;
  const layers = model.stacks[writingStack(model.stacks)]!;
  const seen = emptyMeasures(tokens.length * depths.reduce((a, b) => a * b, 1) * layers);
  const pairs = combinations(depths);
  const numbers = tokens.map((token) => new Map([[token, 0]]));
  const chunk = Math.max(1, Math.floor(MOST_SCORES / (tokens.length * model.vocabularySize)));
  for (let first = 0; first < pairs.length; first += chunk) {
    const some = pairs.slice(first, first + chunk);
    await watch(
      model,
      prompt,
      some,
      {first, of: pairs.length, target: [source[0]!, ...tokens.slice(0, -1)], layers, numbers, seen},
      signal,
    );
  }
  return {
    caption: text,
    score,
    positions: tokens.length,
    encoder: prompt.stacks.map(({similarity}) => similarity),
    ...seen,
    macs: searchMacs(prompt, {full: macs.run, layers, positions: tokens.length, rowSteps: options.beams * traces[0]!.length}),
  };
}

type Measures = Pick<CaptionRecord, 'similarity' | 'margin' | 'max' | 'entropy' | 'answer'>;

function emptyMeasures(size: number): Measures {
  const floats = (): Float32Array => new Float32Array(size);
  return {similarity: floats(), margin: floats(), max: floats(), entropy: floats(), answer: new Uint8Array(size)};
}

interface Pass {
  /** Which combination the first of the pass is, and how many there are in all. */
  readonly first: number;
  readonly of: number;
  readonly target: readonly number[];
  readonly layers: number;
  readonly numbers: readonly Map<number, number>[];
  readonly seen: Measures;
}

/** One teacher-forced pass at some of the combinations. */
async function watch(
  model: VisionLanguageModel,
  prompt: PromptDepths,
  pairs: readonly (readonly number[])[],
  {first, of, target, layers, numbers, seen}: Pass,
  signal: AbortSignal | undefined,
): Promise<void> {
  using scope = new TensorScope();
  const at = pairs.flatMap((_, row) => target.map((_token, position) => ({row, position})));
  const policy: ExitPolicy = {
    name: 'recording',
    observe: async (before, after, {layer}, logits) => {
      const cosines = await rowCosines(before, after, at.length);
      const scores = logits();
      const words = scores.shape[1];
      const values = (await (scores as tf.Tensor).data()) as Float32Array;
      for (const [k, {row, position}] of at.entries()) {
        const cell = (position * of + first + row) * layers + layer - 1;
        const {margin, max, entropy, argmax} = confidence(values.subarray(k * words, (k + 1) * words));
        seen.similarity[cell] = cosines[k]!;
        seen.margin[cell] = margin;
        seen.max[cell] = max;
        seen.entropy[cell] = entropy;
        const known = numbers[position]!;
        // More words than numbers: the rarest share one.
        if (!known.has(argmax)) known.set(argmax, Math.min(known.size, 255));
        seen.answer[cell] = known.get(argmax)!;
      }
      return {exit: false};
    },
  };
  const encoded = scope.hold(prompt.combine(pairs));
  const {logits} = await model.score(encoded, {targets: pairs.map(() => target), at}, policy, {signal});
  logits.dispose();
}

interface Search {
  /** Multiply-accumulates at full depth. */
  readonly full: number;
  readonly layers: number;
  readonly positions: number;
  /** Beams times steps. */
  readonly rowSteps: number;
}

/** Leaves out what is small: tests, keys and values of skipped layers, word scores that a policy asks for. */
function searchMacs(prompt: PromptDepths, {full, layers, positions, rowSteps}: Search): CaptionRecord['macs'] {
  const depths = prompt.stacks.map(({similarity}) => similarity.length);
  const scoring = (image: number, text: number, decoder: number, tokens: number): number =>
    prompt.scoringMacs([image, text], decoder, tokens, 0);
  const one = scoring(1, 1, 1, 0);
  const [image, text] = [scoring(2, 1, 1, 0) - one, scoring(1, 2, 1, 0) - one];
  // Of a target without tokens a layer costs the encoder's keys and values alone; those are made once, at the first step.
  const token = (scoring(1, 1, 2, positions) - scoring(1, 1, 1, positions) - (scoring(1, 1, 2, 0) - one)) / positions;
  const layer = [image, text, rowSteps * token];
  const above = [depths[0]! - 1, depths[1]! - 1, layers - 1];
  return {base: full - layer.reduce((sum, macs, k) => sum + macs * above[k]!, 0), layer};
}
