import type {PolicyPerImage} from '../exit/policy.js';
import type {StackTrace} from '../exit/trace.js';
import type {Decoding, Follow} from '../models/model.js';
import {InputError, throwIfAborted} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';

/**
 * Two rule sets for generating a text, both open_clip's: `classic` is that of its releases up to 3.3, with which
 * published captions were made; `current` is that of its development line, which follows Hugging Face's generation
 * (docs/reference/coca.md 7).
 */
export const DECODING_RULES: readonly ['classic', 'current'] = ['classic', 'current'];
export type DecodingRules = (typeof DECODING_RULES)[number];

export interface DecodingOptions {
  readonly rules: DecodingRules;
  /** Beginning of every text: the begin symbol and any tokens given. */
  readonly prompt: readonly number[];
  readonly end: number;
  /** Most tokens, prompt and end counted. */
  readonly maxLength: number;
  /** No end symbol in a text of fewer tokens than this. */
  readonly minLength: number;
  /** 1 is none. */
  readonly repetitionPenalty: number;
  readonly signal?: AbortSignal | undefined;
  /** Called after every step. */
  readonly onStep?: ((step: DecodingStep) => void) | undefined;
}

export interface DecodingStep {
  readonly step: number;
  /** Traces of the unfinished images, in order. */
  readonly traces: readonly StackTrace[];
  /** Tokens of every row that was fed, begin symbol first, without the newest token. */
  readonly inputs: readonly (readonly number[])[];
  /** New token of each image, where there is one row an image. */
  readonly tokens: readonly number[];
}

/** One generated text of an image. */
export interface GeneratedText {
  /** Prompt included; with the end symbol, unless the text was cut off at the greatest length. */
  readonly tokens: readonly number[];
  readonly score: number;
}

/**
 * Feeds the newest token of every row.
 * @param follow how the search goes on, for decodings that draft
 * @returns   next-token logits of each row, and the traces of each image
 * @throws    InputError for NaN
 */
export async function nextLogits(
  decoding: Decoding,
  tokens: readonly number[],
  policy: PolicyPerImage,
  signal: AbortSignal | undefined,
  follow?: Follow,
): Promise<{logits: Float64Array[]; traces: readonly (readonly StackTrace[])[]}> {
  using scope = new TensorScope();
  throwIfAborted(signal);
  const {logits, traces} = await decoding.step(tokens, policy, {signal, follow});
  const values = (await scope.hold(logits).data()) as Float32Array;
  if (values.some(isNotNumber)) {
    const hint = 'Damaged weights give such scores.';
    throw new InputError('score-not-finite', 'the scores of the next words are not numbers', {hint});
  }
  const size = values.length / tokens.length;
  return {logits: tokens.map((_, r) => Float64Array.from(values.subarray(r * size, (r + 1) * size))), traces};
}

// A name of the module's own: looking up globals in inner loops is slow where they are intercepted (vm contexts).
const {isNaN: isNotNumber} = Number;

/**
 * Feeds the prompt but for its last token, to one of the K rows of each image.
 * @param rows   K
 * @returns      traces of each image
 */
export async function feedPrompt(
  decoding: Decoding,
  images: number,
  rows: number,
  policy: PolicyPerImage,
  {prompt, signal}: DecodingOptions,
): Promise<StackTrace[][]> {
  const given = prompt.slice(0, -1);
  if (given.length === 0) return Array.from({length: images}, () => []);
  throwIfAborted(signal);
  const first = Array.from({length: images}, (_, b) => b);
  if (rows > 1)
    decoding.reorder(
      first.map((b) => b * rows),
      1,
    );
  const {logits, traces} = await decoding.prefill(
    first.map(() => given),
    policy,
    {signal},
  );
  logits.dispose();
  // From now on rows differ.
  if (rows > 1)
    decoding.reorder(
      first.flatMap((b) => new Array<number>(rows).fill(b)),
      rows,
    );
  return traces.map((own) => [...own]);
}
