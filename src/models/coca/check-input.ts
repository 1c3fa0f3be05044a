import type * as tf from '@tensorflow/tfjs';
import {InputError} from '../../runtime/errors.js';
import type {CocaConfig} from './config.js';

/** @throws InputError if pictures have not the size that the position vectors are for */
export function checkPixels(pixels: tf.Tensor4D, {vision}: CocaConfig): void {
  const [pictures, height, width, channels] = pixels.shape;
  const {image_size: side} = vision;
  if (pictures >= 1 && height === side && width === side && channels === 3) return;
  throw new InputError('picture-size', `the model takes pictures [B, ${side}, ${side}, 3], but got [${pixels.shape}]`, {
    hint: 'Convert the checkpoint for another size to use other pictures.',
  });
}

/**
 * @throws InputError if there is no text, or one is empty, too long for the model's positions, or has ids beyond its
 *   vocabulary
 */
export function checkTexts(texts: readonly (readonly number[])[], {text}: CocaConfig): void {
  if (texts.length === 0) throw new InputError('text-empty', 'there is no text');
  for (const ids of texts) {
    if (ids.length === 0) throw new InputError('text-empty', 'a text has no tokens');
    if (ids.length > text.context_length)
      throw new InputError(
        'text-too-long',
        `a text has ${ids.length} tokens, but the model has positions for ${text.context_length}`,
        {
          hint: 'Shorten it.',
        },
      );
    const bad = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= text.vocab_size);
    if (bad !== undefined)
      throw new InputError('token-invalid', `a text has the token ${bad}, but the vocabulary has ${text.vocab_size}`);
  }
}
