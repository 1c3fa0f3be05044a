import type * as tf from '@tensorflow/tfjs';
import type {PolicyPerImage, ExitPolicy, StackName} from '../exit/policy.js';
import type {SkippedKv} from '../exit/skipped-kv-cache.js';
import type {Macs, ImageRun, StackTrace} from '../exit/trace.js';

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
  /** One a picture. */
  readonly runs: readonly ImageRun[];
}

export interface StepOptions extends RunOptions {
  /** Rows that count for the exit decision (beams with a finite score); all by default. At least one a decision. */
  readonly rows?: readonly number[];
}

/** One answer a picture being written, by K rows (beams) each. Owns its caches. */
export interface Decoding extends Disposable {
  /**
   * Feeds the newest token of every row.
   * @param policy a list has one for every picture that has not left
   * @returns logits [R, V], the caller's, and what happened to each of these pictures, stack by stack
   */
  step(
    tokens: readonly number[],
    policy: PolicyPerImage,
    options?: StepOptions,
  ): Promise<{logits: tf.Tensor2D; traces: readonly (readonly StackTrace[])[]}>;
  /**
   * Feeds the first T tokens of every picture, while each has one row: what T steps would do, exits token by token included,
   * in one pass where the policy and the mode of skipped keys and values allow it.
   * @param tokens T a picture
   * @returns logits [B·T, V], the caller's, and the traces of each picture, token by token
   */
  prefill(
    tokens: readonly (readonly number[])[],
    policy: PolicyPerImage,
    options?: RunOptions,
  ): Promise<{logits: tf.Tensor2D; traces: readonly (readonly StackTrace[])[]}>;
  /** Row r becomes what row `rows[r]` was. Fewer pictures: some have left. @param beams K from now on; as many as before by default */
  reorder(rows: readonly number[], beams?: number): void;
  /** One a picture, those that have left included. */
  readonly macs: readonly Macs[];
}

export interface ScoreInput {
  /** Token ids a row, R = B·K rows in order of pictures; padded here. */
  readonly targets: readonly (readonly number[])[];
  /** Where next-word scores are wanted. */
  readonly at: readonly {readonly row: number; readonly position: number}[];
  /** Only the scores of these words. */
  readonly words?: readonly number[];
  /**
   * A number a picture: its decision (that of all: the first picture's) looks at so many positions of its first row alone. By
   * default at all rows and, where each picture decides for itself, at its longest row's length; else at padding, too.
   */
  readonly decideOn?: readonly number[];
}

export interface Scored {
  /** [at.length, V or words.length], the caller's. */
  readonly logits: tf.Tensor2D;
  /** One a picture. */
  readonly runs: readonly ImageRun[];
}

/**
 * A picture whose encoder stacks ran to the end and kept what every layer gave: any choice of exits can be had from it
 * without running them again. What recordings are made with.
 */
export interface ImageStates extends Disposable {
  withPrompt(prompt: readonly number[], options?: RunOptions): Promise<MultiDepthEncoding>;
}

export interface MultiDepthEncoding extends Disposable {
  /**
   * The encoder stacks, with the similarity of successive states after every layer, the last included, and the
   * multiply-accumulates of one such test, which an encoding made by `combine` does not count.
   */
  readonly stacks: readonly {
    readonly stack: StackName;
    readonly similarity: readonly number[];
    readonly testMacs: number;
  }[];
  /** The encoding in which each stack left after so many layers; one or several, each as a picture of its own. The caller's. */
  combine(depths: readonly (readonly number[])[]): Encoded;
  /**
   * Multiply-accumulates of scoring a target of `tokens` tokens at `words` words, with these exits.
   * @param depths of all stacks but the one that writes, those of `stacks` first
   */
  scoringMacs(depths: readonly number[], writingLayers: number, tokens: number, words: number): number;
}

export interface VisionLanguageModel extends Disposable {
  /** Stacks that can exit, with their depths. */
  readonly stacks: Readonly<Partial<Record<StackName, number>>>;
  readonly vocabularySize: number;
  /** @param policy a list has one a picture */
  encode(input: EncodeInput, policy: PolicyPerImage, options?: RunOptions): Promise<Encoded>;
  /** @param rows a picture (beams). @param maxSteps most steps there will be. */
  startDecoding(encoded: Encoded, rows: number, maxSteps: number, skipped: SkippedKv): Decoding;
  imageStates(pixels: tf.Tensor4D, options?: RunOptions): Promise<ImageStates>;
  /** One teacher-forced pass over whole targets. */
  score(encoded: Encoded, input: ScoreInput, policy: PolicyPerImage, options?: RunOptions): Promise<Scored>;
}

/** Rows of embeddings. */
export interface Embedded {
  /** [B, e], each of unit length; the caller's. */
  readonly features: tf.Tensor2D;
  /** One a row: each picture and each text leaves for itself. */
  readonly runs: readonly ImageRun[];
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
