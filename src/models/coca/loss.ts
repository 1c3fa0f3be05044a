import * as tf from '@tensorflow/tfjs';
import {causalMask} from '../../nn/attention.js';
import {unitRows} from '../../nn/layer-norm.js';
import {UsageError} from '../../runtime/errors.js';
import {checkPixels, checkTexts} from './check-input.js';
import type {CocaModule} from './model.js';
import {keyMask, paddedCls, paddedKeys} from './text.js';

// B pairs of a picture and a text, T text positions, d text width, V words, N labels that are not padding

/** Pictures and the text of each. */
export interface CocaBatch {
  /** Normalised [B, h, w, 3], borrowed. */
  readonly pixels: tf.Tensor4D;
  /** Ids of each text, padded to one length. */
  readonly texts: readonly (readonly number[])[];
}

/** Values of the losses, scalars; the caller's. */
export interface CocaLosses {
  readonly caption: tf.Scalar;
  readonly contrastive: tf.Scalar;
  /** 2 · caption + contrastive. */
  readonly total: tf.Scalar;
  /** Caption loss from each multimodal layer through the same norm and head; what MuE's training sums. */
  readonly layers: readonly tf.Scalar[];
}

const CAPTION_WEIGHT = 2;

/**
 * The training losses of a batch at full depth (docs/reference/coca.md 6). Synchronous and differentiable: call it
 * inside `tf.variableGrads` to have gradients.
 * @throws UsageError where pictures and texts are not as many
 */
export function cocaLosses(module: CocaModule, {pixels, texts}: CocaBatch): CocaLosses {
  const {config} = module;
  checkPixels(pixels, config);
  checkTexts(texts, config);
  if (texts.length !== pixels.shape[0])
    throw new UsageError(
      'loss-batch',
      `a loss needs one text a picture: ${pixels.shape[0]} pictures, ${texts.length} texts`,
    );
  return tf.tidy(() => {
    const {features: images, tokens} = image(module, pixels);
    const {features: words, states} = text(module, texts);
    const layers = captionLosses(module, states, tokens, texts);
    const caption = layers.at(-1)!;
    const contrastive = contrastiveLoss(images, words, module.logitScale);
    return {caption, contrastive, layers, total: caption.mul(CAPTION_WEIGHT).add(contrastive) as tf.Scalar};
  });
}

function image({vision}: CocaModule, pixels: tf.Tensor4D): {features: tf.Tensor2D; tokens: tf.Tensor3D} {
  const x = vision.layers.reduce((state, layer) => layer.forward(state), vision.embed(pixels));
  const pooled = vision.pool(x, vision.pooler?.queries());
  return {features: unitRows(vision.embedding(pooled)), tokens: vision.imageTokens(pooled)};
}

/** CLS behind the whole padded text, as the reference trains it. */
function text(
  {text: tower, config}: CocaModule,
  texts: CocaBatch['texts'],
): {features: tf.Tensor2D; states: tf.Tensor3D} {
  const length = texts[0]!.length;
  const keys = keyMask(texts.map((ids) => [...paddedKeys(ids, config), paddedCls(ids.at(-1)!, config)]));
  const bias = [causalMask(length + 1, length + 1), ...(keys ? [keys] : [])];
  const ids = tf.tensor2d(texts.flat(), [texts.length, length], 'int32');
  const x = tower.layers.reduce((state, layer) => layer.forward(state, bias), tower.embedWithCls(ids));
  return {features: unitRows(tower.embedding(x)), states: tf.slice(x, [0, 0, 0], [-1, length, -1])};
}

/** Mean over all labels of the batch that are no padding; the end symbol is a label. One a layer. */
function captionLosses(
  {multimodal, config}: CocaModule,
  states: tf.Tensor3D,
  tokens: tf.Tensor3D,
  texts: CocaBatch['texts'],
): tf.Scalar[] {
  const [, length, size] = states.shape;
  const labels = texts.flatMap((ids, row) =>
    ids.slice(1).flatMap((label, t) => (label === config.pad_id ? [] : [{at: row * length + t, label}])),
  );
  const at = tf.tensor1d(
    labels.map((l) => l.at),
    'int32',
  );
  const targets = tf.oneHot(
    tf.tensor1d(
      labels.map((l) => l.label),
      'int32',
    ),
    config.text.vocab_size,
  );
  const causal = causalMask(length, length);
  let x = states;
  return multimodal.layers.map(({self, cross}) => {
    const memory = cross.crossKv(tokens);
    x = cross.forwardCross(self.forward(x, [causal]), memory);
    const logits = multimodal.logits(tf.gather(x.reshape([-1, size]), at) as tf.Tensor2D);
    return crossEntropy(logits, targets);
  });
}

/** Half the sum over rows and over columns, the diagonal being right. */
function contrastiveLoss(images: tf.Tensor2D, words: tf.Tensor2D, logitScale: tf.Scalar): tf.Scalar {
  const logits = tf.matMul(images, words, false, true).mul(logitScale.exp()) as tf.Tensor2D;
  const targets = tf.eye(images.shape[0]);
  return crossEntropy(logits, targets).add(crossEntropy(logits.transpose(), targets)).div(2) as tf.Scalar;
}

function crossEntropy(logits: tf.Tensor2D, targets: tf.Tensor): tf.Scalar {
  return tf.logSoftmax(logits).mul(targets).sum(1).mean().neg() as tf.Scalar;
}
