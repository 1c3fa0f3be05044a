import * as tf from '@tensorflow/tfjs';
import {runFused} from '../runtime/kernels.js';
import {Block, input} from './block.js';

const EPSILON = 1e-5;

/** Layer normalisation over the last axis, biased variance, ε 1e-5, with gain and bias (ofa_mue section 0). */
export class LayerNorm extends Block<{size: number}> {
  static className = 'MueLayerNorm';

  constructor(config: {size: number}) {
    super(config);
    this.declare('weight', [config.size], tf.initializers.ones());
    this.declare('bias', [config.size], tf.initializers.zeros());
  }

  /** @param x [..., size]. @returns the same shape, the caller's. */
  forward<T extends tf.Tensor>(x: T): T {
    const [gain, bias] = [this.weight('weight'), this.weight('bias')];
    return runFused<T>('MueLayerNorm', {x, gain, bias}, {epsilon: EPSILON}) ?? composed(x, gain, bias);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.forward(input(inputs));
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return shape;
  }
}
tf.serialization.registerClass(LayerNorm);

function composed<T extends tf.Tensor>(x: T, gain: tf.Tensor, bias: tf.Tensor): T {
  return tf.tidy(() => {
    // Two passes: E[x²] − μ² loses digits where residual channels are large.
    const centred = x.sub(x.mean(-1, true));
    const variance = centred.square().mean(-1, true);
    return centred.mul(variance.add(EPSILON).rsqrt()).mul(gain).add(bias) as T;
  });
}
