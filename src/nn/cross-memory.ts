import * as tf from '@tensorflow/tfjs';
import type {Attention, KeysValues} from './attention.js';
import {HeadMatrices, splitHeads} from './heads.js';
import {takeRows} from './gather-rows.js';

// B pictures, K rows (beams) a picture, R = B·K rows, T new tokens, M memory length, H heads, d head width, D = H·d

/** Keys [B, H, d, M] and values [B, H, M, d] that cross-attention reads: once a picture, not once a beam. Owns its tensors. */
export class CrossMemory implements Disposable {
  constructor(
    readonly keys: HeadMatrices,
    readonly values: HeadMatrices,
  ) {}

  static from({keys, values}: KeysValues): CrossMemory {
    return new CrossMemory(new HeadMatrices(keys), new HeadMatrices(values));
  }

  /** Of some of its pictures. */
  take(pictures: readonly number[]): CrossMemory {
    return CrossMemory.from({keys: takeRows(this.keys.all, pictures), values: takeRows(this.values.all, pictures)});
  }

  /** With the pictures of another behind its own. */
  concat({keys, values}: CrossMemory): CrossMemory {
    return CrossMemory.from({keys: tf.concat([this.keys.all, keys.all]), values: tf.concat([this.values.all, values.all])});
  }

  /**
   * Cross-attention of rows on the memory of their pictures: the rows of a picture are so many more queries to one memory.
   * @param x normed states [R, T, D], borrowed
   * @param bias broadcast to [B, H, K·T, M]
   * @returns [R, T, D], projected; the caller's
   */
  attend(attention: Attention, x: tf.Tensor3D, bias: readonly tf.Tensor[]): tf.Tensor3D {
    return tf.tidy(() => {
      const pictures = this.values.all.shape[0];
      const [rows, tokens, size] = x.shape;
      const grouped = attention.queries(x).reshape([pictures, (rows / pictures) * tokens, size]) as tf.Tensor3D;
      const heads = attention.attend(splitHeads(grouped, attention.config.heads), this.keys, this.values, bias);
      return attention.project(heads).reshape(x.shape) as tf.Tensor3D;
    });
  }

  [Symbol.dispose](): void {
    this.keys[Symbol.dispose]();
    this.values[Symbol.dispose]();
  }
}
