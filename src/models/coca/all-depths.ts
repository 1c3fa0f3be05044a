import * as tf from '@tensorflow/tfjs';
import {cosine} from '../../exit/policies/cosine.js';
import type {ExitPolicy} from '../../exit/policy.js';
import {type AdapterMacs, type Macs, withoutTests} from '../../exit/trace.js';
import {gatherRows} from '../../nn/gather-rows.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {ImageStates, MultiDepthEncoding, RunOptions} from '../model.js';
import type {CocaMacs} from './macs.js';
import {CocaEncoded, type CocaEncoding} from './encode.js';

// L depths, S image tokens, d text width, C combinations

/** One image at every depth of the image tower: the image tokens that each depth gives. Owns its tensors. */
export class CocaImageStates implements ImageStates {
  private constructor(
    private readonly cost: CocaMacs,
    /** [L, S, d] */
    private readonly tokens: tf.Tensor3D,
    private readonly similarity: readonly number[],
  ) {}

  /** @internal */
  static async run(encoding: CocaEncoding, pixels: tf.Tensor4D, options: RunOptions = {}): Promise<CocaImageStates> {
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
    scope.hold((await encoding.runTower(pixels, watch, options)).x);
    return new CocaImageStates(encoding.cost, tf.concat(tokens, 0), similarity);
  }

  /** The image tower sees no prompt: nothing is added, and nothing new is owned. */
  withPrompt(): Promise<MultiDepthEncoding> {
    const {stacks} = this;
    return Promise.resolve({
      stacks,
      combine: (depths) => this.combine(depths),
      scoringMacs: (depths, layers, tokens, ids, adapters) => this.scoringMacs(depths, layers, tokens, ids, adapters),
      [Symbol.dispose]: () => undefined,
    });
  }

  get stacks(): MultiDepthEncoding['stacks'] {
    return [{stack: 'vision', similarity: this.similarity, testMacs: this.cost.visionTest()}];
  }

  combine(depths: readonly (readonly number[])[]): CocaEncoded {
    const index = depths.map(([depth]) => depth! - 1);
    const tokens = tf.tidy(() => gatherRows(this.tokens, index));
    const runs = depths.map(([depth]) => ({traces: [], macs: this.#encodeMacs(depth!)}));
    return new CocaEncoded(tokens, runs);
  }

  #encodeMacs(layers: number): Macs {
    return this.cost.encode(withoutTests(layers, this.similarity.length).trace);
  }

  scoringMacs(
    [vision, text]: readonly number[],
    multimodal: number,
    tokens: number,
    ids: number,
    adapters?: AdapterMacs,
  ): number {
    const passes = {
      text: withoutTests(text!, text!),
      multimodal: withoutTests(multimodal, multimodal),
      rows: 1,
      length: tokens,
      decidedOn: 0,
      positions: 1,
      ids,
    };
    const scoring = this.cost.score(passes, adapters);
    return this.#encodeMacs(vision!).run + scoring.run;
  }

  [Symbol.dispose](): void {
    this.tokens.dispose();
  }
}
