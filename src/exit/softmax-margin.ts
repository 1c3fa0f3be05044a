import {confidences} from './confidence.js';
import type {ExitPolicy} from './policy.js';
import {thresholded, type ThresholdOptions} from './thresholded.js';

/** CALM's softmax response: leave when the two likeliest words are far enough apart, p₁ − p₂ ≥ λ (early_exit B1). */
export function softmaxMargin(options: ThresholdOptions): ExitPolicy {
  return thresholded(
    {
      name: 'softmax-margin',
      exits: 'at-least',
      scores: async (_before, _after, _at, logits) => (await confidences(logits())).map(({margin}) => margin),
    },
    options,
  );
}
