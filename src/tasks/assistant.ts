import type * as tf from '@tensorflow/tfjs';
import type {RgbImage} from '../data/image.js';
import type {ExitPlans} from '../exit/plan/schema.js';
import type {PolicyPerImage} from '../exit/policy.js';
import type {StackTrace} from '../exit/trace.js';
import type {WritingRules} from '../generation/step.js';
import type {Decoding, VisionLanguageModel} from '../models/model.js';
import type {Answer, AnswerHypothesis, Embedding, Entailment} from './answer.js';
import type {ExitChoice, ResolvedExits, TaskName} from './exits.js';

/** A token as it is written; beam 1 only. */
export interface StreamedToken {
  readonly step: number;
  readonly token: number;
  /** The text so far. */
  readonly text: string;
  readonly traces: readonly StackTrace[];
}

export interface AnswerOptions {
  readonly exit?: ExitChoice | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Names are Hugging Face's; what is left out comes from the model's configuration. */
export interface GenerateOptions extends AnswerOptions {
  readonly num_beams?: number | undefined;
  readonly max_new_tokens?: number | undefined;
  readonly min_length?: number | undefined;
  readonly no_repeat_ngram_size?: number | undefined;
  readonly length_penalty?: number | undefined;
  readonly temperature?: number | undefined;
  /** Draws words by chance, among the likeliest k, or those that together reach a probability. Of contrastive captioners only, as what follows. */
  readonly top_k?: number | undefined;
  readonly top_p?: number | undefined;
  /** Of the draws; the same seed writes the same text. Default 0. */
  readonly seed?: number | undefined;
  readonly repetition_penalty?: number | undefined;
  readonly rules?: WritingRules | undefined;
  readonly onToken?: ((token: StreamedToken) => void) | undefined;
}

export interface AskOptions extends GenerateOptions {
  /** The answers that are allowed; any words if left out. */
  readonly answers?: readonly string[] | undefined;
  /** Search among the allowed answers with a trie (default), or score each of them (`all-candidates`). */
  readonly method?: 'trie' | 'all-candidates' | undefined;
  /** Names of objects in the picture, for models trained with them in the prompt (`add_object`). */
  readonly objects?: readonly string[] | undefined;
}

/** What a platform lends. */
export interface Pictures {
  /** @throws InputError if the bytes are no picture that it knows, or too large. */
  decode(bytes: Uint8Array): Promise<RgbImage>;
}

/** Where a model computes. */
export interface RunsOn {
  /** What `--device` calls it: native, cuda, webgpu, onnx, wasm or cpu. */
  readonly device: string;
  /** What tfjs calls it. */
  readonly backend: string;
  /** One line for people: what runs, and why not something faster. */
  readonly note: string;
}

/** Bytes of a picture file, or a decoded picture. */
export type Picture = Uint8Array | RgbImage;

/** What a picture is said to show. */
export interface EntailmentQuestion {
  readonly picture: Picture;
  readonly hypothesis: string;
  readonly premise?: string | undefined;
}

export interface PictureQuestion {
  readonly picture: Picture;
  readonly question: string;
  /** Names of objects in the picture, for models trained with them in the prompt (`add_object`). */
  readonly objects?: readonly string[] | undefined;
}

/** How an answer is written by a model's own rules, whatever the encoding comes from. */
export interface AnswerWriter {
  /** The prompt of the encoder. */
  readonly source: readonly number[];
  /** What the decoder is fed before the words, begin symbol first. */
  readonly prompt: readonly number[];
  /** Rows (beams) a picture and most steps, as `startDecoding` is to be told. */
  readonly rows: number;
  readonly maxSteps: number;
  /** How words are chosen, in plain values: what files say of it. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** An answer a picture. The decoding is stepped, reordered and left to the caller. @param policy a list has one a picture */
  write(
    decoding: Decoding,
    pictures: number,
    policy: PolicyPerImage,
    options?: {readonly signal?: AbortSignal | undefined},
  ): Promise<readonly WrittenAnswer[]>;
}

export interface WrittenAnswer {
  /** Best first; at least one. */
  readonly hypotheses: readonly AnswerHypothesis[];
  /** What was written after the prompt for the first of them, with its end symbol unless it was cut off. */
  readonly tokens: readonly number[];
  /** Of every step. */
  readonly traces: readonly StackTrace[];
}

/** What an entailment question is to a model. */
export interface EntailmentTokens {
  /** The encoder's prompt. */
  readonly source: readonly number[];
  /** What the decoder is fed before the answer. */
  readonly target: readonly number[];
  /** The answers no, yes, maybe. */
  readonly answers: readonly (readonly number[])[];
}

/** A model of any family with everything around it that a question needs. What a family cannot do is a UsageError `task-unsupported`. */
export interface Assistant extends Disposable {
  readonly model: VisionLanguageModel;
  readonly tokenizer: {token(id: number): string; readonly size: number; readonly eos: number};
  /** SHA-256 of the weights. */
  readonly sha256: string | undefined;
  /** The model folder's own plans. */
  readonly plans: ExitPlans | undefined;
  readonly runsOn: RunsOn | undefined;
  /** Whether the model was trained with a text premise beside the picture. */
  readonly readsPremise: boolean;
  /** Describes a picture. @throws InputError, AbortError */
  caption(picture: Picture, options?: GenerateOptions): Promise<Answer>;
  /**
   * Describes several pictures in one batch. Each leaves when its own states say so: words and exits are those that it gets
   * alone, and so are its costs; of the time each gets an equal share.
   * @throws UsageError `batch-reference`, `batch-policy`, `batch-skipped-kv`: exits that pictures cannot take each for itself
   */
  captionAll(pictures: readonly Picture[], options?: GenerateOptions): Promise<readonly Answer[]>;
  /** How `caption` writes. For callers that run many exits on one picture and share its encodings. */
  captionWriter(options?: GenerateOptions): AnswerWriter;
  /** Decides whether a picture entails a hypothesis. @throws InputError, AbortError */
  entail(
    picture: Picture,
    hypothesis: string,
    options?: AnswerOptions & {premise?: string | undefined},
  ): Promise<Entailment>;
  /** Several at once; see captionAll. */
  entailAll(questions: readonly EntailmentQuestion[], options?: AnswerOptions): Promise<readonly Entailment[]>;
  entailmentTokens(hypothesis: string, premise?: string): EntailmentTokens;
  /** Answers a question in any words, or with one of the given answers. @throws InputError, AbortError */
  ask(picture: Picture, question: string, options?: AskOptions): Promise<Answer>;
  /** Several at once; see captionAll. */
  askAll(questions: readonly PictureQuestion[], options?: Omit<AskOptions, 'objects'>): Promise<readonly Answer[]>;
  /** Writes on after any prompt. @throws InputError, AbortError */
  prompt(picture: Picture, text: string, options?: GenerateOptions): Promise<Answer>;
  /** Normalised pixels [1, size, size, 3], the caller's. */
  pixels(picture: Picture): Promise<tf.Tensor4D>;
  /** @throws UsageError for a plan that does not fit this model or task */
  resolveExits(task: TaskName, choice?: ExitChoice): ResolvedExits;
}

/** What also puts pictures and texts in one space. */
export interface Embedder {
  /** @throws InputError, AbortError */
  embedPicture(picture: Picture, options?: AnswerOptions): Promise<Embedding>;
  /** A longer text than the model reads is cut off, and a note says so. @throws InputError, AbortError */
  embedText(text: string, options?: AnswerOptions): Promise<Embedding>;
  /** Several at once: each is what it is alone; of the time each gets an equal share. */
  embedTexts(texts: readonly string[], options?: AnswerOptions): Promise<readonly Embedding[]>;
}
