import type * as tf from '@tensorflow/tfjs';
import type {RgbImage} from '../data/image.js';
import type {PolicyPerImage} from '../exit/policy.js';
import type {StackTrace} from '../exit/trace.js';
import type {Decoding} from '../models/model.js';
import type {AnswerHypothesis} from './answer.js';
import type {TaskName} from './exits.js';
import type {GenerateOptions} from './generation-options.js';

/** A request as tokens. */
export interface Prompt {
  /** Token ids for the encoder; empty for models whose encoder reads no text. */
  readonly source: readonly number[];
  /** Token ids that the decoder is fed before the answer, begin symbol first. */
  readonly target: readonly number[];
  /** Messages for people: what was cut or assumed. */
  readonly notes: readonly string[];
}

/** An entailment question as tokens. */
export interface EntailmentTokens {
  /** The encoder's prompt. */
  readonly source: readonly number[];
  /** Token ids that the decoder is fed before the answer. */
  readonly target: readonly number[];
  /** The answers no, yes, maybe. */
  readonly answers: readonly (readonly number[])[];
}

/** An answer that a question may have. */
export interface AllowedAnswer {
  /** The entry of the list, as it was given. */
  readonly text: string;
  readonly tokens: readonly number[];
}

/** A list of allowed answers as a model reads it. */
export interface AllowedAnswers {
  readonly answers: readonly AllowedAnswer[];
  /** Messages for people: entries with parts that the vocabulary does not know. */
  readonly notes: readonly string[];
}

/** One generated answer. */
export interface GeneratedAnswer {
  /** Best first. */
  readonly hypotheses: readonly AnswerHypothesis[];
  /** Tokens after the prompt of the best one, with its end symbol unless it was cut off. */
  readonly tokens: readonly number[];
  /** One a step. */
  readonly traces: readonly StackTrace[];
}

/** A rule that forbids a token as the next one, by the name of its option. */
export type ForbiddingRule = 'no_repeat_ngram_size' | 'min_length';

/** Generates answers by a model's own rules, whatever the encoding comes from. */
export interface AnswerWriter {
  /** The encoder's prompt. */
  readonly source: readonly number[];
  /** Token ids that the decoder is fed before the answer, begin symbol first. */
  readonly prompt: readonly number[];
  /** Rows (beams) an image and most steps, as `startDecoding` is to be told. */
  readonly rows: number;
  readonly maxSteps: number;
  /** How tokens are chosen, in plain values, for files. */
  readonly settings: Readonly<Record<string, unknown>>;
  /**
   * The rule that forbids a token after an answer's first tokens, if one does.
   * @param written tokens of the answer so far, without the prompt
   */
  forbiddenBy(written: readonly number[], token: number): ForbiddingRule | undefined;
  /**
   * Generates an answer for each image.
   * @param decoding   stepped, reordered and left to the caller
   * @param policy     a list has one for each image
   */
  write(
    decoding: Decoding,
    images: number,
    policy: PolicyPerImage,
    options?: WriteOptions,
  ): Promise<readonly GeneratedAnswer[]>;
}

export interface WriteOptions {
  readonly signal?: AbortSignal;
  /** Whether beams without a finite score take part in exit decisions, as in the authors' release. */
  readonly includeDeadBeams?: boolean;
}

/**
 * A family's side of a pipeline: how words and images become tokens and pixels, and how tokens are generated and read.
 * Requests that a family does not take are UsageErrors `task-unsupported`.
 */
export interface Processor {
  readonly tokenizer: {token(id: number): string; readonly size: number; readonly eos: number};
  /** Whether the model was trained with a text premise beside the image. */
  readonly readsPremise: boolean;
  /**
   * Normalised pixels [1, size, size, 3], the caller's. The image is borrowed until they are there.
   * @throws AbortError if the signal fires while a large image is resized
   */
  pixels(image: RgbImage, signal?: AbortSignal): Promise<tf.Tensor4D>;
  captionPrompt(): Prompt;
  /** @throws InputError for an empty text or one that is too long */
  freePrompt(text: string): Prompt;
  /** @param objects names of objects in the image, for models trained with them in the prompt */
  questionPrompt(question: string, objects?: readonly string[]): Prompt;
  /** @returns the question, and its answers no, yes, maybe */
  entailmentPrompt(hypothesis: string, premise?: string): Prompt & Pick<EntailmentTokens, 'answers'>;
  /** @throws UsageError for a list without entries, and for entries that are the same to the model */
  allowedAnswers(answers: readonly string[]): AllowedAnswers;
  /** A caption as the model was trained to write it, with its end symbol. */
  captionTokens(text: string): readonly number[];
  /** Text of tokens without what surrounds them. */
  decode(tokens: readonly number[], task: TaskName): string;
  /**
   * How answers are generated.
   * @param prompts   of all images, their targets of one length; a single one is for any number of images
   * @param answers   the allowed answers; any words by default
   * @throws          UsageError for an option that cannot be; InputError if the prompt leaves no room for an answer
   */
  writer(
    task: TaskName,
    prompts: readonly Prompt[],
    options: GenerateOptions,
    answers?: readonly AllowedAnswer[],
  ): AnswerWriter;
}
