import * as tf from '@tensorflow/tfjs';
import type {PolicyPerImage, StackName} from '../../exit/policy.js';
import type {SkippedKv} from '../../exit/skipped-kv-cache.js';
import {Block, input, type WeightSource} from '../../nn/block.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {EncodeInput, RunOptions, Scored, ScoreInput, VisionLanguageModel} from '../model.js';
import {OfaImageStates} from './all-depths.js';
import {ImageBias, TargetBias} from './bias-tables.js';
import type {OfaConfig} from './config.js';
import {OfaDecoding} from './decode.js';
import {OfaDecoder} from './decoder.js';
import {type OfaEncoded, OfaEncoding} from './encode.js';
import {OfaEncoder} from './encoder.js';
import {OfaCost} from './macs.js';
import {OfaScoring, type TargetPass} from './score.js';

/** The tree of weights, named as in the checkpoint: `encoder.…`, `decoder.…`. */
export class OfaModule extends Block<OfaConfig> {
  static className = 'MueOfaModule';
  readonly encoder: OfaEncoder;
  readonly decoder: OfaDecoder;

  constructor(config: OfaConfig) {
    super(config);
    this.encoder = this.child('encoder', new OfaEncoder(config));
    this.decoder = this.child('decoder', new OfaDecoder(config, this.encoder.tokens));
  }

  /** As a layer: pixels [B, h, w, 3] to embedded patches [B, P, D]. */
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.encoder.call(input(inputs));
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return this.encoder.computeOutputShape(shape);
  }
}
tf.serialization.registerClass(OfaModule);

/** Targets whose self-attention biases are kept; longer ones make their own. */
const KEPT_TARGETS = 64;

/** OFA, plain or with MuE's two streams: weights, the encoder, and two ways through the decoder. Owns its tensors. */
export class OfaModel implements VisionLanguageModel {
  readonly config: OfaConfig;
  readonly cost: OfaCost;
  readonly module: OfaModule;
  readonly encoding: OfaEncoding;
  readonly scoring: OfaScoring;
  readonly #scope = new TensorScope();
  readonly #targetBias: TargetBias;

  private constructor(module: OfaModule) {
    this.module = this.#scope.hold(module);
    this.config = module.config;
    this.cost = new OfaCost(this.config);
    const side = Math.ceil(this.config.patch_image_size / 16);
    try {
      this.encoding = new OfaEncoding(
        module.encoder,
        this.cost,
        this.#scope.hold(new ImageBias(module.encoder, side, side)),
      );
      this.#targetBias = this.#scope.hold(
        new TargetBias(module.decoder, Math.min(KEPT_TARGETS, this.config.max_target_positions)),
      );
    } catch (error) {
      this.#scope[Symbol.dispose]();
      throw error;
    }
    this.scoring = new OfaScoring(module.decoder, this.cost);
  }

  /** @throws WeightsError if names or shapes do not match the configuration, both ways. */
  static async load(config: OfaConfig, weights: WeightSource): Promise<OfaModel> {
    const module = new OfaModule(config);
    await module.load(weights);
    return new OfaModel(module);
  }

  get encoder(): OfaEncoder {
    return this.module.encoder;
  }

  get decoder(): OfaDecoder {
    return this.module.decoder;
  }

  get vocabularySize(): number {
    return this.config.vocab_size;
  }

  get stacks(): Readonly<Partial<Record<StackName, number>>> {
    const {encoder_layers, decoder_layers, train_mue} = this.config;
    return train_mue
      ? {'encoder.image': encoder_layers, 'encoder.text': encoder_layers, decoder: decoder_layers}
      : {encoder: encoder_layers, decoder: decoder_layers};
  }

  encode(input: EncodeInput, policy: PolicyPerImage, options?: RunOptions): Promise<OfaEncoded> {
    return this.encoding.encode(input, policy, options);
  }

  startDecoding(encoded: OfaEncoded, rows: number, maxSteps: number, skipped: SkippedKv): OfaDecoding {
    return new OfaDecoding(this.decoder, this.cost, encoded, rows, maxSteps, skipped, this.#targetBias);
  }

  imageStates(pixels: tf.Tensor4D, options?: RunOptions): Promise<OfaImageStates> {
    return OfaImageStates.run(this, pixels, options);
  }

  async score(encoded: OfaEncoded, input: ScoreInput, policy: PolicyPerImage, options?: RunOptions): Promise<Scored> {
    using scope = new TensorScope();
    return await this.scoring.score(
      this.targetPass(encoded, Math.max(...input.targets.map((t) => t.length)), scope),
      input,
      policy,
      options,
    );
  }

  /** What teacher-forced passes over one encoding share; `scope` owns it. */
  targetPass(encoded: OfaEncoded, length: number, scope: TensorScope): TargetPass {
    return {
      encoded,
      bias: length <= this.#targetBias.length ? this.#targetBias : scope.hold(new TargetBias(this.decoder, length)),
      memories: scope.hold(this.decoder.memories(encoded.states, encoded.remember)),
    };
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}
