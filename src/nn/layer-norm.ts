import * as tf from '@tensorflow/tfjs';
import {recordsGradients, runFused} from '../runtime/kernels.js';
import {Block} from './block.js';

export const EPSILON = 1e-5;
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

  /** Gain and bias [size], borrowed. */
  get parameters(): {readonly gain: tf.Tensor; readonly bias: tf.Tensor} {
    return {gain: this.weight('weight'), bias: this.weight('bias')};
  }

  /**
   * @param x   [..., size]
   * @returns   the same shape, the caller's
   */
  forward<T extends tf.Tensor>(x: T): T {
    const {gain, bias} = this.parameters;
    return recordsGradients() ? (withGradient(x, gain, bias) as T) : value(x, gain, bias);
  }
}
tf.serialization.registerClass(LayerNorm);

function value<T extends tf.Tensor>(x: T, gain: tf.Tensor, bias: tf.Tensor): T {
  const fused = runFused<T>('MueLayerNorm', {x, gain, bias}, {epsilon: EPSILON});
  return fused ?? tf.tidy(() => normalised(x).rows.mul(gain).add(bias) as T);
}

/** Rows of mean 0 and variance 1, and the inverse of the deviation that they had; of the tidy around. */
function normalised(x: tf.Tensor): {rows: tf.Tensor; scale: tf.Tensor} {
  // Two passes: E[x²] − μ² loses digits where residual channels are large.
  const centred = x.sub(x.mean(-1, true));
  const scale = centred.square().mean(-1, true).add(EPSILON).rsqrt();
  return {rows: centred.mul(scale), scale};
}

/** Layer norm as one operation of the backward pass, which keeps x and the gain and normalises again. */
const withGradient = tf.customGrad((x, gain, bias, save) => {
  (save as tf.GradSaveFunc)([x as tf.Tensor, gain as tf.Tensor]);
  return {
    value: value(x as tf.Tensor, gain as tf.Tensor, bias as tf.Tensor),
    gradFunc: (dy, saved) => {
      const [x, gain] = saved as [tf.Tensor, tf.Tensor];
      const {rows, scale} = normalised(x);
      const outer = Array.from({length: x.rank - 1}, (_, axis) => axis);
      const d = dy.mul(gain);
      const along = rows.mul(d.mul(rows).mean(-1, true));
      return [d.sub(d.mean(-1, true)).sub(along).mul(scale), dy.mul(rows).sum(outer), dy.sum(outer)];
    },
  };
});

/**
 * Rows scaled to length one; a row of zeros stays.
 * @param x   [B, e]
 * @returns   [B, e], the caller's
 */
export function unitRows(x: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => x.div(tf.maximum(x.square().sum(1, true).sqrt(), SMALLEST_LENGTH)) as tf.Tensor2D);
}
