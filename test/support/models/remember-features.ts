import {createHash} from 'node:crypto';
import * as tf from '@tensorflow/tfjs';
import type {OfaModel} from '../../../src/models/ofa/model.js';
import {TensorScope} from '../../../src/runtime/tensor-scope.js';

/** The features of the pictures that models saw. Owns its tensors. */
export interface RememberedFeatures extends Disposable {
  /**
   * ResNet features [B, h, w, 1024], the caller's.
   * @param pixels [B, h, w, 3], borrowed
   */
  of(pixels: tf.Tensor4D): Promise<tf.Tensor4D>;
}

/**
 * Lets models of the same weights run their ResNet once a distinct picture, whatever the batches: on the cpu backend it
 * takes seconds, and the goldens ask a few pictures hundreds of questions. Their features have goldens of their own.
 */
export function rememberFeatures(...models: readonly OfaModel[]): RememberedFeatures {
  const known = new Map<string, tf.Tensor4D>();
  const {resnet} = models[0]!.encoder;
  const of = async (pixels: tf.Tensor4D): Promise<tf.Tensor4D> => {
    const [pictures, height, width, channels] = pixels.shape;
    const values = (await pixels.data()) as Float32Array;
    const size = height * width * channels;
    const each = Array.from({length: pictures}, (_, b) => {
      const part = values.slice(b * size, (b + 1) * size);
      const key = createHash('sha256').update(`${height} ${width} `).update(new Uint8Array(part.buffer)).digest('hex');
      const made = known.get(key) ?? tf.tidy(() => resnet.forward(tf.tensor4d(part, [1, height, width, channels])));
      known.set(key, made);
      return made;
    });
    return tf.concat(each);
  };
  for (const model of models) {
    model.encode = async ({pixels, ...input}, policy, options) => {
      using scope = new TensorScope();
      const features = scope.hold(await of(pixels));
      const front = model.cost.stem(pixels.shape[1], pixels.shape[2]);
      return await model.encoding.encodeFeatures(features, front, input, policy, options);
    };
  }
  return {
    of,
    [Symbol.dispose]: () => {
      for (const features of known.values()) features.dispose();
      known.clear();
    },
  };
}
