import {type PolicyPerImage, policiesOfImages} from '../exit/policy.js';
import type {StackTrace} from '../exit/trace.js';
import type {Decoding, Follower} from '../models/model.js';
import type {Random} from '../runtime/random.js';
import {
  topKTokens,
  divideBy,
  topKFilter,
  topPFilter,
  logSoftmax,
  penalizeRepetition,
  softmax,
  sampleFromCdf,
} from './logits.js';
import {feedPrompt, nextLogits, type DecodingOptions, type GeneratedText} from './step.js';
import {append} from '../runtime/extremes.js';

export interface SampleOptions extends DecodingOptions {
  /** Sample among the k likeliest tokens; 1 is greedy. */
  readonly topK?: number | undefined;
  /** Sample among the likeliest tokens that together reach this probability. `classic` takes this or `topK`. */
  readonly topP?: number | undefined;
  /** Above 1 makes the distribution flatter. */
  readonly temperature: number;
  /** Makes a stream for each image, so that it samples what it would sample alone. */
  readonly random: () => Random;
}

/** Hugging Face samples among this many at most unless told otherwise, also under top-p. */
const DEFAULT_TOP_K = 50;

/**
 * Generates one text for each image, token by token, each sampled (or, with `topK` 1, the likeliest).
 * @param decoding   stepped, reordered and left to the caller
 * @returns          a text of each image, scored by the mean log-probability of its tokens after the prompt, and the
 *                   traces of every step that it took
 */
export async function sample(
  decoding: Decoding,
  images: number,
  policy: PolicyPerImage,
  options: SampleOptions,
): Promise<{texts: readonly GeneratedText[]; traces: readonly (readonly StackTrace[])[]}> {
  const {rules, prompt, end, maxLength, random, signal} = options;
  const texts = Array.from({length: images}, (_, index) => ({index, tokens: [...prompt], sum: 0, random: random()}));
  const traces = await feedPrompt(decoding, images, 1, policy, options);
  let open = texts;
  for (let length = prompt.length; open.length > 0 && length < maxLength; length++) {
    const inputs = open.map(({tokens}) => [...tokens]);
    const next = await nextLogits(
      decoding,
      inputs.map((tokens) => tokens.at(-1)!),
      policiesOfImages(
        policy,
        open.map(({index}) => index),
      ),
      signal,
      (row, drafted, scores) => follower([...open[row]!.tokens, ...drafted], scores, options),
    );
    for (const [r, text] of open.entries()) {
      append(traces[text.index]!, next.traces[r]!);
      const scores = next.logits[r]!;
      const logProbabilities = logSoftmax(scores);
      // The last token must be the end symbol. The published captions were made so; Hugging Face just stops.
      const token =
        rules === 'classic' && length + 1 === maxLength ? end : choose(scores, text.tokens, options, text.random);
      text.tokens.push(token);
      text.sum += logProbabilities[token]!;
    }
    options.onStep?.({
      step: length - prompt.length,
      traces: next.traces.flat(),
      inputs,
      tokens: open.map(({tokens}) => tokens.at(-1)!),
    });
    const left = open.flatMap(({tokens}, r) => (tokens.at(-1) === end ? [] : [r]));
    if (left.length > 0 && left.length < open.length) decoding.reorder(left);
    open = left.map((r) => open[r]!);
  }
  return {
    texts: texts.map(({tokens, sum}) => ({tokens, score: sum / Math.max(1, tokens.length - prompt.length)})),
    traces,
  };
}

function choose(scores: Float64Array, tokens: readonly number[], options: SampleOptions, random: Random): number {
  applySamplingRules(scores, tokens, options);
  if (options.topK === 1) return topKTokens(scores, 1)[0]?.token ?? options.end;
  return sampleFromCdf(softmax(scores), random.next());
}

/** The likeliest token behind a text under the rules; what is sampled may be another. */
function follower(tokens: readonly number[], logits: Float32Array, options: SampleOptions): Follower {
  const scores = Float64Array.from(logits);
  applySamplingRules(scores, tokens, {...options, topK: undefined, topP: undefined});
  const [best, second] = topKTokens(scores, 2);
  const ends = best === undefined || best.token === options.end || tokens.length + 1 >= options.maxLength;
  return {token: ends ? undefined : best.token, lead: (best?.score ?? 0) - (second?.score ?? Number.NEGATIVE_INFINITY)};
}

/**
 * Turns logits into the scores that tokens are sampled by, in place; rules in the order of either line of open_clip.
 */
export function applySamplingRules(
  scores: Float64Array,
  tokens: readonly number[],
  options: Omit<SampleOptions, 'random'>,
): void {
  const {rules, end, minLength, repetitionPenalty, topK, topP, temperature} = options;
  // Either order comes to the same: nothing makes −∞ finite again.
  penalizeRepetition(scores, tokens, repetitionPenalty);
  if (tokens.length < minLength) scores[end] = Number.NEGATIVE_INFINITY;
  if (rules === 'current') divideBy(scores, temperature);
  const k = topK ?? (rules === 'current' ? DEFAULT_TOP_K : undefined);
  if (k !== undefined) topKFilter(scores, k);
  if (topP !== undefined) topPFilter(scores, topP);
  if (rules === 'classic') divideBy(scores, temperature);
}
