import * as tf from '@tensorflow/tfjs';
import type {PolicyPerImage, ExitPolicy} from '../../exit/policy.js';
import {runStackBatched} from '../../exit/run-stack.js';
import {addMacs, exitTestCount, type Macs, type ImageRun} from '../../exit/trace.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {Embedded, Encoded, RunOptions} from '../model.js';
import {checkPixels} from './check-input.js';
import type {CocaCost} from './macs.js';
import {unitRows} from './embed-text.js';
import type {CocaVision} from './vision.js';

// B pictures, N patches, D vision width, Q queries, S image tokens, d text width, e embedding width

/** Image tokens as the multimodal decoder reads them. Owns its tensor. */
export class CocaEncoded implements Encoded {
  /** @param tokens [B, S, d] */
  constructor(
    readonly tokens: tf.Tensor3D,
    readonly runs: readonly ImageRun[],
  ) {}

  get pictures(): number {
    return this.tokens.shape[0];
  }

  [Symbol.dispose](): void {
    this.tokens.dispose();
  }
}

/** Pictures after their stack. */
interface Seen {
  /** [B, N + 1, D], the caller's */
  readonly x: tf.Tensor3D;
  readonly runs: readonly ImageRun[];
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

  async encode(pixels: tf.Tensor4D, policy: PolicyPerImage, options: RunOptions = {}): Promise<CocaEncoded> {
    using scope = new TensorScope();
    const {x, runs} = await this.run(pixels, policy, options);
    const tokens = this.imageTokens(scope.hold(x));
    return new CocaEncoded(tokens, withMore(runs, this.cost.pooler()));
  }

  async embed(pixels: tf.Tensor4D, policy: ExitPolicy, options: RunOptions = {}): Promise<Embedded> {
    using scope = new TensorScope();
    const {x, runs} = await this.run(pixels, policy, options);
    scope.hold(x);
    return {
      features: tf.tidy(() => unitRows(this.vision.embedding(this.vision.pool(x, this.#firstQuery)))),
      runs: withMore(runs, this.cost.pooler(1) + this.cost.imageProjection()),
    };
  }

  /** What the decoder reads of a state of the tower, of any depth. @param x [B, N + 1, D]. @returns [B, S, d], the caller's. */
  imageTokens(x: tf.Tensor3D): tf.Tensor3D {
    return tf.tidy(() => this.vision.imageTokens(this.vision.pool(x, this.#queries)));
  }

  /** The tower's layers. @param pixels [B, h, w, 3], borrowed. @returns the exit states, the caller's. */
  async run(pixels: tf.Tensor4D, policy: PolicyPerImage, options: RunOptions = {}): Promise<Seen> {
    checkPixels(pixels, this.vision.config);
    const [pictures] = pixels.shape;
    if (Array.isArray(policy)) return await this.#together(pixels, policy as readonly ExitPolicy[], options);
    const own = policy as ExitPolicy;
    if (own.observeEach) return await this.#together(pixels, new Array<ExitPolicy>(pictures).fill(own), options);
    // One that remembers what it saw is asked about one picture after the other.
    using scope = new TensorScope();
    const seen: Seen[] = [];
    for (let b = 0; b < pictures; b++) {
      const picture = scope.hold(tf.slice(pixels, [b, 0, 0, 0], [1, -1, -1, -1]));
      const one = await this.#together(picture, [own], options);
      scope.hold(one.x);
      seen.push(one);
    }
    return {x: tf.concat(seen.map(({x}) => x)), runs: seen.flatMap(({runs}) => runs)};
  }

  async #together(pixels: tf.Tensor4D, policies: readonly ExitPolicy[], {signal}: RunOptions): Promise<Seen> {
    using scope = new TensorScope();
    const {vision, cost} = this;
    const embedded = scope.hold(vision.embed(pixels));
    const depth = vision.layers.length;
    const samples = policies.map((policy) => ({policy}));
    const forward = (x: tf.Tensor3D, layer: number): tf.Tensor3D => vision.layers[layer]!.forward(x);
    const {x, runs} = await runStackBatched(embedded, forward, {stack: 'vision', depth}, samples, {signal});
    return {
      x,
      runs: runs.map(({trace}) => ({
        traces: [trace],
        macs: {
          run: cost.patches() + trace.exitLayer * cost.visionLayer() + exitTestCount(trace) * cost.visionTest(),
          full: cost.patches() + depth * cost.visionLayer(),
        },
      })),
    };
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}

/** With a cost that every picture has, wherever it left. */
function withMore(runs: readonly ImageRun[], cost: number): readonly ImageRun[] {
  const more: Macs = {run: cost, full: cost};
  return runs.map(({traces, macs}) => ({traces, macs: addMacs(macs, more)}));
}
