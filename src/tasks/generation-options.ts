import type {DecodingRules} from '../generation/step.js';
import {UsageError} from '../runtime/errors.js';
import type {StackTrace} from '../exit/trace.js';
import type {ExitChoice} from './exits.js';

/** A token as it is generated; one beam only. */
export interface StreamedToken {
  readonly step: number;
  readonly token: number;
  /** The text so far. */
  readonly text: string;
  readonly traces: readonly StackTrace[];
}

export interface AnswerOptions {
  readonly exit?: ExitChoice;
  readonly signal?: AbortSignal;
}

/** How text is generated. Names are Hugging Face's; what is left out comes from the model's configuration. */
export interface GenerateOptions extends AnswerOptions {
  readonly num_beams?: number;
  readonly max_new_tokens?: number;
  readonly min_length?: number;
  readonly no_repeat_ngram_size?: number;
  readonly length_penalty?: number;
  readonly temperature?: number;
  /** Contrastive captioners only: samples among the likeliest k tokens, or those that together reach a probability. */
  readonly top_k?: number;
  readonly top_p?: number;
  /** Seed of the samples; the same seed generates the same text. Default 0. */
  readonly seed?: number;
  /** Contrastive captioners only. */
  readonly repetition_penalty?: number;
  /** Contrastive captioners only. */
  readonly rules?: DecodingRules;
  readonly onToken?: (token: StreamedToken) => void;
}

/** Names of the options of every answer, and of generated ones. */
export const ANSWER_OPTIONS = ['exit', 'signal'] as const satisfies readonly (keyof AnswerOptions)[];
export const GENERATE_OPTIONS = [
  ...ANSWER_OPTIONS,
  'num_beams',
  'max_new_tokens',
  'min_length',
  'no_repeat_ngram_size',
  'length_penalty',
  'temperature',
  'top_k',
  'top_p',
  'seed',
  'repetition_penalty',
  'rules',
  'onToken',
] as const satisfies readonly (keyof GenerateOptions)[];

type NumberOption = 'num_beams' | 'max_new_tokens' | 'min_length' | 'no_repeat_ngram_size' | 'top_k';

/** @throws UsageError if an option is given and no whole number from `least` */
export function checkWhole(name: NumberOption, value: number | undefined, least: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= least)) return;
  throw new UsageError('option-invalid', `${name} must be a whole number from ${least}, not ${value}`);
}

/** @throws UsageError if the tokens of several beams were to be drafted */
export function checkDrafting(beams: number): void {
  if (beams > 1)
    throw new UsageError('draft-beams', `tokens can be drafted for one beam only, not for ${beams}`, {
      hint: 'Set num_beams to 1 (--beams 1), or exit to never.',
    });
}

/** @throws UsageError if tokens are to be streamed that may not be the answer's */
export function checkStreaming({onToken}: GenerateOptions, beams: number, images: number): void {
  if (onToken && (beams > 1 || images > 1))
    throw new UsageError(
      'stream-beams',
      'tokens can be streamed of one picture with one beam only: of several, the best is known at the end',
      {hint: 'Set num_beams to 1.'},
    );
}
