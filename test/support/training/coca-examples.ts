import * as tf from '@tensorflow/tfjs';
import type {CocaModel} from '../../../src/models/coca/model.js';
import {seededRandom} from '../../../src/runtime/random.js';
import type {CocaExample} from '../../../src/training/coca/objective.js';

/** Pictures of noise [1, h, w, 3], the caller's, with two captions each, of different lengths. */
export function cocaExamples(
  {config}: CocaModel,
  count: number,
): {examples: CocaExample[]; pictures: Map<string, tf.Tensor4D>} {
  const random = seededRandom(7);
  const {image_size: side} = config.vision;
  const {vocab_size, context_length} = config.text;
  const caption = (): number[] => [
    config.start_id,
    ...Array.from({length: 2 + random.below(context_length - 5)}, () => 1 + random.below(vocab_size - 3)),
    config.end_id,
  ];
  const examples = Array.from({length: count}, (_, i) => ({key: String(i), captions: [caption(), caption()]}));
  const picture = (): tf.Tensor4D =>
    tf.tensor4d(
      Float32Array.from({length: side * side * 3}, () => 2 * random.next() - 1),
      [1, side, side, 3],
    );
  return {examples, pictures: new Map(examples.map(({key}) => [key, picture()]))};
}
