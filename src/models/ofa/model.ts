import * as tf from '@tensorflow/tfjs';
import type {PolicyPerImage, StackName} from '../../exit/policy.js';
import type {SkippedKv} from '../../exit/skipped-kv-cache.js';
import {Block, type StoredWeight, type WeightSource} from '../../nn/block.js';
import type {ExitAdapters} from '../../nn/exit-adapters.js';
import {checkArguments, fields, FUNCTION, instanceOf, OBJECT} from '../../runtime/check-arguments.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import type {EncodeInput, RunOptions, Scored, ScoreInput, VisionLanguageModel} from '../model.js';
import {OfaImageStates} from './all-depths.js';
import {ImageBias, TargetBias} from './bias-tables.js';
import type {OfaConfig} from './config.js';
import {OfaDecoding} from './decode.js';
import {OfaDecoder} from './decoder.js';
import {type EncoderOutput, type OfaEncoded, OfaEncoding} from './encode.js';
import {OfaEncoder} from './encoder.js';
import {OfaMacs} from './macs.js';
import {OfaScoring, type RunDecoderLayer, type TargetPass} from './score.js';
import {largest} from '../../runtime/extremes.js';

/** Targets whose self-attention biases are kept; longer ones make their own. */
const KEPT_TARGETS = 64;

/** The tree of weights, named as in the checkpoint: `encoder.…`, `decoder.…`. */
export class OfaModule extends Block<OfaConfig> {
  static className = 'MueOfaModule';
  readonly encoder: OfaEncoder;
  readonly decoder: OfaDecoder;

  /** @param unfolded keeps batch norms apart, so that they can be trained */
  constructor(config: OfaConfig, unfolded = false) {
    super(config);
    this.encoder = this.child('encoder', new OfaEncoder(config, unfolded));
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

/** Biases of the sizes that a model expects, computed from its weights. Owns its tensors. */
class KeptBiases implements Disposable {
  readonly #scope = new TensorScope();
  readonly encoding: OfaEncoding;
  readonly targetBias: TargetBias;

  constructor({encoder, decoder, config}: OfaModule, cost: OfaMacs) {
    const side = Math.ceil(config.patch_image_size / 16);
    try {
      this.encoding = new OfaEncoding(encoder, cost, this.#scope.hold(new ImageBias(encoder, side, side)));
      const targets = Math.min(KEPT_TARGETS, config.max_target_positions);
      this.targetBias = this.#scope.hold(new TargetBias(decoder, targets));
    } catch (error) {
      this.#scope[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}

/** OFA, plain or with MuE's two streams: weights, the encoder, and two ways through the decoder. Owns its tensors. */
export class OfaModel implements VisionLanguageModel {
  readonly config: OfaConfig;
  /** @internal */
  readonly cost: OfaMacs;
  /** @internal */
  readonly module: OfaModule;
  /** @internal */
  readonly scoring: OfaScoring;
  readonly #scope = new TensorScope();
  #kept: KeptBiases;

  private constructor(module: OfaModule) {
    checkArguments('new OfaModel', {
      module: [module, instanceOf('a module: OfaModel.load makes the model', OfaModule)],
    });
    this.module = this.#scope.hold(module);
    this.config = module.config;
    this.cost = new OfaMacs(this.config);
    try {
      this.#kept = this.#scope.hold(new KeptBiases(module, this.cost));
    } catch (error) {
      this.#scope[Symbol.dispose]();
      throw error;
    }
    this.scoring = new OfaScoring(module.decoder, this.cost);
  }

  /** @internal */
  get encoding(): OfaEncoding {
    return this.#kept.encoding;
  }

  /** Makes anew what is kept of the weights. To be called after they were trained; encodings made before are void. */
  weightsChanged(): void {
    this.#kept = this.#scope.replace(this.#kept, new KeptBiases(this.module, this.cost));
  }

  /**
   * @param unfolded   keeps batch norms apart, so that they can be trained
   * @throws WeightsError if names or shapes do not match the configuration, both ways
   */
  static async load(config: OfaConfig, weights: WeightSource, unfolded = false): Promise<OfaModel> {
    checkArguments('OfaModel.load', {
      config: [config, OBJECT],
      weights: [weights, fields({names: FUNCTION, shape: FUNCTION, read: FUNCTION})],
    });
    const module = new OfaModule(config, unfolded);
    await module.load(weights);
    return new OfaModel(module);
  }

  /** @internal */
  get encoder(): OfaEncoder {
    return this.module.encoder;
  }

  /** @internal */
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
    return new OfaDecoding(this.decoder, this.cost, encoded, rows, maxSteps, skipped, this.#kept.targetBias, adapters);
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

  /**
   * One teacher-forced pass through every decoder layer, without exits or kept biases. Synchronous and differentiable.
   * @param encoded   one image a row; borrowed
   * @param targets   token ids of the rows; padded here
   * @returns         states [R, T, D] after each layer, before the final norm; the caller's
   */
  everyState(
    encoded: EncoderOutput & Pick<Partial<OfaEncoded>, 'precomputedKv'>,
    targets: readonly (readonly number[])[],
  ): readonly tf.Tensor3D[];
  /**
   * @param run   how a layer is run
   * @internal
   */
  everyState(
    encoded: EncoderOutput & Pick<Partial<OfaEncoded>, 'precomputedKv'>,
    targets: readonly (readonly number[])[],
    run?: RunDecoderLayer,
  ): readonly tf.Tensor3D[];
  everyState(
    encoded: EncoderOutput & Pick<Partial<OfaEncoded>, 'precomputedKv'>,
    targets: readonly (readonly number[])[],
    run?: RunDecoderLayer,
  ): readonly tf.Tensor3D[] {
    using scope = new TensorScope();
    const bias = scope.hold(new TargetBias(this.decoder, largest(targets.map(({length}) => length))));
    const crossAttention = scope.hold(this.decoder.crossAttentionCache(encoded.states, encoded.precomputedKv));
    return this.scoring.everyState({encoded, bias, crossAttention}, targets, run);
  }

  /**
   * Tensors that teacher-forced passes over one encoding share; `scope` owns them.
   * @internal
   */
  targetPass(encoded: OfaEncoded, length: number, scope: TensorScope): TargetPass {
    const kept = length <= this.#kept.targetBias.length;
    return {
      encoded,
      bias: kept ? this.#kept.targetBias : scope.hold(new TargetBias(this.decoder, length)),
      crossAttention: scope.hold(this.decoder.crossAttentionCache(encoded.states, encoded.precomputedKv)),
    };
  }

  [Symbol.dispose](): void {
    this.#scope[Symbol.dispose]();
  }
}
