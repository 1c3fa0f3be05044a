import type {SampleRun} from '../../exit/run-stack.js';
import {looks} from '../../exit/trace.js';
import type {CocaConfig} from './config.js';
import type {CocaCost} from './cost.js';

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
  half(picture: number, {trace, asked}: SampleRun, rows: number, deciding: number): void {
    const {cost} = this;
    const filled = this.projects ? (trace.depth - trace.exitLayer) * rows * cost.projectedKeysValues() : 0;
    const tests = looks(trace) * cost.exitTest(deciding * this.config.text.width) + asked * deciding * cost.logits();
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
