import * as tf from '@tensorflow/tfjs';
import {runFused} from '../runtime/fused-kernels.js';
import {Block, input} from './block.js';
import {gelu} from './activations.js';

/** x·W + b over the last axis. W is [in, out], transposed from the checkpoint's [out, in] at conversion. */
export class Linear extends Block<{inputSize: number; units: number}> {
  static className = 'MueLinear';

  constructor(config: {inputSize: number; units: number}) {
    super(config);
    // ofa_mue section 1.2: linear weights are drawn from N(0, 0.02²), biases are zero.
    this.declare('weight', [config.inputSize, config.units], tf.initializers.randomNormal({stddev: 0.02}));
    this.declare('bias', [config.units], tf.initializers.zeros());
  }

  /** @param x [..., in]. @returns [..., out], activated; the caller's. */
  forward<T extends tf.Tensor>(x: T, activation: 'linear' | 'gelu' = 'linear'): T {
    const [weight, bias] = [this.weight<tf.Tensor2D>('weight'), this.weight('bias')];
    const fused = runFused<T>('MueLinear', {x, weight, bias}, {activation});
    if (fused) return fused;
    return tf.tidy(() => {
      const a = x.reshape([-1, this.config.inputSize]) as tf.Tensor2D;
      const y = tf.fused.matMul({a, b: weight, bias}).reshape([...x.shape.slice(0, -1), this.config.units]) as T;
      return activation === 'gelu' ? gelu(y) : y;
    });
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.forward(input(inputs));
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return [...shape.slice(0, -1), this.config.units];
  }
}
tf.serialization.registerClass(Linear);
