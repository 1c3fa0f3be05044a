import * as tf from '@tensorflow/tfjs';
import type {PolicyPerImage, ExitPolicy, StackName} from '../../exit/policy.js';
import type {SkippedKv} from '../../exit/skipped-kv-cache.js';
import {Block, type StoredWeight, type WeightSource} from '../../nn/block.js';
import type {ExitAdapters} from '../../nn/exit-adapters.js';
import {checkArguments, fields, FUNCTION, instanceOf, OBJECT} from '../../runtime/check-arguments.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {ContrastiveModel, Embedded, EncodeInput, RunOptions, Scored, ScoreInput} from '../model.js';
import {CocaImageStates} from './all-depths.js';
import type {CocaConfig} from './config.js';
import {CocaDecoding} from './decode.js';
import {CocaTextEncoding} from './embed-text.js';
import {type CocaEncoded, CocaEncoding} from './encode.js';
import {CocaMacs} from './macs.js';
import {CocaMultimodal} from './multimodal.js';
import {CocaScoring} from './score.js';
import {CocaText} from './text.js';
import {CocaVision} from './vision.js';

/** ln(1/0.07), the value that training starts from. */
export const INITIAL_LOGIT_SCALE = Math.log(1 / 0.07);

/** The tree of weights, named as in open_clip's files: `visual.…`, `text.…`, `text_decoder.…`, `logit_scale`. */
export class CocaModule extends Block<CocaConfig> {
  static className = 'MueCocaModule';
  readonly vision: CocaVision;
  readonly text: CocaText;
  readonly multimodal: CocaMultimodal;

  constructor(config: CocaConfig) {
    super(config);
    this.declare('logit_scale', [], {initializer: tf.initializers.constant({value: INITIAL_LOGIT_SCALE})});
    this.vision = this.child('visual', new CocaVision(config));
    this.text = this.child('text', new CocaText(config));
    this.multimodal = this.child('text_decoder', new CocaMultimodal(config));
  }

  /** Logarithm of the factor of similarities; borrowed. */
  get logitScale(): tf.Scalar {
    return this.weight('logit_scale');
  }

  /** As a layer: pixels [B, h, w, 3] to the image tower's state 0, the caller's. */
  forward(pixels: tf.Tensor4D): tf.Tensor3D {
    return this.vision.forward(pixels);
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return this.vision.computeOutputShape(shape);
  }
}
tf.serialization.registerClass(CocaModule);

/** Every weight of the model that a configuration describes, in the order of files (docs/reference/coca.md 3.2). */
export function cocaWeights(config: CocaConfig): readonly StoredWeight[] {
  return new CocaModule(config).storedWeights();
}

/** CoCa: weights, the image tower, text embeddings, and two ways through the decoder. Owns its tensors. */
export class CocaModel implements ContrastiveModel {
  readonly config: CocaConfig;
  /** @internal */
  readonly cost: CocaMacs;
  /** @internal */
  readonly module: CocaModule;
  /** @internal */
  readonly textEncoding: CocaTextEncoding;
  /** @internal */
  readonly scoring: CocaScoring;
  #logitScale: number;
  #encoding: CocaEncoding;
  readonly #scope = new TensorScope();

  private constructor(module: CocaModule, logitScale: number) {
    checkArguments('new CocaModel', {
      module: [module, instanceOf('a module: CocaModel.load makes the model', CocaModule)],
    });
    this.module = this.#scope.hold(module);
    this.config = module.config;
    this.#logitScale = logitScale;
    this.cost = new CocaMacs(this.config);
    this.textEncoding = new CocaTextEncoding(module.text, this.cost);
    this.scoring = new CocaScoring(module, this.cost);
    this.#encoding = this.#scope.hold(new CocaEncoding(module.vision, this.cost));
  }

  /** @internal */
  get encoding(): CocaEncoding {
    return this.#encoding;
  }

  /** Factor of similarities: the exponential of what is stored. */
  get logitScale(): number {
    return this.#logitScale;
  }

  /** Computes anew what was computed from weights that have been changed in place. */
  async weightsChanged(): Promise<void> {
    this.#encoding = this.#scope.replace(this.#encoding, new CocaEncoding(this.module.vision, this.cost));
    this.#logitScale = await factorOf(this.module);
  }

  /** @throws WeightsError if names or shapes do not match the configuration, both ways. */
  static async load(config: CocaConfig, weights: WeightSource): Promise<CocaModel> {
    checkArguments('CocaModel.load', {
      config: [config, OBJECT],
      weights: [weights, fields({names: FUNCTION, shape: FUNCTION, read: FUNCTION})],
    });
    const module = new CocaModule(config);
    await module.load(weights);
    try {
      return new CocaModel(module, await factorOf(module));
    } catch (error) {
      module[Symbol.dispose]();
      throw error;
    }
  }

  get vocabularySize(): number {
    return this.config.text.vocab_size;
  }

  get embeddingSize(): number {
    return this.config.embed_dim;
  }

  get contextLength(): number {
    return this.config.text.context_length;
  }

  get stateSize(): number {
    return this.config.text.width;
  }

  get stacks(): Readonly<Partial<Record<StackName, number>>> {
    const {vision, text, multimodal} = this.config;
    return {vision: vision.layers, text: text.layers, multimodal: multimodal.layers};
  }

  /** Prompts are not read: the image tower sees the picture alone, and a caption's beginning is fed to the decoder. */
  encode({pixels}: Pick<EncodeInput, 'pixels'>, policy: PolicyPerImage, options?: RunOptions): Promise<CocaEncoded> {
    return this.encoding.encode(pixels, policy, options);
  }

  startDecoding(
    encoded: CocaEncoded,
    rows: number,
    maxSteps: number,
    skipped: SkippedKv,
    adapters?: ExitAdapters,
  ): CocaDecoding {
    return new CocaDecoding(this.module, this.cost, encoded, rows, maxSteps, skipped, adapters);
  }

  logits(x: tf.Tensor2D, ids?: readonly number[]): tf.Tensor2D {
    return this.module.multimodal.logits(x, ids);
  }

  score(encoded: CocaEncoded, input: ScoreInput, policy: PolicyPerImage, options?: RunOptions): Promise<Scored> {
    return this.scoring.score(encoded, input, policy, options);
  }

  imageStates(pixels: tf.Tensor4D, options?: RunOptions): Promise<CocaImageStates> {
    return CocaImageStates.run(this.encoding, pixels, options);
  }

  embedImages(pixels: tf.Tensor4D, policy: ExitPolicy, options?: RunOptions): Promise<Embedded> {
    return this.encoding.embed(pixels, policy, options);
  }

  embedTexts(texts: readonly (readonly number[])[], policy: ExitPolicy, options?: RunOptions): Promise<Embedded> {
    return this.textEncoding.embed(texts, policy, options);
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}

async function factorOf({logitScale}: CocaModule): Promise<number> {
  return Math.exp((await logitScale.data())[0]!);
}
