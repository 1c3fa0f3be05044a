import type {UnitPass} from '../../exit/run-stack.js';
import {exitTestCount, type Macs} from '../../exit/trace.js';
import {type CocaConfig, memoryLength, patchGrid} from './config.js';

/** Multiply-accumulates of every picture of a decoding, as if it were alone. */
export class CocaDecodingCosts {
  readonly macs: readonly {run: number; full: number}[];
  /** Pictures whose cross memory has been counted, a layer. */
  readonly #remembered: readonly Set<number>[];

  /** @param projects whether skipped layers project keys and values */
  constructor(
    private readonly cost: CocaCost,
    private readonly config: Pick<CocaConfig, 'text' | 'multimodal'>,
    pictures: number,
    private readonly projects: boolean,
  ) {
    const {layers} = config.multimodal;
    this.#remembered = Array.from({length: layers}, () => new Set());
    // A full answer runs every layer at its first step.
    this.macs = Array.from({length: pictures}, () => ({run: 0, full: layers * cost.crossMemory()}));
  }

  /** One unimodal layer for `tokens` new tokens of each of `rows` rows. */
  textLayer(picture: number, rows: number, tokens: number, keys: number): void {
    this.macs[picture]!.run += rows * this.cost.textLayer(tokens, keys);
  }

  /** One multimodal layer; its memory, if it is the first time. */
  multimodalLayer(layer: number, picture: number, rows: number, tokens: number, keys: number): void {
    const remembered = this.#remembered[layer]!;
    const memory = remembered.has(picture) ? 0 : this.cost.crossMemory();
    remembered.add(picture);
    this.macs[picture]!.run += rows * this.cost.multimodalLayer(tokens, keys) + memory;
  }

  /** What one token costs besides its layers, in one half. @param rows that were fed, @param deciding those that were looked at */
  half(picture: number, {trace, asked}: UnitPass, rows: number, deciding: number): void {
    const {cost} = this;
    const filled = this.projects ? (trace.depth - trace.exitLayer) * rows * cost.projectedKeysValues() : 0;
    const tests =
      exitTestCount(trace) * cost.exitTest(deciding * this.config.text.width) + asked * deciding * cost.logits();
    this.macs[picture]!.run += filled + tests;
  }

  /** What the words of one token cost, and all of it at full depth. @param known whether the last decision computed them */
  token(picture: number, step: number, rows: number, known: boolean): void {
    const {cost, config} = this;
    const macs = this.macs[picture]!;
    macs.run += known ? 0 : rows * cost.logits();
    macs.full += rows * (cost.logits() + config.text.layers * cost.textLayer(1, step + 1));
    macs.full += rows * config.multimodal.layers * cost.multimodalLayer(1, step + 1);
  }
}

// Multiply-accumulates from shapes (coca section 9).   N patches, D vision width, d text width, Q queries, S image tokens, T positions

/** The cost of every part of a model, in multiply-accumulates. */
export class CocaCost {
  readonly #d: number;
  /** N + 1 */
  readonly #tokens: number;

  constructor(private readonly config: CocaConfig) {
    this.#d = config.text.width;
    this.#tokens = patchGrid(config) ** 2 + 1;
  }

  get textDepth(): number {
    return this.config.text.layers;
  }

  patches(): number {
    const {patch_size: p, width} = this.config.vision;
    return 3 * p * p * (this.#tokens - 1) * width;
  }

  visionLayer(): number {
    const {width, mlp_width} = this.config.vision;
    return this.#tokens * (4 * width ** 2 + 2 * width * mlp_width) + 2 * this.#tokens ** 2 * width;
  }

  /** The attentional pooler for some of its queries, the query side not counted: it is computed once, not once a picture. */
  pooler(queries: number = this.config.vision.pooler?.queries ?? 0): number {
    if (!this.config.vision.pooler) return 0;
    const {width} = this.config.vision;
    return queries * this.#d ** 2 + 2 * this.#tokens * width * this.#d + 2 * queries * this.#tokens * this.#d;
  }

  /** The query side of the pooler. */
  poolerQueries(): number {
    return (this.config.vision.pooler?.queries ?? 0) * this.#d ** 2;
  }

  /** The projection of one image embedding. */
  imageProjection(): number {
    return (this.config.vision.pooler ? this.#d : this.config.vision.width) * this.config.embed_dim;
  }

  /** The projection of one text embedding. */
  textProjection(): number {
    return this.#d * this.config.embed_dim;
  }

  /** One unimodal layer for `tokens` new positions of one row. @param keys of self-attention, the new ones included. */
  textLayer(tokens: number, keys: number): number {
    return tokens * (4 * this.#d ** 2 + 2 * this.#d * this.config.text.mlp_width + 2 * keys * this.#d);
  }

  /** One self block of the multimodal half. */
  selfBlock(tokens: number, keys: number): number {
    return tokens * (4 * this.#d ** 2 + 2 * this.#d * this.config.multimodal.mlp_width + 2 * keys * this.#d);
  }

  /** One cross block, its keys and values not counted. */
  crossBlock(tokens: number): number {
    const {mlp_width} = this.config.multimodal;
    return tokens * (2 * this.#d ** 2 + 2 * this.#d * mlp_width + 2 * memoryLength(this.config) * this.#d);
  }

  /** One multimodal layer, its cross keys and values not counted. */
  multimodalLayer(tokens: number, keys: number): number {
    return this.selfBlock(tokens, keys) + this.crossBlock(tokens);
  }

  /** Keys and values of the picture for one multimodal layer; once a picture. */
  crossMemory(): number {
    return 2 * memoryLength(this.config) * this.#d ** 2;
  }

  /** Whole targets through so many layers of both halves of the decoder, and through all; without scores of words. */
  decoderPass(rows: number, pictures: number, length: number, textLayers: number, multimodalLayers: number): Macs {
    const text = rows * this.textLayer(length, length);
    const multimodal = rows * this.multimodalLayer(length, length) + pictures * this.crossMemory();
    return {
      run: textLayers * text + multimodalLayers * multimodal,
      full: this.config.text.layers * text + this.config.multimodal.layers * multimodal,
    };
  }

  /** Keys and values of a skipped layer, projected from the exit state, for one row. */
  projectedKeysValues(): number {
    return 2 * this.#d ** 2;
  }

  /** Scores of `words` words for one row. */
  logits(words: number = this.config.text.vocab_size): number {
    return words * this.#d;
  }

  /** One test of the image tower's state. */
  visionTest(): number {
    return this.exitTest(this.#tokens * this.config.vision.width);
  }

  /** One cosine over `elements` numbers: a product and two norms. */
  exitTest(elements: number): number {
    return 3 * elements;
  }
}
