import * as tf from '@tensorflow/tfjs';
import {runFused} from '../runtime/kernels.js';
import {Block} from './block.js';

const EPSILON = 1e-5;
/** Smallest length that `unitRows` divides by. */
const SMALLEST_LENGTH = 1e-12;

/** Layer normalisation over the last axis, biased variance, ε 1e-5, with gain and bias. */
export class LayerNorm extends Block<{size: number}> {
  static className = 'MueLayerNorm';

  constructor(config: {size: number}) {
    super(config);
    this.declare('weight', [config.size], {initializer: tf.initializers.ones(), neutral: 1});
    this.declare('bias', [config.size], {initializer: tf.initializers.zeros(), neutral: 0});
  }

  /**
   * @param x   [..., size]
   * @returns   the same shape, the caller's
   */
  forward<T extends tf.Tensor>(x: T): T {
    const [gain, bias] = [this.weight('weight'), this.weight('bias')];
    return runFused<T>('MueLayerNorm', {x, gain, bias}, {epsilon: EPSILON}) ?? composed(x, gain, bias);
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

/**
 * Rows scaled to length one; a row of zeros stays.
 * @param x   [B, e]
 * @returns   [B, e], the caller's
 */
export function unitRows(x: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => x.div(tf.maximum(x.square().sum(1, true).sqrt(), SMALLEST_LENGTH)) as tf.Tensor2D);
}
