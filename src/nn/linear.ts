import * as tf from '@tensorflow/tfjs';
import {runFused} from '../runtime/kernels.js';
import {gelu} from './activations.js';
import {Block} from './block.js';

export interface ProjectionConfig {
  readonly inputSize: number;
  readonly units: number;
  /** Name of the weight, which stands among those of the block around it. */
  readonly weight: string;
}

/** x·W without bias over the last axis; W is [in, out]. */
export class Projection extends Block<ProjectionConfig> {
  static className = 'MueProjection';

  constructor(config: ProjectionConfig) {
    super(config);
    this.declare(config.weight, [config.inputSize, config.units], {
      initializer: tf.initializers.randomNormal({stddev: config.inputSize ** -0.5}),
    });
  }

  /**
   * @param x         [N, in]
   * @param columns   compute only these outputs
   * @returns         [N, out] or [N, columns.length], the caller's
   */
  forward(x: tf.Tensor2D, columns?: readonly number[]): tf.Tensor2D {
    return tf.tidy(() => {
      const w = this.weight<tf.Tensor2D>(this.config.weight);
      return tf.matMul(x, columns ? tf.gather(w, tf.tensor1d([...columns], 'int32'), 1) : w);
    });
  }

  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return [...shape.slice(0, -1), this.config.units];
  }
}
tf.serialization.registerClass(Projection);

/**
 * x·W + b over the last axis. W is [in, out], transposed from the checkpoint's [out, in] at conversion; fresh ones are
 * N(0, 0.02²).
 */
export class Linear extends Block<{inputSize: number; units: number}> {
  static className = 'MueLinear';

  constructor(config: {inputSize: number; units: number}) {
    super(config);
    this.declare('weight', [config.inputSize, config.units], {
      initializer: tf.initializers.randomNormal({stddev: 0.02}),
      layout: 'linear',
    });
    this.declare('bias', [config.units], {initializer: tf.initializers.zeros()});
  }

  /** Weight [in, out] and bias [out], borrowed. */
  get parameters(): {readonly weight: tf.Tensor2D; readonly bias: tf.Tensor} {
    return {weight: this.weight<tf.Tensor2D>('weight'), bias: this.weight('bias')};
  }

  /**
   * @param x   [..., in]
   * @returns   [..., out], activated; the caller's
   */
  forward<T extends tf.Tensor>(x: T, activation: 'linear' | 'gelu' = 'linear'): T {
    const {weight, bias} = this.parameters;
    const fused = runFused<T>('MueLinear', {x, weight, bias}, {activation});
    if (fused) return fused;
    return tf.tidy(() => {
      const a = x.reshape([-1, this.config.inputSize]) as tf.Tensor2D;
      const y = tf.fused.matMul({a, b: weight, bias}).reshape([...x.shape.slice(0, -1), this.config.units]) as T;
      return activation === 'gelu' ? gelu(y) : y;
    });
  }

  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return [...shape.slice(0, -1), this.config.units];
  }
}
tf.serialization.registerClass(Linear);
