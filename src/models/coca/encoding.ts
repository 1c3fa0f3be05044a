import * as tf from '@tensorflow/tfjs';
import type {ExitPolicy} from '../../exit/policy.js';
import {runStack} from '../../exit/run-stack.js';
import {addMacs, type Macs, type StackTrace} from '../../exit/trace.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Embedded, Encoded, RunOptions} from '../model.js';
import {patchGrid} from './config.js';
import type {CocaCost} from './cost.js';
import {checkPixels} from './check-input.js';
import {unitRows} from './unit-rows.js';
import type {CocaVision} from './vision.js';

// B pictures, N patches, D vision width, Q queries, S image tokens, d text width, e embedding width

/** Image tokens as the multimodal decoder reads them. Owns its tensor. */
export class CocaEncoded implements Encoded {
  /** @param tokens [B, S, d] */
  constructor(
    readonly tokens: tf.Tensor3D,
    readonly traces: readonly StackTrace[],
    readonly macs: Macs,
  ) {}

  get pictures(): number {
    return this.tokens.shape[0];
  }

  [Symbol.dispose](): void {
    this.tokens.dispose();
  }
}

/** One picture after its stack. */
interface Seen {
  /** [1, N + 1, D], the caller's */
  readonly x: tf.Tensor3D;
  readonly trace: StackTrace;
  readonly macs: Macs;
}

/** Runs the image tower: each picture leaves for itself, whatever the others do (coca section 10). Owns the pooler's queries. */
export class CocaEncoding implements Disposable {
  readonly #scope = new TensorScope();
  readonly #queries: tf.Tensor4D | undefined;
  /** The first query alone: queries do not see each other, and an embedding needs no other. */
  readonly #firstQuery: tf.Tensor4D | undefined;

  constructor(
    readonly vision: CocaVision,
    readonly cost: CocaCost,
  ) {
    if (!vision.pooler) return;
    this.#queries = this.#scope.hold(vision.pooler.queries());
    this.#firstQuery = this.#scope.hold(tf.slice(this.#queries, [0, 0, 0, 0], [-1, -1, 1, -1]));
  }

  async encode(pixels: tf.Tensor4D, policy: ExitPolicy, options: RunOptions = {}): Promise<CocaEncoded> {
    using scope = new TensorScope();
    const seen = await this.#each(pixels, policy, options, scope, ({x}) => this.imageTokens(x));
    const pooled = {run: pixels.shape[0] * this.cost.pooler(), full: pixels.shape[0] * this.cost.pooler()};
    return new CocaEncoded(tf.concat(seen.results, 0), seen.traces, addMacs(seen.macs, pooled));
  }

  async embed(pixels: tf.Tensor4D, policy: ExitPolicy, options: RunOptions = {}): Promise<Embedded> {
    using scope = new TensorScope();
    const seen = await this.#each(pixels, policy, options, scope, ({x}) =>
      tf.tidy(() => this.vision.embedding(this.vision.pool(x, this.#firstQuery))),
    );
    const after = pixels.shape[0] * (this.cost.pooler(1) + this.cost.imageProjection());
    return {
      features: tf.tidy(() => unitRows(tf.concat(seen.results, 0))),
      traces: seen.traces,
      macs: addMacs(seen.macs, {run: after, full: after}),
    };
  }

  /** What the decoder reads of a state of the tower, of any depth. @param x [B, N + 1, D]. @returns [B, S, d], the caller's. */
  imageTokens(x: tf.Tensor3D): tf.Tensor3D {
    return tf.tidy(() => this.vision.imageTokens(this.vision.pool(x, this.#queries)));
  }

  async #each<T extends tf.Tensor>(
    pixels: tf.Tensor4D,
    policy: ExitPolicy,
    options: RunOptions,
    scope: TensorScope,
    use: (seen: Seen) => T,
  ): Promise<{results: T[]; traces: StackTrace[]; macs: Macs}> {
    checkPixels(pixels, this.vision.config);
    const results: T[] = [];
    const traces: StackTrace[] = [];
    const macs: Macs[] = [];
    for (let b = 0; b < pixels.shape[0]; b++) {
      const picture = scope.hold(tf.slice(pixels, [b, 0, 0, 0], [1, -1, -1, -1]));
      const seen = await this.run(picture, policy, options);
      scope.hold(seen.x);
      results.push(scope.hold(use(seen)));
      scope.drop(seen.x);
      scope.drop(picture);
      traces.push(seen.trace);
      macs.push(seen.macs);
    }
    return {results, traces, macs: addMacs(...macs)};
  }

  /** The tower's layers for one picture. @param pixels [1, h, w, 3], borrowed. @returns the exit state, the caller's. */
  async run(pixels: tf.Tensor4D, policy: ExitPolicy, {signal}: RunOptions = {}): Promise<Seen> {
    using scope = new TensorScope();
    const {vision, cost} = this;
    const embedded = scope.hold(vision.embed(pixels));
    const depth = vision.layers.length;
    const {x, trace} = await runStack(embedded, (state, layer) => vision.layers[layer]!.forward(state), {stack: 'vision', depth}, policy, {
      signal,
    });
    const tests =
      trace.scores.filter((s) => s !== null).length * cost.exitTest((patchGrid(vision.config) ** 2 + 1) * vision.config.vision.width);
    return {
      x,
      trace,
      macs: {run: cost.patches() + trace.exitLayer * cost.visionLayer() + tests, full: cost.patches() + depth * cost.visionLayer()},
    };
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}
