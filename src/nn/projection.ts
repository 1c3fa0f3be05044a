import * as tf from '@tensorflow/tfjs';
import {Block, input} from './block.js';

export interface ProjectionConfig {
  readonly inputSize: number;
  readonly units: number;
  /** What the weight is called; it stands among those of the block around it. */
  readonly weight: string;
}

/** x·W without bias over the last axis; W is [in, out]. */
export class Projection extends Block<ProjectionConfig> {
  static className = 'MueProjection';

  constructor(config: ProjectionConfig) {
    super(config);
    this.declare(config.weight, [config.inputSize, config.units], tf.initializers.randomNormal({stddev: config.inputSize ** -0.5}));
  }

  /** @param x [N, in]. @param columns only these outputs. @returns [N, out or columns], the caller's. */
  forward(x: tf.Tensor2D, columns?: readonly number[]): tf.Tensor2D {
    return tf.tidy(() => {
      const w = this.weight<tf.Tensor2D>(this.config.weight);
      return tf.matMul(x, columns ? tf.gather(w, tf.tensor1d([...columns], 'int32'), 1) : w);
    });
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.forward(input(inputs));
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return [...shape.slice(0, -1), this.config.units];
  }
}
tf.serialization.registerClass(Projection);
