import type * as tf from '@tensorflow/tfjs';
import type {ExitPolicy, StackName} from '../exit/policy.js';
import type {SkippedKv} from '../exit/skipped-kv.js';
import type {Macs, StackTrace} from '../exit/trace.js';

// What the floors above see of any model.   B pictures, R = B·K rows, V words

export interface EncodeInput {
  /** Normalised pictures [B, h, w, 3], borrowed. */
  readonly pixels: tf.Tensor4D;
  /** Token ids a picture, with begin and end; padded here. */
  readonly prompts: readonly (readonly number[])[];
  /** False where a picture is absent and its patches are padding. All true by default. */
  readonly patchMasks?: readonly boolean[];
}

export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Pictures and prompts, encoded. Owns its tensors; outlives the decodings made from it. */
export interface Encoded extends Disposable {
  readonly pictures: number;
  readonly traces: readonly StackTrace[];
  readonly macs: Macs;
}

export interface StepOptions extends RunOptions {
  /** Rows that count for the exit decision (beams with a finite score); all by default. */
  readonly rows?: readonly number[];
}

/** One answer a picture being written, by K rows (beams) each. Owns its caches. */
export interface Decoding extends Disposable {
  /** Feeds the newest token of every row. @returns logits [R, V], the caller's. */
  step(tokens: readonly number[], policy: ExitPolicy, options?: StepOptions): Promise<{logits: tf.Tensor2D; traces: readonly StackTrace[]}>;
  /** Row r becomes what row `rows[r]` was. Fewer rows: whole pictures have left. */
  reorder(rows: readonly number[]): void;
  readonly macs: Macs;
}

export interface ScoreInput {
  /** Token ids a row, R = B·K rows in order of pictures; padded here. */
  readonly targets: readonly (readonly number[])[];
  /** Where next-word scores are wanted. */
  readonly at: readonly {readonly row: number; readonly position: number}[];
  /** Only the scores of these words. */
  readonly words?: readonly number[];
  /** The decision looks at the first positions of the first row of all alone; at everything by default, padding included. */
  readonly decideOn?: number;
}

export interface Scored {
  /** [at.length, V or words.length], the caller's. */
  readonly logits: tf.Tensor2D;
  readonly traces: readonly StackTrace[];
  readonly macs: Macs;
}

/**
 * A picture whose encoder stacks ran to the end and kept what every layer gave: any choice of exits can be had from it
 * without running them again. What recordings are made with.
 */
export interface PictureDepths extends Disposable {
  withPrompt(prompt: readonly number[], options?: RunOptions): Promise<PromptDepths>;
}

export interface PromptDepths extends Disposable {
  /** The encoder stacks, with the similarity of successive states after every layer, the last included. */
  readonly stacks: readonly {readonly stack: StackName; readonly similarity: readonly number[]}[];
  /** The encoding in which each stack left after so many layers; one or several, each as a picture of its own. The caller's. */
  combine(depths: readonly (readonly number[])[]): Encoded;
  /** Multiply-accumulates of scoring a target of `tokens` tokens at `words` words, with these exits. */
  scoringMacs(depths: readonly number[], decoderLayers: number, tokens: number, words: number): number;
}

export interface VisionLanguageModel extends Disposable {
  /** Stacks that can exit, with their depths. */
  readonly stacks: Readonly<Partial<Record<StackName, number>>>;
  readonly vocabularySize: number;
  encode(input: EncodeInput, policy: ExitPolicy, options?: RunOptions): Promise<Encoded>;
  /** @param rows a picture (beams). @param maxSteps most steps there will be. */
  startDecoding(encoded: Encoded, rows: number, maxSteps: number, skipped: SkippedKv): Decoding;
  pictureDepths(pixels: tf.Tensor4D, options?: RunOptions): Promise<PictureDepths>;
  /** One teacher-forced pass over whole targets. */
  score(encoded: Encoded, input: ScoreInput, policy: ExitPolicy, options?: RunOptions): Promise<Scored>;
}

/** Rows of embeddings. */
export interface Embedded {
  /** [B, e], each of unit length; the caller's. */
  readonly features: tf.Tensor2D;
  /** One a row: each picture and each text leaves for itself. */
  readonly traces: readonly StackTrace[];
  readonly macs: Macs;
}

/** A model that also puts pictures and texts in one space, where what belongs together lies close. */
export interface ContrastiveModel extends VisionLanguageModel {
  /** e */
  readonly embeddingSize: number;
  /** Most tokens of a text, start and end counted. */
  readonly contextLength: number;
  /** Factor of similarities before a softmax over them. */
  readonly logitScale: number;
  /** @param pixels normalised pictures [B, h, w, 3], borrowed */
  embedImages(pixels: tf.Tensor4D, policy: ExitPolicy, options?: RunOptions): Promise<Embedded>;
  /** @param texts token ids of each, start and end included, not padded */
  embedTexts(texts: readonly (readonly number[])[], policy: ExitPolicy, options?: RunOptions): Promise<Embedded>;
}
