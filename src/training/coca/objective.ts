import * as tf from '@tensorflow/tfjs';
import {
  type CaptionLabel,
  type CocaBatch,
  captionLabels,
  captionLosses,
  cocaFeatures,
  contrastiveLoss,
} from '../../models/coca/loss.js';
import type {CocaModule} from '../../models/coca/model.js';
import type {Block, StoredWeight} from '../../nn/block.js';
import {UsageError} from '../../runtime/errors.js';
import {largest} from '../../runtime/extremes.js';
import {type Random, seededRandom} from '../../runtime/random.js';
import {TensorScope} from '../../runtime/tensor-scope.js';
import {yieldToEventLoop} from '../../runtime/yield.js';
import {type CropBox, drawCrop, WHOLE_PICTURE} from './crop.js';
import type {Objective, UpdateContext, UpdateSums} from '../objective.js';

/** A picture with its captions. */
export interface CocaExample {
  /** Under which the picture is found. */
  readonly key: string;
  /** Token ids of each caption, from the begin to the end symbol. */
  readonly captions: readonly (readonly number[])[];
}

/** CoCa's losses as they are learnt from. */
export interface CocaSettings {
  readonly captionWeight: number;
  readonly contrastiveWeight: number;
  /** Captions of a picture in an update. */
  readonly captions: number;
  /** Probability that a picture or text leaves its tower after a random layer. */
  readonly cuts: number;
  /** Least share of a picture that a random crop keeps; 1: pictures are not cropped. */
  readonly crop: number;
}

/** Pictures as normalised pixels [B, h, w, 3], the caller's. */
export type PixelsOf = (examples: readonly CocaExample[], crops: readonly CropBox[]) => Promise<tf.Tensor4D>;

/** The largest logarithm of the factor of similarities (open_clip). */
const MOST_LOGIT_SCALE = Math.log(100);
/** Weights that do not decay, besides those of fewer than two dimensions: open_clip's `no_weight_decay`. */
const NO_DECAY = /(^|\.)(positional_embedding|class_embedding|cls_emb)$/;
/** An odd number that spreads neighbouring places over all seeds. */
const SPREAD = 0x85ebca6b;

/** A pass, with everything random about it drawn. */
interface Pass {
  readonly examples: readonly CocaExample[];
  readonly crops: readonly CropBox[];
  readonly batch: Pick<CocaBatch, 'texts' | 'depths'>;
  readonly labels: readonly CaptionLabel[];
}

/**
 * CoCa's captioning and contrastive loss (docs/reference/coca.md 6). Every picture of an update is a negative of all
 * others, in whichever pass it is: the embeddings of all passes are computed first, without gradients; then each pass
 * runs again, with gradients, among the embeddings of the others.
 *
 * With `cuts`, pictures and texts leave their towers after random layers; what comes behind reads the state they have
 * there. The multimodal half needs no draw: its loss is the mean over the depths that would be drawn.
 */
export class CocaObjective implements Objective<CocaExample> {
  readonly bounds = new Map([['logit_scale', [0, MOST_LOGIT_SCALE] as const]]);
  /** Weights of the caption losses of the multimodal layers. */
  readonly #layerWeights: readonly number[];

  /**
   * @param module   borrowed
   * @param seed     of crops, depths, and which captions are read
   * @throws UsageError `setting-invalid`
   */
  constructor(
    readonly module: CocaModule & Block,
    private readonly pixelsOf: PixelsOf,
    private readonly settings: CocaSettings,
    private readonly seed: number,
  ) {
    checkCocaSettings(settings);
    const {length} = module.multimodal.layers;
    const {cuts} = settings;
    this.#layerWeights =
      cuts > 0 ? Array.from({length}, (_, layer) => cuts / length + (layer === length - 1 ? 1 - cuts : 0)) : [1];
  }

  decays({name, shape}: StoredWeight): boolean {
    return shape.length > 1 && !NO_DECAY.test(name);
  }

  async gradients(
    passes: readonly (readonly CocaExample[])[],
    {place, variables, add, signal}: UpdateContext,
  ): Promise<UpdateSums> {
    using scope = new TensorScope();
    const {module} = this;
    const {captionWeight, contrastiveWeight} = this.settings;
    const drawn = this.#draw(passes, place);
    const labels = drawn.reduce((sum, pass) => sum + pass.labels.length, 0);
    const known: {readonly images: tf.Tensor2D; readonly words: tf.Tensor2D}[] = [];
    if (drawn.length > 1)
      for (const {examples, crops, batch} of drawn) {
        const pixels = scope.hold(await this.pixelsOf(examples, crops));
        await yieldToEventLoop(signal);
        const features = tf.tidy(() => {
          const {images, words} = cocaFeatures(module, {...batch, pixels});
          return {images, words};
        });
        known.push({images: scope.hold(features.images), words: scope.hold(features.words)});
        scope.drop(pixels);
      }
    const fixedScale = scope.hold(tf.clone(module.logitScale));
    let layers: number[] = [];
    let contrastive = 0;
    for (const [p, {examples, crops, batch, labels: own}] of drawn.entries()) {
      const pixels = scope.hold(await this.pixelsOf(examples, crops));
      await yieldToEventLoop(signal);
      let parts: tf.Tensor | undefined;
      const {value, grads} = tf.variableGrads(() => {
        const {images, words, ...states} = cocaFeatures(module, {...batch, pixels});
        const every = (name: 'images' | 'words', mine: tf.Tensor2D): tf.Tensor2D =>
          drawn.length > 1 ? tf.concat(known.map((other, i) => (i === p ? mine : other[name]))) : mine;
        // The factor of similarities has its gradient once, in the last pass.
        const scale = p === drawn.length - 1 ? module.logitScale : fixedScale;
        const among = contrastiveLoss(every('images', images), every('words', words), scale);
        const sums = captionLosses(module, states, own, this.settings.cuts > 0 ? 'every' : 'last');
        const captions = sums.map((sum) => sum.div(labels));
        const caption = tf.addN(captions.map((loss, layer) => loss.mul(this.#layerWeights[layer]!)));
        parts = tf.keep(tf.stack([among, ...captions]));
        return caption.mul(captionWeight).add(among.mul(contrastiveWeight)) as tf.Scalar;
      }, variables);
      try {
        const [among, ...captions] = await parts!.data();
        contrastive = among!;
        layers = captions.map((loss, layer) => loss + (layers[layer] ?? 0));
        await add(grads);
      } finally {
        tf.dispose([value, parts!]);
        scope.drop(pixels);
      }
    }
    const caption = layers.reduce((sum, loss, layer) => sum + loss * this.#layerWeights[layer]!, 0);
    return {
      loss: captionWeight * caption + contrastiveWeight * contrastive,
      layers,
      terms: {caption, contrastive},
      // Both losses are means already.
      sampleSize: 1,
      tokens: labels,
    };
  }

  /** Draws from seed and place alone: an update that is done again is the same. */
  #draw(passes: readonly (readonly CocaExample[])[], first: number): readonly Pass[] {
    const {captions, cuts, crop} = this.settings;
    const {vision, text, config} = this.module;
    const depth = (random: Random, layers: number): number =>
      random.next() < cuts ? 1 + random.below(layers) : layers;
    let place = first;
    const drawn = passes.map((examples) => {
      const rows = examples.map((example) => {
        const random = seededRandom(this.seed ^ Math.imul(++place, SPREAD));
        const order = random.shuffle(example.captions.map((_, i) => i));
        return {
          texts: Array.from({length: captions}, (_, i) => example.captions[order[i % order.length]!]!),
          vision: depth(random, vision.layers.length),
          text: Array.from({length: captions}, () => depth(random, text.layers.length)),
          crop: crop < 1 ? drawCrop(random, crop) : WHOLE_PICTURE,
        };
      });
      return {examples, rows};
    });
    // One padding token follows every text that is not as long as the context: what CLS may see depends on it.
    const longest = largest(drawn.flatMap(({rows}) => rows.flatMap(({texts}) => texts.map((ids) => ids.length))));
    const length = Math.min(config.text.context_length, longest + 1);
    return drawn.map(({examples, rows}) => {
      const texts = rows.flatMap((row) =>
        row.texts.map((ids) => [...ids, ...new Array<number>(length - ids.length).fill(config.pad_id)]),
      );
      const depths = {vision: rows.map((row) => row.vision), text: rows.flatMap((row) => row.text)};
      return {
        examples,
        crops: rows.map((row) => row.crop),
        batch: {texts, depths},
        labels: captionLabels(texts, config),
      };
    });
  }
}

/** @throws UsageError `setting-invalid` */
export function checkCocaSettings(settings: CocaSettings): void {
  const fail = (name: keyof CocaSettings, wanted: string): never => {
    throw new UsageError('setting-invalid', `${name} must be ${wanted}, not ${String(settings[name])}`);
  };
  for (const name of ['captionWeight', 'contrastiveWeight'] as const)
    if (!(settings[name] >= 0 && settings[name] < Number.POSITIVE_INFINITY)) fail(name, 'a number from 0');
  if (!Number.isSafeInteger(settings.captions) || settings.captions < 1) fail('captions', 'a whole number from 1');
  if (!(settings.cuts >= 0 && settings.cuts <= 1)) fail('cuts', 'from 0 to 1');
  if (!(settings.crop > 0 && settings.crop <= 1)) fail('crop', 'above 0 and at most 1');
  if (settings.captionWeight === 0 && settings.contrastiveWeight === 0)
    fail('captionWeight', 'above 0 where contrastiveWeight is 0');
}
