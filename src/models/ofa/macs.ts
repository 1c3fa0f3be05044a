import {CacheLengths, type SkippedKv} from '../../exit/skipped-kv-cache.js';
import {
  type AdapterMacs,
  adapterMacs,
  draftedLayers,
  exitTestCount,
  type Macs,
  type StackPass,
  type StepPass,
  type TracedDepth,
  withoutAdapters,
} from '../../exit/trace.js';
import type {OfaConfig} from './config.js';
import {bottlenecks} from './resnet.js';
import {largest} from '../../runtime/extremes.js';

// Multiply-accumulates, computed from sizes and traces after an answer (docs/reference/ofa-mue.md 13).
// P patches, S text tokens, M = P + S, T target tokens, D width, K rows (beams) an image

/** One stream of the encoder after its run. */
export interface StreamPass {
  readonly trace: TracedDepth;
  /** Tokens, without padding. */
  readonly length: number;
}

/** One teacher-forced pass over the targets of one image. */
export interface ScoringPass extends StackPass {
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
export class OfaMacs {
  readonly #d: number;

  constructor(private readonly config: OfaConfig) {
    this.#d = config.d_model;
  }

  /** The ResNet, for an image of the given sides in pixels. */
  stem(height: number, width: number): number {
    const half = (n: number): number => Math.floor((n - 1) / 2) + 1;
    let [h, w] = [half(height), half(width)];
    let total = h * w * 3 * 64 * 49;
    [h, w] = [half(h), half(w)];
    for (const {inputs, planes, stride} of bottlenecks(this.config.resnet_layers)) {
      const before = h * w;
      if (stride === 2) [h, w] = [half(h), half(w)];
      const after = h * w;
      const shortcut = inputs !== 4 * planes || stride > 1 ? after * inputs * 4 * planes : 0;
      total += bottleneck(before, after, inputs, planes) + shortcut;
    }
    return total;
  }

  /**
   * The blocks at the end of the ResNet as a stack with exits, which `stem` counts at full depth.
   * @param patches   P
   */
  patchStack(patches: number, trace: TracedDepth): Macs {
    const {planes, inputs} = bottlenecks(this.config.resnet_layers).at(-1)!;
    const layer = bottleneck(patches, patches, inputs, planes);
    const tests = exitTestCount(trace) * this.exitTest(patches * inputs);
    return {run: trace.exitLayer * layer + tests, full: trace.depth * layer};
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

  /** Cross-attention keys and values of M encoder states for one decoder layer; once an image. */
  crossAttentionKv(length: number): number {
    return 2 * length * this.#d ** 2;
  }

  /** Position keys of M encoder tokens; once an image. */
  crossPositions(length: number): number {
    return length * this.#d ** 2;
  }

  /**
   * Position terms of new targets, shared by layers and rows.
   * @param tokens   new targets
   * @param keys     of self-attention
   * @param length   M
   */
  targetPositions(tokens: number, keys: number, length: number): number {
    return tokens * (3 * this.#d ** 2 + keys * this.#d + length * this.#d);
  }

  /**
   * One decoder layer for one row.
   * @param tokens   new targets
   * @param keys     of self-attention, the new ones included
   * @param length   M
   */
  decoderLayer(tokens: number, keys: number, length: number): number {
    const {d_model: d, decoder_ffn_dim: f} = this.config;
    return tokens * (6 * d * d + 2 * d * f + 2 * keys * d + 2 * length * d);
  }

  /** Keys and values of one skipped layer, projected from the exit state, for one row. */
  projectedKv(): number {
    return 2 * this.#d ** 2;
  }

  /** Logits of one row for `ids` token ids; all by default. */
  logits(ids: number = this.config.vocab_size): number {
    return ids * this.#d;
  }

  /**
   * One exit test over `elements` numbers, as a cosine costs: a product and two norms. Every test that gave a score is
   * charged so, whatever the policy computes; logits that a test asked for are charged besides.
   */
  exitTest(elements: number): number {
    return 3 * elements;
  }

  /**
   * Encoding one image with its prompt.
   * @param stem      multiply-accumulates of the ResNet
   * @param patches   P
   */
  encode(stem: number, patches: number, streams: readonly StreamPass[]): Macs {
    const embedding = stem + this.patchProjection(patches);
    const macs = {run: embedding, full: embedding};
    for (const {trace, length} of streams) {
      const positions = this.encoderPositions(length);
      const layer = this.encoderLayer(length);
      macs.run += positions + trace.exitLayer * layer + exitTestCount(trace) * this.exitTest(length * this.#d);
      macs.full += positions + trace.depth * layer;
    }
    return macs;
  }

  /**
   * Decoding one image token by token.
   * @param length   M
   * @param passes   one a token, in order, those of tokens that were taken back among them; none before the first
   */
  decode(
    length: number,
    skipped: SkippedKv,
    passes: readonly StepPass[],
    adapters: AdapterMacs = withoutAdapters,
  ): Macs {
    const {decoder_layers: depth} = this.config;
    const positions = this.crossPositions(length);
    const reached = layersWithCrossAttentionKv(skipped, passes);
    const macs = {
      run: positions + reached * this.crossAttentionKv(length),
      // A full answer runs every layer at its first token.
      full: positions + depth * this.crossAttentionKv(length),
    };
    const caches = new CacheLengths(depth, skipped);
    for (const [index, pass] of passes.entries()) {
      const {trace, logitsAt, logitsKnown, rows, decidingRows, drafted} = pass;
      const step = drafted?.position ?? index;
      const target = this.targetPositions(1, step + 1, length);
      const logits = this.logits();
      macs.run += target + (logitsKnown ? 0 : rows * logits) + logitsAt.length * decidingRows * logits;
      const adapted = adapterMacs(pass, adapters);
      macs.run += adapted.tests * decidingRows + adapted.answer * rows;
      macs.run += exitTestCount(trace) * this.exitTest(decidingRows * this.#d);
      for (const {tokens, keys} of drafted ? draftedLayers(depth, drafted) : caches.step(trace.exitLayer))
        macs.run += rows * this.decoderLayer(tokens, keys, length);
      if (skipped === 'project') macs.run += (depth - trace.exitLayer) * rows * this.projectedKv();
      if (drafted?.kept !== false)
        macs.full += target + rows * logits + depth * rows * this.decoderLayer(1, step + 1, length);
    }
    return macs;
  }

  /**
   * Scoring the targets of one image in one pass.
   * @param length   M
   */
  score(length: number, pass: ScoringPass, adapters: AdapterMacs = withoutAdapters): Macs {
    const {trace, logitsAt, logitsKnown} = pass;
    const tokens = pass.length;
    const shared = this.crossPositions(length) + this.targetPositions(tokens, tokens, length);
    const layer = pass.rows * this.decoderLayer(tokens, tokens, length) + this.crossAttentionKv(length);
    const logits = pass.positions * this.logits(pass.ids);
    const adapted = adapterMacs(pass, adapters);
    return {
      run:
        shared +
        trace.exitLayer * layer +
        exitTestCount(trace) * this.exitTest(pass.decidedOn) +
        (logitsAt.length + (logitsKnown ? 0 : 1)) * logits +
        (adapted.tests + adapted.answer) * pass.positions,
      full: shared + trace.depth * layer + logits,
    };
  }
}

/**
 * The three convolutions of a ResNet block.
 * @param before   positions in front of the 3×3 one, which has the stride
 * @param after    positions behind it
 */
function bottleneck(before: number, after: number, inputs: number, planes: number): number {
  return before * inputs * planes + after * (9 * planes * planes + 4 * planes * planes);
}

/**
 * Decoder layers for which cross-attention keys and values were computed: every layer that ran at some token. In mode
 * `copy` the layers that the first token skipped take over those of its exit layer and never compute their own.
 */
function layersWithCrossAttentionKv(skipped: SkippedKv, passes: readonly StepPass[]): number {
  const exits = passes.map(({trace}) => trace.exitLayer);
  return skipped === 'copy' ? (exits[0] ?? 0) : Math.max(0, largest(exits));
}
