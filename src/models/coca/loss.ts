import * as tf from '@tensorflow/tfjs';
import {causalMask} from '../../nn/attention.js';
import {gatherRows} from '../../nn/gather-rows.js';
import {unitRows} from '../../nn/layer-norm.js';
import {runToDepths} from '../../nn/run-to-depths.js';
import {UsageError} from '../../runtime/errors.js';
import {checkPixels, checkTexts} from './check-input.js';
import type {CocaModule} from './model.js';
import {keyMask, paddedCls, paddedKeys} from './text.js';

// B pictures, K texts of each, R = B·K texts, T text positions, S image tokens, d text width, e embedding width, N labels
// that are not padding

/** Pictures and the texts of each. */
export interface CocaBatch {
  /** Normalised [B, h, w, 3], borrowed. */
  readonly pixels: tf.Tensor4D;
  /** Ids of each text, padded to one length; as many of every picture, in the order of the pictures: [R, T]. */
  readonly texts: readonly (readonly number[])[];
  /** Layers that each picture and each text runs through; all by default. */
  readonly depths?: {readonly vision: readonly number[]; readonly text: readonly number[]};
}

/** What the towers give of a batch; the caller's. */
export type CocaFeatures = {
  /** Embeddings of length one, [B, e] and [R, e]. */
  readonly images: tf.Tensor2D;
  readonly words: tf.Tensor2D;
  /** What the decoder reads: image tokens [B, S, d] and text states [R, T, d]. */
  readonly tokens: tf.Tensor3D;
  readonly states: tf.Tensor3D;
};

/** Values of the losses, scalars; the caller's. */
export interface CocaLosses {
  readonly caption: tf.Scalar;
  readonly contrastive: tf.Scalar;
  /** 2 · caption + contrastive. */
  readonly total: tf.Scalar;
  /** Caption loss from each multimodal layer through the same norm and head; what MuE's training sums. */
  readonly layers: readonly tf.Scalar[];
}

/** Weight of the caption loss beside the contrastive one, of the paper and of open_clip. */
export const CAPTION_WEIGHT = 2;

/**
 * The training losses of a batch at full depth (docs/reference/coca.md 6). Synchronous and differentiable: call it
 * inside `tf.variableGrads` to have gradients.
 * @throws UsageError where pictures and texts do not fit
 */
export function cocaLosses(module: CocaModule, batch: CocaBatch): CocaLosses {
  return tf.tidy(() => {
    const {images, words, tokens, states} = cocaFeatures(module, batch);
    const labels = captionLabels(batch.texts, module.config);
    const layers = captionLosses(module, {states, tokens}, labels).map((sum) => sum.div(labels.length) as tf.Scalar);
    const caption = layers.at(-1)!;
    const contrastive = contrastiveLoss(images, words, module.logitScale);
    return {caption, contrastive, layers, total: caption.mul(CAPTION_WEIGHT).add(contrastive) as tf.Scalar};
  });
}

/**
 * Both towers, CLS behind the whole padded text, as the reference trains it. Synchronous and differentiable.
 * @throws UsageError `loss-batch` where there are not as many texts of every picture
 */
export function cocaFeatures(module: CocaModule, {pixels, texts, depths}: CocaBatch): CocaFeatures {
  const {config, vision} = module;
  checkPixels(pixels, config);
  checkTexts(texts, config);
  const pictures = pixels.shape[0];
  if (texts.length % pictures !== 0)
    throw new UsageError(
      'loss-batch',
      `a loss needs as many texts of every picture: ${pictures} pictures, ${texts.length} texts`,
    );
  return tf.tidy(() => {
    const all = depths?.vision ?? new Array<number>(pictures).fill(vision.layers.length);
    const x = runToDepths(vision.embed(pixels), all, vision.layers.length, (state, layer) =>
      vision.layers[layer]!.forward(state),
    );
    const pooled = vision.pool(x, vision.pooler?.queries());
    return {
      images: unitRows(vision.embedding(pooled)),
      tokens: vision.imageTokens(pooled),
      ...textFeatures(module, texts, depths?.text),
    };
  });
}

function textFeatures(
  {text: tower, config}: CocaModule,
  texts: CocaBatch['texts'],
  depths: readonly number[] = texts.map(() => tower.layers.length),
): Pick<CocaFeatures, 'words' | 'states'> {
  const length = texts[0]!.length;
  const keys = keyMask(texts.map((ids) => [...paddedKeys(ids, config), paddedCls(ids.at(-1)!, config)]));
  const causal = causalMask(length + 1, length + 1);
  const ids = tf.tensor2d(texts.flat(), [texts.length, length], 'int32');
  let known: readonly number[] = [];
  let mask: tf.Tensor | undefined;
  const x = runToDepths(tower.embedWithCls(ids), depths, tower.layers.length, (state, layer, rows) => {
    if (keys && rows.length !== known.length) [known, mask] = [rows, gatherRows(keys, rows)];
    return tower.layers[layer]!.forward(state, mask ? [causal, mask] : [causal]);
  });
  return {words: unitRows(tower.embedding(x)), states: tf.slice(x, [0, 0, 0], [-1, length, -1])};
}

/** A token that is to be written, and the number of the state that writes it, among all [R · T]. */
export interface CaptionLabel {
  readonly at: number;
  readonly label: number;
}

/** What the texts of a batch teach: every token but the first and the padding; the end symbol is one. */
export function captionLabels(
  texts: CocaBatch['texts'],
  {pad_id}: Pick<CocaModule['config'], 'pad_id'>,
): readonly CaptionLabel[] {
  return texts.flatMap((ids, row) =>
    ids.slice(1).flatMap((label, t) => (label === pad_id ? [] : [{at: row * ids.length + t, label}])),
  );
}

/**
 * Cross-entropy of the labels, summed over them: one a multimodal layer. Differentiable.
 * @param layers   'every', or 'last' for the last alone
 */
export function captionLosses(
  {multimodal, config}: CocaModule,
  {states, tokens}: Pick<CocaFeatures, 'states' | 'tokens'>,
  labels: readonly CaptionLabel[],
  layers: 'every' | 'last' = 'every',
): tf.Scalar[] {
  return tf.tidy(() => {
    const [, length, size] = states.shape;
    const at = labels.map((l) => l.at);
    const ids = tf.tensor1d(
      labels.map((l) => l.label),
      'int32',
    );
    const targets = tf.oneHot(ids, config.text.vocab_size);
    const causal = causalMask(length, length);
    let x = states;
    return multimodal.layers.flatMap(({self, cross}, layer) => {
      x = cross.forwardCross(self.forward(x, [causal]), cross.crossKv(tokens));
      if (layers === 'last' && layer < multimodal.layers.length - 1) return [];
      const logits = multimodal.logits(gatherRows(x.reshape([-1, size]) as tf.Tensor2D, at));
      return [crossEntropy(logits, targets).sum() as tf.Scalar];
    });
  });
}

/**
 * Half the sum over rows and over columns, a picture and its own text being right: the mean over the texts of a picture,
 * each with those of the same place of the other pictures. Differentiable.
 * @param images   [B, e], of length one
 * @param words    [B·K, e], of length one
 */
export function contrastiveLoss(images: tf.Tensor2D, words: tf.Tensor2D, logitScale: tf.Scalar): tf.Scalar {
  return tf.tidy(() => {
    const [pictures, size] = images.shape;
    const each = words.shape[0] / pictures;
    const scale = logitScale.exp();
    const targets = tf.eye(pictures);
    const places = words.reshape([pictures, each, size]);
    const losses = Array.from({length: each}, (_, place) => {
      const ones = tf.slice(places, [0, place, 0], [-1, 1, -1]).squeeze([1]) as tf.Tensor2D;
      const logits = tf.matMul(images, ones, false, true).mul(scale) as tf.Tensor2D;
      return crossEntropy(logits, targets).add(crossEntropy(logits.transpose(), targets)).mean().div(2);
    });
    return tf.addN(losses).div(each) as tf.Scalar;
  });
}

/** @returns [N] */
function crossEntropy(logits: tf.Tensor2D, targets: tf.Tensor): tf.Tensor1D {
  return tf.logSoftmax(logits).mul(targets).sum(1).neg() as tf.Tensor1D;
}
