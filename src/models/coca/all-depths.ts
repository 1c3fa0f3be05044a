import * as tf from '@tensorflow/tfjs';
import {cosine} from '../../exit/policies/cosine.js';
import type {ExitPolicy} from '../../exit/policy.js';
import {gatherRows} from '../../nn/gather-rows.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {ImageStates, MultiDepthEncoding, RunOptions} from '../model.js';
import type {CocaCost} from './macs.js';
import {CocaEncoded, type CocaEncoding} from './encode.js';

// L depths, S image tokens, d text width, C combinations

/** A picture at every depth of the image tower: its image tokens as each would give them. Owns its tensors. */
export class CocaPictureDepths implements ImageStates {
  private constructor(
    private readonly cost: CocaCost,
    /** [L, S, d] */
    private readonly tokens: tf.Tensor3D,
    private readonly similarity: readonly number[],
  ) {}

  static async run(encoding: CocaEncoding, pixels: tf.Tensor4D, options: RunOptions = {}): Promise<CocaPictureDepths> {
    using scope = new TensorScope();
    const similarity: number[] = [];
    const tokens: tf.Tensor3D[] = [];
    const watch: ExitPolicy = {
      name: 'every-depth',
      observe: async (before, after) => {
        tokens.push(scope.hold(encoding.imageTokens(after)));
        similarity.push(await cosine(before, after));
        return {exit: false};
      },
    };
    scope.hold((await encoding.run(pixels, watch, options)).x);
    return new CocaPictureDepths(encoding.cost, tf.concat(tokens, 0), similarity);
  }

  /** The image tower sees no prompt: nothing is added, and nothing new is owned. */
  withPrompt(): Promise<MultiDepthEncoding> {
    const {stacks} = this;
    return Promise.resolve({
      stacks,
      combine: (depths) => this.combine(depths),
      scoringMacs: (depths, layers, tokens, words) => this.scoringMacs(depths, layers, tokens, words),
      [Symbol.dispose]: () => undefined,
    });
  }

  get stacks(): MultiDepthEncoding['stacks'] {
    return [{stack: 'vision', similarity: this.similarity, testMacs: this.cost.visionTest()}];
  }

  combine(depths: readonly (readonly number[])[]): CocaEncoded {
    const index = depths.map(([depth]) => depth! - 1);
    const tokens = tf.tidy(() => gatherRows(this.tokens, index));
    const full = this.#towerMacs(this.similarity.length);
    return new CocaEncoded(
      tokens,
      depths.map(([depth]) => ({traces: [], macs: {run: this.#towerMacs(depth!), full}})),
    );
  }

  #towerMacs(layers: number): number {
    return this.cost.patches() + layers * this.cost.visionLayer() + this.cost.pooler();
  }

  scoringMacs([vision, text]: readonly number[], multimodal: number, tokens: number, words: number): number {
    const {run} = this.cost.decoderPass(1, 1, tokens, text!, multimodal);
    return this.#towerMacs(vision!) + run + this.cost.logits(words);
  }

  [Symbol.dispose](): void {
    this.tokens.dispose();
  }
}
