import * as tf from '@tensorflow/tfjs';
import {Block} from './block.js';
import {quickGelu} from './activations.js';
import {LayerNorm} from './layer-norm.js';
import {Linear} from './linear.js';

export interface FeedForwardConfig {
  readonly size: number;
  readonly hidden: number;
  /** Normalise between the two linear maps (`scale_fc`). */
  readonly innerNorm: boolean;
  /** Names of the two linear maps; `fc1` and `fc2` by default. */
  readonly names?: readonly [inner: string, outer: string];
  readonly activation?: 'gelu' | 'quick_gelu';
}

/**
 * fc2(LN(gelu(fc1(x)))), the norm where there is one: the second half of a transformer layer, its residual and outer
 * norm left to the layer.
 */
export class FeedForward extends Block<FeedForwardConfig> {
  static className = 'MueFeedForward';
  readonly fc1: Linear;
  readonly fc2: Linear;
  readonly norm: LayerNorm | undefined;

  constructor(config: FeedForwardConfig) {
    super(config);
    const [inner, outer] = config.names ?? ['fc1', 'fc2'];
    this.fc1 = this.child(inner, new Linear({inputSize: config.size, units: config.hidden}));
    this.fc2 = this.child(outer, new Linear({inputSize: config.hidden, units: config.size}));
    this.norm = config.innerNorm ? this.child('ffn_layernorm', new LayerNorm({size: config.hidden})) : undefined;
  }

  /**
   * @param x   [..., size]
   * @returns   the same shape, the caller's
   */
  forward<T extends tf.Tensor>(x: T): T {
    return tf.tidy(() => {
      const hidden =
        this.config.activation === 'quick_gelu' ? quickGelu(this.fc1.forward(x)) : this.fc1.forward(x, 'gelu');
      return this.fc2.forward(this.norm ? this.norm.forward(hidden) : hidden);
    });
  }
}
tf.serialization.registerClass(FeedForward);
