import type {UnitPass} from '../../exit/run-stack.js';
import {exitTestCount} from '../../exit/trace.js';
import type {OfaConfig} from './config.js';
import {bottlenecks} from './resnet.js';

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
  token(picture: number, {trace, asked, logits}: UnitPass, step: number, rows: number, deciding: number): void {
    const {cost} = this;
    const {width, words, projects} = this.sizes;
    const length = this.lengths[picture]!;
    const macs = this.macs[picture]!;
    const scores = cost.logits(words);
    const positions = cost.targetPositions(1, step + 1, length);
    macs.full += positions + rows * scores + trace.depth * rows * cost.decoderLayer(1, step + 1, length);
    // What the last decision computed is not computed again.
    macs.run +=
      positions +
      (logits ? 0 : rows * scores) +
      asked * deciding * scores +
      exitTestCount(trace) * cost.exitTest(deciding * width);
    if (projects) macs.run += (trace.depth - trace.exitLayer) * rows * cost.projectedKeysValues();
  }
}

// Multiply-accumulates from shapes (ofa_mue section 13).   P patches, S text tokens, M = P + S, T target tokens, D width

/** The cost of every part of a model, in multiply-accumulates. */
export class OfaCost {
  readonly #d: number;

  constructor(private readonly config: OfaConfig) {
    this.#d = config.d_model;
  }

  /** The ResNet, for a picture of the given side lengths in pixels. */
  resnet(height: number, width: number): number {
    const half = (n: number): number => Math.floor((n - 1) / 2) + 1;
    let [h, w] = [half(height), half(width)];
    let total = h * w * 3 * 64 * 49;
    [h, w] = [half(h), half(w)];
    for (const {inputs, planes, stride} of bottlenecks(this.config.resnet_layers)) {
      const before = h * w;
      if (stride === 2) [h, w] = [half(h), half(w)];
      const after = h * w;
      const shortcut = inputs !== 4 * planes || stride > 1 ? after * inputs * 4 * planes : 0;
      total += before * inputs * planes + after * (9 * planes * planes + 4 * planes * planes) + shortcut;
    }
    return total;
  }

  patchProjection(patches: number): number {
    return patches * 1024 * this.#d;
  }

  /** Position queries, keys and their product, for a stream of `length` tokens; once for all layers. */
  encoderPositions(length: number): number {
    return 2 * length * this.#d ** 2 + length ** 2 * this.#d;
  }

  encoderLayer(length: number): number {
    const {d_model: d, encoder_ffn_dim: f} = this.config;
    return length * (4 * d * d + 2 * d * f) + 2 * length ** 2 * d;
  }

  /** Keys and values of the encoder's states for one decoder layer; once a picture. */
  crossMemory(length: number): number {
    return 2 * length * this.#d ** 2;
  }

  /** Position keys of the encoder's tokens; once a picture. */
  crossPositions(length: number): number {
    return length * this.#d ** 2;
  }

  /** Position terms of `tokens` new targets: shared by layers and rows. @param keys of self-attention. */
  targetPositions(tokens: number, keys: number, length: number): number {
    return tokens * (3 * this.#d ** 2 + keys * this.#d + length * this.#d);
  }

  /** One decoder layer for `tokens` new targets of one row. @param keys of self-attention, the new ones included. */
  decoderLayer(tokens: number, keys: number, length: number): number {
    const {d_model: d, decoder_ffn_dim: f} = this.config;
    return tokens * (6 * d * d + 2 * d * f + 2 * keys * d + 2 * length * d);
  }

  /** Keys and values of a skipped layer, projected from the exit state, for one row. */
  projectedKeysValues(): number {
    return 2 * this.#d ** 2;
  }

  /** Scores of `words` words for one row. */
  logits(words: number): number {
    return words * this.#d;
  }

  /** One cosine over `elements` numbers: a product and two norms. */
  exitTest(elements: number): number {
    return 3 * elements;
  }
}
