import * as tf from '@tensorflow/tfjs';
import {asList, Block} from './block.js';

/** A table of rows, looked up by id. */
export class Embedding extends Block<{rows: number; size: number}> {
  static className = 'MueEmbedding';

  constructor(config: {rows: number; size: number}) {
    super(config);
    this.declare('weight', [config.rows, config.size], {
      initializer: tf.initializers.randomNormal({stddev: 0.02}),
    });
  }

  /**
   * @param ids   int32, any shape
   * @returns     [..., size], the caller's
   */
  forward(ids: tf.Tensor): tf.Tensor {
    return tf.gather(this.weight('weight'), ids);
  }

  /** Rows first … first + count − 1. @returns [count, size], the caller's. */
  rows(first: number, count: number): tf.Tensor2D {
    return tf.slice(this.weight<tf.Tensor2D>('weight'), [first, 0], [count, this.config.size]);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.forward(asList(inputs)[0]!.toInt());
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return [...shape, this.config.size];
  }
}
tf.serialization.registerClass(Embedding);

/**
 * The one matrix that OFA ties three times: encoder input, decoder input and output projection. Kept as [size, rows],
 * so that the projection is a plain product of two matrices (wasm has no fast transposed one) and nothing is held
 * twice.
 */
export class TiedEmbedding extends Block<{rows: number; size: number}> {
  static className = 'MueTiedEmbedding';

  constructor(config: {rows: number; size: number}) {
    super(config);
    this.declare('weight', [config.size, config.rows], {
      initializer: tf.initializers.randomNormal({stddev: 0.02}),
      layout: 'embedding-transposed',
    });
  }

  /**
   * @param ids   [B, T]
   * @returns     [B, T, size], the caller's
   */
  forward(ids: tf.Tensor2D): tf.Tensor3D {
    return tf.tidy(() => {
      const columns = tf.gather(this.weight<tf.Tensor2D>('weight'), ids.flatten(), 1); // [D, B·T]
      return columns.transpose().reshape([...ids.shape, this.config.size]) as tf.Tensor3D;
    });
  }

  /**
   * Scores of every word.
   * @param x   [N, size]
   * @returns   [N, rows], the caller's
   */
  project(x: tf.Tensor2D): tf.Tensor2D {
    return tf.matMul(x, this.weight<tf.Tensor2D>('weight'));
  }

  /**
   * Scores of a few words.
   * @param x   [N, size]
   * @returns   [N, ids.length], the caller's
   */
  projectOnto(x: tf.Tensor2D, ids: readonly number[]): tf.Tensor2D {
    return tf.tidy(() =>
      tf.matMul(x, tf.gather(this.weight<tf.Tensor2D>('weight'), tf.tensor1d([...ids], 'int32'), 1)),
    );
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.forward(asList(inputs)[0]!.toInt() as tf.Tensor2D);
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return [...shape, this.config.size];
  }
}
tf.serialization.registerClass(TiedEmbedding);
