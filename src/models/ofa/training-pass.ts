import type * as tf from '@tensorflow/tfjs';
import {checkpointed} from '../../nn/checkpointed.js';
import {type RunEncoderLayer, stateAt} from './encode.js';
import type {OfaModel} from './model.js';
import type {MetMoments} from './resnet.js';
import type {RunDecoderLayer} from './score.js';

// B images, R prompts with targets, each about one of the images, T positions, D width

/** After which layer each image or prompt ends, from 1; after the last one by default. */
export interface TrainingCuts {
  /** Of the image stream, [B]; not of a joint encoder. */
  readonly image?: readonly number[];
  /** Of the text stream, or of the joint encoder, [R]. */
  readonly text?: readonly number[];
  /** Blocks of the ResNet's end, [B]; from 0. */
  readonly patch?: readonly number[];
}

export interface TrainingInput {
  /** [B, h, w, 3], borrowed */
  readonly pixels: tf.Tensor4D;
  /** Token ids [R][S]. */
  readonly prompts: readonly (readonly number[])[];
  /** Number of each prompt's image, [R]. */
  readonly imageOf: readonly number[];
  /** Token ids that the decoder is fed, [R][T]. */
  readonly inputs: readonly (readonly number[])[];
  readonly cuts?: TrainingCuts;
}

const encoderLayer: RunEncoderLayer = (layer, x, bias) =>
  checkpointed(layer, 'train', [x, ...bias], ([of, ...by]) => [layer.forward(of as tf.Tensor3D, by)]);

const decoderLayer: RunDecoderLayer = (layer, x, states, {self, cross}) =>
  checkpointed(layer, `train ${self.length}`, [x, states, ...self, ...cross], ([of, from, ...by]) => [
    layer.forwardFrom(of as tf.Tensor3D, from as tf.Tensor3D, {
      self: by.slice(0, self.length),
      cross: by.slice(self.length),
    }),
  ]);

/**
 * The whole model from pictures to the states after every decoder layer, for the backward pass: each layer is run again
 * there instead of being kept. Synchronous; call it inside the tidy that takes gradients.
 * @param model   with batch norms kept apart
 * @param met     lets batch norms go by the batch, and gets their statistics, the caller's to dispose; by the running ones
 *   without
 * @returns       [R, T, D] each
 */
export function trainingStates(
  model: OfaModel,
  {pixels, prompts, imageOf, inputs, cuts = {}}: TrainingInput,
  met?: (of: MetMoments) => void,
): readonly tf.Tensor3D[] {
  const {patch} = cuts;
  const features = model.encoder.resnet.forwardTraining(
    pixels,
    met,
    patch &&
      ((after) =>
        stateAt(
          after,
          patch.map((depth) => depth + 1),
        )),
  );
  const encoded = model.encoding.encodeWhole(features, prompts, {imageOf, cuts, run: encoderLayer});
  return model.everyState(encoded, inputs, decoderLayer);
}
