import * as tf from '@tensorflow/tfjs';
import type {PolicyPerImage, StackName} from '../../exit/policy.js';
import type {SkippedKv} from '../../exit/skipped-kv-cache.js';
import {Block, type StoredWeight, type WeightSource} from '../../nn/block.js';
import type {ExitAdapters} from '../../nn/exit-adapters.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {EncodeInput, RunOptions, Scored, ScoreInput, VisionLanguageModel} from '../model.js';
import {OfaImageStates} from './all-depths.js';
import {ImageBias, TargetBias} from './bias-tables.js';
import type {OfaConfig} from './config.js';
import {OfaDecoding} from './decode.js';
import {OfaDecoder} from './decoder.js';
import {type OfaEncoded, OfaEncoding} from './encode.js';
import {OfaEncoder} from './encoder.js';
import {OfaMacs} from './macs.js';
import {OfaScoring, type TargetPass} from './score.js';
import {largest} from '../../runtime/extremes.js';

/** Targets whose self-attention biases are kept; longer ones make their own. */
const KEPT_TARGETS = 64;

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

  /** As a layer: pixels [B, h, w, 3] to embedded patches [B, P, D], the caller's. */
  forward(pixels: tf.Tensor4D): tf.Tensor3D {
    return this.encoder.forward(pixels);
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return this.encoder.computeOutputShape(shape);
  }
}
tf.serialization.registerClass(OfaModule);

/** Every weight of the model that a configuration describes, in the order of files; the tied matrix once. */
export function ofaWeights(config: OfaConfig): readonly StoredWeight[] {
  return new OfaModule(config).storedWeights();
}

/** OFA, plain or with MuE's two streams: weights, the encoder, and two ways through the decoder. Owns its tensors. */
export class OfaModel implements VisionLanguageModel {
  readonly config: OfaConfig;
  readonly cost: OfaMacs;
  readonly module: OfaModule;
  readonly encoding: OfaEncoding;
  readonly scoring: OfaScoring;
  readonly #scope = new TensorScope();
  readonly #targetBias: TargetBias;

  private constructor(module: OfaModule) {
    this.module = this.#scope.hold(module);
    this.config = module.config;
    this.cost = new OfaMacs(this.config);
    const side = Math.ceil(this.config.patch_image_size / 16);
    try {
      const imageBias = this.#scope.hold(new ImageBias(module.encoder, side, side));
      this.encoding = new OfaEncoding(module.encoder, this.cost, imageBias);
      const targets = Math.min(KEPT_TARGETS, this.config.max_target_positions);
      this.#targetBias = this.#scope.hold(new TargetBias(module.decoder, targets));
    } catch (error) {
      this.#scope[Symbol.dispose]();
      throw error;
    }
    this.scoring = new OfaScoring(module.decoder, this.cost);
  }

  /** @throws WeightsError if names or shapes do not match the configuration, both ways */
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

  get stateSize(): number {
    return this.config.d_model;
  }

  get stacks(): Readonly<Partial<Record<StackName, number>>> {
    const {encoder_layers, decoder_layers, train_mue} = this.config;
    return train_mue
      ? {'encoder.image': encoder_layers, 'encoder.text': encoder_layers, decoder: decoder_layers}
      : {encoder: encoder_layers, decoder: decoder_layers};
  }

  /** The blocks of the ResNet's last stage that keep the shape of their input. */
  get optionalStacks(): Readonly<Partial<Record<StackName, number>>> {
    const depth = this.encoder.resnet.patchLayers;
    return depth > 0 ? {'encoder.patch': depth} : {};
  }

  encode(input: EncodeInput, policy: PolicyPerImage, options?: RunOptions): Promise<OfaEncoded> {
    return this.encoding.encode(input, policy, options);
  }

  startDecoding(
    encoded: OfaEncoded,
    rows: number,
    maxSteps: number,
    skipped: SkippedKv,
    adapters?: ExitAdapters,
  ): OfaDecoding {
    return new OfaDecoding(this.decoder, this.cost, encoded, rows, maxSteps, skipped, this.#targetBias, adapters);
  }

  logits(x: tf.Tensor2D, ids?: readonly number[]): tf.Tensor2D {
    return this.decoder.logits(x, ids);
  }

  imageStates(pixels: tf.Tensor4D, options?: RunOptions): Promise<OfaImageStates> {
    return OfaImageStates.run(this, pixels, options);
  }

  async score(encoded: OfaEncoded, input: ScoreInput, policy: PolicyPerImage, options?: RunOptions): Promise<Scored> {
    using scope = new TensorScope();
    const longest = largest(input.targets.map((target) => target.length));
    return await this.scoring.score(this.targetPass(encoded, longest, scope), input, policy, options);
  }

  /** Tensors that teacher-forced passes over one encoding share; `scope` owns them. */
  targetPass(encoded: OfaEncoded, length: number, scope: TensorScope): TargetPass {
    const kept = length <= this.#targetBias.length;
    return {
      encoded,
      bias: kept ? this.#targetBias : scope.hold(new TargetBias(this.decoder, length)),
      crossAttention: scope.hold(this.decoder.crossAttentionCache(encoded.states, encoded.precomputedKv)),
    };
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}
