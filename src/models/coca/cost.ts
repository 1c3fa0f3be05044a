import type {Macs} from '../../exit/trace.js';
import {type CocaConfig, memoryLength, patchGrid} from './config.js';

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
