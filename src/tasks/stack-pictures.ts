import * as tf from '@tensorflow/tfjs';
import {TensorScope} from '../runtime/tensor-scope.js';
import type {Picture} from './assistant.js';

/** Pixels of several pictures, decoded one after the other. @param pixels of one, [1, h, w, 3]. @returns [B, h, w, 3], the caller's */
export async function stackPictures(
  pictures: readonly Picture[],
  pixels: (picture: Picture) => Promise<tf.Tensor4D>,
): Promise<tf.Tensor4D> {
  using scope = new TensorScope();
  const each: tf.Tensor4D[] = [];
  for (const picture of pictures) each.push(scope.hold(await pixels(picture)));
  return each.length === 1 ? scope.give(each[0]!) : tf.concat(each);
}
