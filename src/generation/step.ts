import type {PolicyPerImage} from '../exit/policy.js';
import type {StackTrace} from '../exit/trace.js';
import type {Decoding} from '../models/model.js';
import {InputError, throwIfAborted} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';

/**
 * Two rule sets for writing a text, both open_clip's: `classic` is what its releases up to 3.3 do and published captions were made with,
 * `current` its development line, which follows Hugging Face's generation (coca.md section 7).
 */
export const DECODING_RULES: readonly ['classic', 'current'] = ['classic', 'current'];
export type DecodingRules = (typeof DECODING_RULES)[number];

export interface DecodingOptions {
  readonly rules: DecodingRules;
  /** What every text begins with: the begin symbol and any words given. */
  readonly prompt: readonly number[];
  readonly end: number;
  /** Most tokens, prompt and end among them. */
  readonly maxLength: number;
  /** No end symbol in a text of fewer tokens than this. */
  readonly minLength: number;
  /** 1 is none. */
  readonly repetitionPenalty: number;
  readonly signal?: AbortSignal | undefined;
  /** Called after every step with what each row was continued with. */
  readonly onStep?: ((step: DecodingStep) => void) | undefined;
}

export interface DecodingStep {
  readonly step: number;
  /** Of the unfinished pictures, in order. */
  readonly traces: readonly StackTrace[];
  /** Every row that was fed, begin symbol first, without the newest token. */
  readonly inputs: readonly (readonly number[])[];
  /** The token that the first row of each picture goes on with, where there is one row a picture. */
  readonly tokens: readonly number[];
}

/** One text of a picture. */
export interface GeneratedText {
  /** Prompt included; with the end symbol, unless the text was cut off at its greatest length. */
  readonly tokens: readonly number[];
  readonly score: number;
}

/** Feeds the newest token of every row. @returns scores of the next words, one row each, and the traces of each picture. @throws InputError for NaN */
export async function nextLogits(
  decoding: Decoding,
  tokens: readonly number[],
  policy: PolicyPerImage,
  signal: AbortSignal | undefined,
): Promise<{scores: Float64Array[]; traces: readonly (readonly StackTrace[])[]}> {
  using scope = new TensorScope();
  throwIfAborted(signal);
  const {logits, traces} = await decoding.step(tokens, policy, {signal});
  const values = (await scope.hold(logits).data()) as Float32Array;
  if (values.some(isNotNumber)) {
    const hint = 'Damaged weights give such scores.';
    throw new InputError('score-not-finite', 'the scores of the next words are not numbers', {hint});
  }
  const size = values.length / tokens.length;
  return {scores: tokens.map((_, r) => Float64Array.from(values.subarray(r * size, (r + 1) * size))), traces};
}

// A name of the module's own (see score-rules).
const {isNaN: isNotNumber} = Number;

/**
 * Feeds the prompt but for its last token, to one row of each picture of K.
 * @param rows K
 * @returns the traces of each picture
 */
export async function feedPrompt(
  decoding: Decoding,
  pictures: number,
  rows: number,
  policy: PolicyPerImage,
  {prompt, signal}: DecodingOptions,
): Promise<StackTrace[][]> {
  const given = prompt.slice(0, -1);
  if (given.length === 0) return Array.from({length: pictures}, () => []);
  throwIfAborted(signal);
  const first = Array.from({length: pictures}, (_, b) => b);
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
