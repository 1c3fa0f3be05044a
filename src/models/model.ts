import type * as tf from '@tensorflow/tfjs';
import type {ExitPolicy, PolicyPerImage, StackName} from '../exit/policy.js';
import type {SkippedKv} from '../exit/skipped-kv-cache.js';
import type {AdapterMacs, ImageRun, Macs, StackTrace} from '../exit/trace.js';
import type {ExitAdapters} from '../nn/exit-adapters.js';

// The interfaces through which everything above sees a model of any family.
// B images, K rows (beams) an image, R = B·K rows, T tokens, V words, e embedding width

export interface EncodeInput {
  /** Normalised images [B, h, w, 3], or one that all prompts are about; borrowed. */
  readonly pixels: tf.Tensor4D;
  /** Token ids for each image, with begin and end; padded here. */
  readonly prompts: readonly (readonly number[])[];
  /** False where an image is absent and its patches are padding. All true by default. */
  readonly patchMasks?: readonly boolean[];
}

export interface RunOptions {
  readonly signal?: AbortSignal;
}

/** Images and prompts, encoded. Owns its tensors; outlives the decodings made from it. */
export interface Encoded extends Disposable {
  /** B */
  readonly images: number;
  /** One an image. */
  readonly runs: readonly ImageRun[];
}

export interface StepOptions extends RunOptions {
  /** Rows that count for the exit decision (beams with a finite score), at least one a decision; all by default. */
  readonly rows?: readonly number[];
  /** How the search goes on, for decodings that draft; without it they draft nothing. */
  readonly follow?: Follow;
}

/** What a search would feed to a row next. */
export interface Follower {
  /** Undefined where the answer ends. */
  readonly token: number | undefined;
  /** How far its log-probability is above that of the second best. */
  readonly lead: number;
}

/**
 * The rules of a search, asked about tokens that it has not chosen yet.
 * @param row       row of the step
 * @param drafted   tokens that are fed to it after the newest
 * @param logits    next-token logits behind them [V]
 */
export type Follow = (row: number, drafted: readonly number[], logits: Float32Array) => Follower;

/** Tokens that were fed to a decoding. */
export interface Decoded {
  /** Next-token logits [R, V] of a step, [B·T, V] of a prefix; the caller's. */
  readonly logits: tf.Tensor2D;
  /** Traces of each image that has not finished: stack by stack, and token by token for a prefix. */
  readonly traces: readonly (readonly StackTrace[])[];
}

/** One answer being written for each image, by K rows (beams) each. Owns its caches. */
export interface Decoding extends Disposable {
  /**
   * Feeds the newest token of every row.
   * @param tokens   one a row
   * @param policy   a list has one for every image that has not finished
   */
  step(tokens: readonly number[], policy: PolicyPerImage, options?: StepOptions): Promise<Decoded>;
  /**
   * Feeds the first T tokens of every image, while each has one row. It does what T steps would do, exits token by
   * token included, in one pass where the policy and the mode of skipped keys and values allow it.
   * @param tokens   T for each image
   */
  prefill(tokens: readonly (readonly number[])[], policy: PolicyPerImage, options?: RunOptions): Promise<Decoded>;
  /**
   * Row r becomes what row `rows[r]` was. With fewer images than before, some have finished.
   * @param beams   K from now on; as before by default
   */
  reorder(rows: readonly number[], beams?: number): void;
  /** One for each encoded image, finished ones included. */
  readonly macs: readonly Macs[];
}

/** A decoding whose tokens can be run in part, run to the end together, and taken back. */
export interface DraftableDecoding extends Decoding {
  /**
   * Runs all tokens that left after the same early layer, since the last that went deeper, through the other layers in
   * one pass, as if none had left. For one row, in mode `just-in-time`.
   * @returns   logits [k, V] and traces of these tokens, in order
   */
  verify(options?: RunOptions): Promise<{readonly logits: tf.Tensor2D; readonly traces: readonly StackTrace[][]}>;
  /** Forgets all tokens but the first `length`; only tokens that were verified can be forgotten. */
  cut(length: number): void;
}

export interface ScoreInput {
  /** Token ids of R = B·K rows in order of images; padded here. */
  readonly targets: readonly (readonly number[])[];
  /** Positions whose next-token logits are wanted. */
  readonly at: readonly {readonly row: number; readonly position: number}[];
  /** Compute the logits of these token ids only. */
  readonly ids?: readonly number[];
  /**
   * For each image n, the number of positions that its exit decision looks at: the first n of its first row; where all
   * images decide as one, those of the first image. Without the list a decision looks at all rows: of the image's own
   * length where each image decides for itself, else padding included.
   */
  readonly decideOn?: readonly number[];
  /** Stand between an early state of the stack that writes and its head; borrowed. */
  readonly adapters?: ExitAdapters;
}

export interface Scored {
  /** [at.length, V or ids.length], the caller's. */
  readonly logits: tf.Tensor2D;
  /** One an image. */
  readonly runs: readonly ImageRun[];
}

/**
 * An image whose encoder stacks ran to the end and kept the state after every layer: any choice of exits can be had
 * from it without running them again. Recordings are made with it.
 */
export interface ImageStates extends Disposable {
  /** Adds a prompt, whose stacks run to the end, too. The result is the caller's and borrows the image's states. */
  withPrompt(prompt: readonly number[], options?: RunOptions): Promise<MultiDepthEncoding>;
}

/** An image and a prompt, encoded at every depth. Depths are numbers of layers, from 1. */
export interface MultiDepthEncoding extends Disposable {
  /**
   * The encoder stacks: similarity of successive states after every layer, the last included, and the
   * multiply-accumulates of one such exit test, which an encoding made by `combine` does not count.
   */
  readonly stacks: readonly {
    readonly stack: StackName;
    readonly similarity: readonly number[];
    readonly testMacs: number;
  }[];
  /**
   * The encoding in which each stack left after so many layers; the caller's.
   * @param depths   a list a combination, in the order of `stacks`; each combination becomes an image of its own
   */
  combine(depths: readonly (readonly number[])[]): Encoded;
  /**
   * Multiply-accumulates of scoring a target of `tokens` tokens at `ids` token ids, with these exits.
   * @param depths     of all stacks but the one that produces tokens, those of `stacks` first
   * @param adapters   cost of the adapter at the position that is scored; none by default
   */
  scoringMacs(
    depths: readonly number[],
    writingLayers: number,
    tokens: number,
    ids: number,
    adapters?: AdapterMacs,
  ): number;
}

export interface VisionLanguageModel extends Disposable {
  /** Stacks that can exit, with their depths in layers. */
  readonly stacks: Readonly<Partial<Record<StackName, number>>>;
  /** Further stacks, which run as such only for policies that name them. */
  readonly optionalStacks?: Readonly<Partial<Record<StackName, number>>>;
  readonly vocabularySize: number;
  /** Width of the states of the stack that writes, D. */
  readonly stateSize: number;
  encode(input: EncodeInput, policy: PolicyPerImage, options?: RunOptions): Promise<Encoded>;
  /**
   * @param encoded    borrowed, only during the call
   * @param rows       K
   * @param maxSteps   most steps there will be
   * @param adapters   stand between an early state of the stack that writes and its head; borrowed
   */
  startDecoding(
    encoded: Encoded,
    rows: number,
    maxSteps: number,
    skipped: SkippedKv,
    adapters?: ExitAdapters,
  ): DraftableDecoding;
  /**
   * The head of the stack that writes: next-token logits. Synchronous and differentiable.
   * @param x     states [N, D] of the stack, before its final norm; borrowed
   * @param ids   compute only these token ids
   * @returns     [N, V] or [N, ids.length], the caller's
   */
  logits(x: tf.Tensor2D, ids?: readonly number[]): tf.Tensor2D;
  imageStates(pixels: tf.Tensor4D, options?: RunOptions): Promise<ImageStates>;
  /** One teacher-forced pass over whole targets. */
  score(encoded: Encoded, input: ScoreInput, policy: PolicyPerImage, options?: RunOptions): Promise<Scored>;
}

/** Rows of embeddings. */
export interface Embedded {
  /** [B, e], each of unit length; the caller's. */
  readonly features: tf.Tensor2D;
  /** One a row: each image and each text leaves for itself. */
  readonly runs: readonly ImageRun[];
}

/** A model that also maps images and texts to one space, in which images lie near texts that describe them. */
export interface ContrastiveModel extends VisionLanguageModel {
  /** e */
  readonly embeddingSize: number;
  /** Most tokens of a text, start and end counted. */
  readonly contextLength: number;
  /** Factor of similarities before a softmax over them. */
  readonly logitScale: number;
  /** @param pixels normalised images [B, h, w, 3], borrowed */
  embedImages(pixels: tf.Tensor4D, policy: ExitPolicy, options?: RunOptions): Promise<Embedded>;
  /** @param texts token ids of each, start and end included, not padded */
  embedTexts(texts: readonly (readonly number[])[], policy: ExitPolicy, options?: RunOptions): Promise<Embedded>;
}
