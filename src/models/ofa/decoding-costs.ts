import type {SampleRun} from '../../exit/run-stack.js';
import {looks} from '../../exit/trace.js';
import type {OfaCost} from './cost.js';

/** Multiply-accumulates of every picture of a decoding, as if it were alone. */
export class DecodingCosts {
  readonly macs: readonly {run: number; full: number}[];
  /** Pictures whose cross memory has been counted, a layer. */
  readonly #remembered: Set<number>[];

  /** @param lengths M of each picture. @param depth layers. @param projects whether skipped layers project keys and values */
  constructor(
    private readonly cost: OfaCost,
    private readonly lengths: readonly number[],
    depth: number,
    private readonly sizes: {readonly width: number; readonly words: number; readonly projects: boolean},
  ) {
    this.#remembered = Array.from({length: depth}, () => new Set());
    this.macs = lengths.map((length) => {
      const positions = cost.crossPositions(length);
      // A full answer runs every layer at its first step.
      return {run: positions, full: positions + depth * cost.crossMemory(length)};
    });
  }

  /** One layer for `tokens` new tokens of each of `rows` rows; its memory, if it is the first time. */
  layer(layer: number, picture: number, rows: number, tokens: number, keys: number): void {
    const length = this.lengths[picture]!;
    const macs = this.macs[picture]!;
    if (!this.#remembered[layer]!.has(picture)) {
      this.#remembered[layer]!.add(picture);
      macs.run += this.cost.crossMemory(length);
    }
    macs.run += rows * this.cost.decoderLayer(tokens, keys, length);
  }

  /** Mode `copy`: a layer takes over another's memory. */
  copy(from: number, to: number): void {
    this.#remembered[to] = new Set(this.#remembered[from]);
  }

  /** What one token costs besides its layers. @param rows that were fed, @param deciding those that were looked at */
  token(picture: number, {trace, asked, logits}: SampleRun, step: number, rows: number, deciding: number): void {
    const {cost} = this;
    const {width, words, projects} = this.sizes;
    const length = this.lengths[picture]!;
    const macs = this.macs[picture]!;
    const scores = cost.logits(words);
    const positions = cost.targetPositions(1, step + 1, length);
    macs.full += positions + rows * scores + trace.depth * rows * cost.decoderLayer(1, step + 1, length);
    // What the last decision computed is not computed again.
    macs.run += positions + (logits ? 0 : rows * scores) + asked * deciding * scores + looks(trace) * cost.exitTest(deciding * width);
    if (projects) macs.run += (trace.depth - trace.exitLayer) * rows * cost.projectedKeysValues();
  }
}
