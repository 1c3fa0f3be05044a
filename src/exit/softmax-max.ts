import {confidences} from './confidence.js';
import type {ExitPolicy} from './policy.js';
import {thresholded, type ThresholdOptions} from './thresholded.js';

/** Leave when the likeliest word is likely enough, p₁ ≥ λ (early_exit B3). */
export function softmaxMax(options: ThresholdOptions): ExitPolicy {
  return thresholded(
    {
      name: 'softmax-max',
      exits: 'at-least',
      scores: async (_before, _after, _at, logits) => (await confidences(logits())).map(({max}) => max),
    },
    options,
  );
}
