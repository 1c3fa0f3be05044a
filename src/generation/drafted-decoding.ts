import * as tf from '@tensorflow/tfjs';
import {draftPass} from '../exit/policies/draft.js';
import {type Drafting, type ExitPolicy, never, type StackName} from '../exit/policy.js';
import type {StackTrace} from '../exit/trace.js';
import type {Decoded, DraftableDecoding, Decoding, Follower, RunOptions, StepOptions} from '../models/model.js';
import type {Macs} from '../exit/trace.js';
import {append} from '../runtime/extremes.js';
import {throwIfAborted} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';

// d layers that draft, L layers in all, k tokens drafted in a round, V words

/**
 * Where the two best tokens are nearer than this, a pass over several rows may round to the other one; the token is run
 * alone then, as without drafts.
 */
const TIE = 1e-5;

/** What drafting did for one answer. */
export interface DraftCounts {
  /** Rounds: some tokens drafted, and all of them verified by one pass. */
  readonly rounds: number;
  /** Positions that ran, those that were taken back included. */
  readonly positions: number;
  /** Positions that the answer kept. */
  readonly kept: number;
  /** Positions that were run again alone, since their two best tokens were as good as equal. */
  readonly ties: number;
  /** Layers of the stack that writes which ran one after the other; without drafts as many as the answer's layers. */
  readonly layerCalls: number;
}

/**
 * A decoding that guesses ahead, for searches of one row an image: the first d layers draft tokens until one is
 * doubtful, the other layers verify all of them in one pass, and the search is given the logits of full depth as long
 * as it feeds what was drafted. Which tokens are right is left to the search: its answer is the one that it would find
 * without drafts, whatever its rules. Every image drafts for itself. Owns its decodings.
 */
export class DraftedDecoding implements Decoding {
  readonly #scope = new TensorScope();
  /** One an image of the encoded batch. */
  readonly #all: readonly Lane[];
  /** Those that still decode. */
  #open: readonly Lane[];

  /**
   * @param start    makes a decoding of one row an image, in mode `just-in-time`
   * @param images   B
   * @param stack    the one that writes, of `depth` layers
   */
  constructor(start: () => DraftableDecoding, images: number, stack: StackName, depth: number, drafting: Drafting) {
    this.#all = Array.from({length: images}, (_, image) => {
      const decoding = this.#scope.hold(start());
      if (images > 1) decoding.reorder([image]);
      return new Lane(decoding, image, stack, depth, drafting);
    });
    this.#open = this.#all;
  }

  /** One for each encoded image. */
  get macs(): readonly Macs[] {
    return this.#all.map((lane) => lane.macs);
  }

  /** One for each encoded image. */
  get counts(): readonly DraftCounts[] {
    return this.#all.map((lane) => lane.counts);
  }

  async step(tokens: readonly number[], _policy: unknown, {follow, signal}: StepOptions = {}): Promise<Decoded> {
    const found: VerifiedToken[] = [];
    for (const [row, lane] of this.#open.entries())
      found.push(await lane.step(tokens[row]!, follow && ((drafted, logits) => follow(row, drafted, logits)), signal));
    const size = found[0]!.logits.length;
    const logits = new Float32Array(found.length * size);
    for (const [row, token] of found.entries()) logits.set(token.logits, row * size);
    return {logits: tf.tensor2d(logits, [found.length, size]), traces: found.map(({traces}) => traces)};
  }

  async prefill(tokens: readonly (readonly number[])[], _policy: unknown, options: RunOptions = {}): Promise<Decoded> {
    using scope = new TensorScope();
    const logits: tf.Tensor2D[] = [];
    const traces: (readonly StackTrace[])[] = [];
    for (const [row, lane] of this.#open.entries()) {
      const fed = await lane.prefill(tokens[row]!, options);
      logits.push(scope.hold(fed.logits));
      append(traces, fed.traces);
    }
    return {logits: logits.length === 1 ? scope.give(logits[0]!) : tf.concat(logits), traces};
  }

  /** Rows can leave; there are no beams to be exchanged. */
  reorder(rows: readonly number[]): void {
    this.#open = rows.map((row) => this.#open[row]!);
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}

/** A token that ran at full depth. */
interface VerifiedToken {
  readonly token: number;
  /** Next-token logits [V]. */
  readonly logits: Float32Array;
  readonly traces: readonly StackTrace[];
}

/** The rules of the search for one row. */
type FollowRow = (drafted: readonly number[], logits: Float32Array) => Follower;

/** One image's row. */
class Lane {
  readonly #pass: ExitPolicy;
  /** Tokens that the search has fed. */
  #fed = 0;
  /** Verified tokens behind them, which the search is expected to feed next. */
  #ahead: VerifiedToken[] = [];
  #counts = {rounds: 0, positions: 0, ties: 0, layerCalls: 0, prefilled: 0};

  /** @param decoding borrowed */
  constructor(
    private readonly decoding: DraftableDecoding,
    private readonly image: number,
    private readonly stack: StackName,
    private readonly depth: number,
    private readonly drafting: Drafting,
  ) {
    this.#pass = draftPass(stack, drafting);
  }

  get macs(): Macs {
    return this.decoding.macs[this.image]!;
  }

  get counts(): DraftCounts {
    const {prefilled, ...counts} = this.#counts;
    return {...counts, kept: this.#fed - prefilled};
  }

  async prefill(tokens: readonly number[], options: RunOptions): Promise<Decoded> {
    this.#fed += tokens.length;
    this.#counts.prefilled += tokens.length;
    return await this.decoding.prefill([tokens], [never], options);
  }

  /** @param follow left out where nothing is to be drafted */
  async step(token: number, follow: FollowRow | undefined, signal: AbortSignal | undefined): Promise<VerifiedToken> {
    if (this.#ahead[0]?.token !== token) {
      if (this.#ahead.length > 0) this.decoding.cut(this.#fed);
      this.#ahead = await this.#round(token, follow, signal);
    }
    this.#fed++;
    return this.#ahead.shift()!;
  }

  /** Drafts from a token on, verifies, and takes back what the search would not feed. */
  async #round(
    token: number,
    follow: FollowRow | undefined,
    signal: AbortSignal | undefined,
  ): Promise<VerifiedToken[]> {
    const drafted = await this.#draft(token, follow, signal);
    const verified = await this.#verify(drafted, signal);
    if (!follow) return verified;
    const behind = drafted.slice(1);
    const kept: VerifiedToken[] = [];
    for (const [i, found] of verified.entries()) {
      const {token: next, lead} = follow(behind.slice(0, i), found.logits);
      if (lead < TIE && verified.length > 1) {
        this.#counts.ties++;
        this.decoding.cut(this.#fed + i);
        await this.#draftOne(found.token, signal);
        return [...kept, ...(await this.#verify([found.token], signal))];
      }
      kept.push(found);
      if (next === undefined || next !== behind[i]) break;
    }
    if (kept.length < verified.length) this.decoding.cut(this.#fed + kept.length);
    return kept;
  }

  /** @returns the tokens that ran through the first layers, `token` first */
  async #draft(token: number, follow: FollowRow | undefined, signal: AbortSignal | undefined): Promise<number[]> {
    const drafted: number[] = [];
    for (let next: number | undefined = token; next !== undefined; ) {
      drafted.push(next);
      const {logits, margin} = await this.#draftOne(next, signal);
      if (!follow || !(margin >= this.drafting.threshold) || drafted.length >= this.drafting.draftLength) break;
      next = follow(drafted.slice(1), logits).token;
    }
    return drafted;
  }

  /** Runs the first layers for one more token. */
  async #draftOne(
    token: number,
    signal: AbortSignal | undefined,
  ): Promise<{readonly logits: Float32Array; readonly margin: number}> {
    throwIfAborted(signal);
    using scope = new TensorScope();
    const {logits, traces} = await this.decoding.step([token], this.#pass, {signal});
    const {layers} = this.drafting;
    this.#counts.positions++;
    this.#counts.layerCalls += layers;
    const {scores} = traces[0]!.find(({stack}) => stack === this.stack)!;
    return {logits: (await scope.hold(logits).data()) as Float32Array, margin: scores[layers - 1]!};
  }

  /** Runs the other layers for all of them. */
  async #verify(drafted: readonly number[], signal: AbortSignal | undefined): Promise<VerifiedToken[]> {
    using scope = new TensorScope();
    const {logits, traces} = await this.decoding.verify({signal});
    this.#counts.rounds++;
    this.#counts.layerCalls += this.depth - this.drafting.layers;
    const values = (await scope.hold(logits).data()) as Float32Array;
    const size = values.length / drafted.length;
    return drafted.map((token, i) => ({
      token,
      logits: values.subarray(i * size, (i + 1) * size),
      traces: traces[i]!,
    }));
  }
}
