import * as tf from '@tensorflow/tfjs';
import type {ExitPolicy, PolicyPerImage} from '../../exit/policy.js';
import {runStackBatched} from '../../exit/run-stack.js';
import type {ImageRun, StackTrace} from '../../exit/trace.js';
import {unitRows} from '../../nn/layer-norm.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Embedded, Encoded, RunOptions} from '../model.js';
import {checkPixels} from './check-input.js';
import type {CocaMacs} from './macs.js';
import type {CocaVision} from './vision.js';

// B images, N patches, D vision width, Q queries, S image tokens, d text width, e embedding width

/** Image tokens as the multimodal decoder reads them. Owns its tensor. */
export class CocaEncoded implements Encoded {
  /** @param tokens [B, S, d] */
  constructor(
    readonly tokens: tf.Tensor3D,
    readonly runs: readonly ImageRun[],
  ) {}

  get images(): number {
    return this.tokens.shape[0];
  }

  [Symbol.dispose](): void {
    this.tokens.dispose();
  }
}

/** Images after the last layer that ran for each. */
interface TowerRun {
  /** Exit states [B, N + 1, D], the caller's. */
  readonly x: tf.Tensor3D;
  /** One an image. */
  readonly traces: readonly StackTrace[];
}

/**
 * Runs the image tower: each image leaves for itself, whatever the others do (docs/reference/coca.md 10). Owns the
 * pooler's queries.
 */
export class CocaEncoding implements Disposable {
  readonly #scope = new TensorScope();
  readonly #queries: tf.Tensor4D | undefined;
  /** The first query alone: queries do not see each other, and an embedding needs no other. */
  readonly #firstQuery: tf.Tensor4D | undefined;

  constructor(
    readonly vision: CocaVision,
    readonly cost: CocaMacs,
  ) {
    if (!vision.pooler) return;
    this.#queries = this.#scope.hold(vision.pooler.queries());
    this.#firstQuery = this.#scope.hold(tf.slice(this.#queries, [0, 0, 0, 0], [-1, -1, 1, -1]));
  }

  async encode(pixels: tf.Tensor4D, policy: PolicyPerImage, options: RunOptions = {}): Promise<CocaEncoded> {
    using scope = new TensorScope();
    const {x, traces} = await this.runTower(pixels, policy, options);
    const tokens = this.imageTokens(scope.hold(x));
    return new CocaEncoded(
      tokens,
      traces.map((trace) => ({traces: [trace], macs: this.cost.encode(trace)})),
    );
  }

  async embed(pixels: tf.Tensor4D, policy: ExitPolicy, options: RunOptions = {}): Promise<Embedded> {
    using scope = new TensorScope();
    const {x, traces} = await this.runTower(pixels, policy, options);
    scope.hold(x);
    return {
      features: tf.tidy(() => unitRows(this.vision.embedding(this.vision.pool(x, this.#firstQuery)))),
      runs: traces.map((trace) => ({traces: [trace], macs: this.cost.embedImage(trace)})),
    };
  }

  /**
   * Image tokens for the decoder, from a state of the tower at any depth.
   * @param x   [B, N + 1, D]
   * @returns   [B, S, d], the caller's
   */
  imageTokens(x: tf.Tensor3D): tf.Tensor3D {
    return tf.tidy(() => this.vision.imageTokens(this.vision.pool(x, this.#queries)));
  }

  /** Runs the tower's layers. @param pixels [B, h, w, 3], borrowed */
  async runTower(pixels: tf.Tensor4D, policy: PolicyPerImage, options: RunOptions = {}): Promise<TowerRun> {
    checkPixels(pixels, this.vision.config);
    const [images] = pixels.shape;
    if (Array.isArray(policy)) return await this.#runTogether(pixels, policy as readonly ExitPolicy[], options);
    const own = policy as ExitPolicy;
    if (own.observeEach) return await this.#runTogether(pixels, new Array<ExitPolicy>(images).fill(own), options);
    // A policy that remembers what it saw is asked about one image after the other.
    using scope = new TensorScope();
    const runs: TowerRun[] = [];
    for (let b = 0; b < images; b++) {
      const image = scope.hold(tf.slice(pixels, [b, 0, 0, 0], [1, -1, -1, -1]));
      const run = await this.#runTogether(image, [own], options);
      scope.hold(run.x);
      runs.push(run);
    }
    return {x: tf.concat(runs.map(({x}) => x)), traces: runs.flatMap(({traces}) => traces)};
  }

  async #runTogether(pixels: tf.Tensor4D, policies: readonly ExitPolicy[], {signal}: RunOptions): Promise<TowerRun> {
    using scope = new TensorScope();
    const {layers} = this.vision;
    const embedded = scope.hold(this.vision.embed(pixels));
    const forward = (x: tf.Tensor3D, layer: number): tf.Tensor3D => layers[layer]!.forward(x);
    const units = policies.map((policy) => ({policy}));
    const stack = {stack: 'vision', depth: layers.length} as const;
    const {x, passes} = await runStackBatched(embedded, forward, stack, units, {signal});
    return {x, traces: passes.map(({trace}) => trace)};
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}
