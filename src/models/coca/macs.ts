import {CacheLengths, type SkippedKv} from '../../exit/skipped-kv-cache.js';
import {
  type AdapterMacs,
  adapterMacs,
  type DraftedToken,
  draftedLayers,
  exitTestCount,
  type Macs,
  type StackPass,
  type StepPass,
  type TracedDepth,
  withoutAdapters,
} from '../../exit/trace.js';
import {type CocaConfig, memoryLength, patchGrid} from './config.js';
import {largest} from '../../runtime/extremes.js';

// Multiply-accumulates, computed from sizes and traces after an answer (docs/reference/coca.md 9).
// N patches, D vision width, d text width, Q queries, S image tokens, T positions, K rows (beams) an image

/** One token of a decoding: its passes through both halves of the decoder. */
export interface TokenPasses {
  readonly text: StepPass;
  readonly multimodal: StepPass;
  /** Given for a token that the text half and the first multimodal layers drafted. */
  readonly drafted?: DraftedToken;
}

/** One teacher-forced pass over the targets of one image. */
export interface ScoringPasses {
  readonly text: StackPass;
  readonly multimodal: StackPass;
  /** K */
  readonly rows: number;
  /** T of the longest target. */
  readonly length: number;
  /** Numbers that an exit test looked at. */
  readonly decidedOn: number;
  /** Positions whose logits were asked for. */
  readonly positions: number;
  /** Token ids that were asked for at each of them. */
  readonly ids: number;
}

/** Multiply-accumulates of every part of a model and of whole passes. Pure: sizes and traces in, numbers out. */
export class CocaMacs {
  /** d */
  readonly #d: number;
  /** N + 1 */
  readonly #tokens: number;

  constructor(private readonly config: CocaConfig) {
    this.#d = config.text.width;
    this.#tokens = patchGrid(config) ** 2 + 1;
  }

  patches(): number {
    const {patch_size: p, width} = this.config.vision;
    return 3 * p * p * (this.#tokens - 1) * width;
  }

  visionLayer(): number {
    const {width, mlp_width} = this.config.vision;
    return this.#tokens * (4 * width ** 2 + 2 * width * mlp_width) + 2 * this.#tokens ** 2 * width;
  }

  /**
   * The attentional pooler for some of its queries. The query side is not counted: it is computed once, not once an
   * image.
   */
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

  /**
   * One unimodal layer for one row.
   * @param tokens   new positions
   * @param keys     of self-attention, the new ones included
   */
  textLayer(tokens: number, keys: number): number {
    return tokens * (4 * this.#d ** 2 + 2 * this.#d * this.config.text.mlp_width + 2 * keys * this.#d);
  }

  /** One self block of the multimodal half; parameters as of `textLayer`. */
  selfBlock(tokens: number, keys: number): number {
    return tokens * (4 * this.#d ** 2 + 2 * this.#d * this.config.multimodal.mlp_width + 2 * keys * this.#d);
  }

  /** One cross block, its keys and values not counted. */
  crossBlock(tokens: number): number {
    const {mlp_width} = this.config.multimodal;
    return tokens * (2 * this.#d ** 2 + 2 * this.#d * mlp_width + 2 * memoryLength(this.config) * this.#d);
  }

  /** One multimodal layer, its cross-attention keys and values not counted; parameters as of `textLayer`. */
  multimodalLayer(tokens: number, keys: number): number {
    return this.selfBlock(tokens, keys) + this.crossBlock(tokens);
  }

  /** Cross-attention keys and values of one multimodal layer; once an image. */
  crossAttentionKv(): number {
    return 2 * memoryLength(this.config) * this.#d ** 2;
  }

  /** Keys and values of one skipped layer, projected from the exit state, for one row. */
  projectedKv(): number {
    return 2 * this.#d ** 2;
  }

  /** Logits of one row for `ids` token ids; all by default. */
  logits(ids: number = this.config.text.vocab_size): number {
    return ids * this.#d;
  }

  /** One exit test of the image tower's state. */
  visionTest(): number {
    return this.exitTest(this.#tokens * this.config.vision.width);
  }

  /** One cosine over `elements` numbers: a product and two norms. */
  exitTest(elements: number): number {
    return 3 * elements;
  }

  /** One image through the image tower. */
  tower(trace: TracedDepth): Macs {
    return {
      run: this.patches() + trace.exitLayer * this.visionLayer() + exitTestCount(trace) * this.visionTest(),
      full: this.patches() + trace.depth * this.visionLayer(),
    };
  }

  /** Encoding one image for the decoder. */
  encode(trace: TracedDepth): Macs {
    return plus(this.tower(trace), this.pooler());
  }

  /** The embedding of one image. */
  embedImage(trace: TracedDepth): Macs {
    return plus(this.tower(trace), this.pooler(1) + this.imageProjection());
  }

  /** The embedding of one text. @param positions tokens, and CLS behind them */
  embedText(positions: number, trace: TracedDepth): Macs {
    const layer = this.textLayer(positions, positions);
    const tests = exitTestCount(trace) * this.exitTest(this.#d);
    return plus({run: trace.exitLayer * layer + tests, full: trace.depth * layer}, this.textProjection());
  }

  /** Decoding one image token by token. @param passes one a token, in order, with tokens that were taken back */
  decode(skipped: SkippedKv, passes: readonly TokenPasses[], adapters: AdapterMacs = withoutAdapters): Macs {
    const {text, multimodal} = this.config;
    const reached = Math.max(0, largest(passes.map((token) => token.multimodal.trace.exitLayer)));
    const macs = {
      run: reached * this.crossAttentionKv(),
      // A full answer runs every layer at its first token.
      full: multimodal.layers * this.crossAttentionKv(),
    };
    const textCaches = new CacheLengths(text.layers, skipped);
    const multimodalCaches = new CacheLengths(multimodal.layers, skipped);
    for (const [index, token] of passes.entries()) {
      const {rows, logitsKnown} = token.multimodal;
      const {drafted} = token;
      const step = drafted?.position ?? index;
      for (const {tokens, keys} of drafted
        ? draftedLayers(text.layers, {...drafted, layers: text.layers})
        : textCaches.step(token.text.trace.exitLayer))
        macs.run += rows * this.textLayer(tokens, keys);
      for (const {tokens, keys} of drafted
        ? draftedLayers(multimodal.layers, drafted)
        : multimodalCaches.step(token.multimodal.trace.exitLayer))
        macs.run += rows * this.multimodalLayer(tokens, keys);
      macs.run += this.#besidesLayers(token.text, skipped) + this.#besidesLayers(token.multimodal, skipped);
      macs.run += logitsKnown ? 0 : rows * this.logits();
      const adapted = adapterMacs(token.multimodal, adapters);
      macs.run += adapted.tests * token.multimodal.decidingRows + adapted.answer * rows;
      if (drafted?.kept === false) continue;
      macs.full += rows * (this.logits() + text.layers * this.textLayer(1, step + 1));
      macs.full += rows * multimodal.layers * this.multimodalLayer(1, step + 1);
    }
    return macs;
  }

  /** Exit tests of one token in one half, and what fills the caches of skipped layers. */
  #besidesLayers({trace, logitsAt, rows, decidingRows}: StepPass, skipped: SkippedKv): number {
    const filled = skipped === 'project' ? (trace.depth - trace.exitLayer) * rows * this.projectedKv() : 0;
    const tests = exitTestCount(trace) * this.exitTest(decidingRows * this.#d);
    return filled + tests + logitsAt.length * decidingRows * this.logits();
  }

  /** Scoring the targets of one image in one pass. */
  score(
    {text, multimodal, rows, length, decidedOn, positions, ids}: ScoringPasses,
    adapters: AdapterMacs = withoutAdapters,
  ): Macs {
    const textLayer = rows * this.textLayer(length, length);
    const multimodalLayer = rows * this.multimodalLayer(length, length) + this.crossAttentionKv();
    const logits = positions * this.logits(ids);
    const adapted = adapterMacs(multimodal, adapters);
    const tests = (exitTestCount(text.trace) + exitTestCount(multimodal.trace)) * this.exitTest(decidedOn);
    return {
      run:
        text.trace.exitLayer * textLayer +
        multimodal.trace.exitLayer * multimodalLayer +
        tests +
        (multimodal.logitsAt.length + (multimodal.logitsKnown ? 0 : 1)) * logits +
        (adapted.tests + adapted.answer) * positions,
      full: text.trace.depth * textLayer + multimodal.trace.depth * multimodalLayer + logits,
    };
  }
}

/** A cost that an image or text has wherever it left. */
function plus({run, full}: Macs, cost: number): Macs {
  return {run: run + cost, full: full + cost};
}
