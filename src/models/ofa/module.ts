import * as tf from '@tensorflow/tfjs';
import {Block, input} from '../../nn/block.js';
import type {OfaConfig} from './config.js';
import {OfaDecoder} from './decoder.js';
import {OfaEncoder} from './encoder.js';

/** The tree of weights, named as in the checkpoint: `encoder.…`, `decoder.…`. */
export class OfaModule extends Block<OfaConfig> {
  static className = 'MueOfaModule';
  readonly encoder: OfaEncoder;
  readonly decoder: OfaDecoder;

  constructor(config: OfaConfig) {
    super(config);
    this.encoder = this.child('encoder', new OfaEncoder(config));
    this.decoder = this.child('decoder', new OfaDecoder(config, this.encoder.tokens));
  }

  /** As a layer: pixels [B, h, w, 3] to embedded patches [B, P, D]. */
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.encoder.call(input(inputs));
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return this.encoder.computeOutputShape(shape);
  }
}
tf.serialization.registerClass(OfaModule);
