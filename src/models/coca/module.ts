import * as tf from '@tensorflow/tfjs';
import {Block, input} from '../../nn/block.js';
import type {CocaConfig} from './config.js';
import {CocaMultimodal} from './multimodal.js';
import {CocaText} from './text.js';
import {CocaVision} from './vision.js';

/** ln(1/0.07), the value that training starts from. */
const INITIAL_LOGIT_SCALE = Math.log(1 / 0.07);

/** The tree of weights, named as in open_clip's files: `visual.…`, `text.…`, `text_decoder.…`, `logit_scale`. */
export class CocaModule extends Block<CocaConfig> {
  static className = 'MueCocaModule';
  readonly vision: CocaVision;
  readonly text: CocaText;
  readonly multimodal: CocaMultimodal;

  constructor(config: CocaConfig) {
    super(config);
    this.declare('logit_scale', [], tf.initializers.constant({value: INITIAL_LOGIT_SCALE}));
    this.vision = this.child('visual', new CocaVision(config));
    this.text = this.child('text', new CocaText(config));
    this.multimodal = this.child('text_decoder', new CocaMultimodal(config));
  }

  /** Logarithm of the factor of similarities; borrowed. */
  get logitScale(): tf.Scalar {
    return this.weight('logit_scale');
  }

  /** As a layer: pixels [B, h, w, 3] to the image tower's state 0. */
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return this.vision.call(input(inputs));
  }
  override computeOutputShape(shape: tf.Shape): tf.Shape {
    return this.vision.computeOutputShape(shape);
  }
}
tf.serialization.registerClass(CocaModule);
