import {confidences} from './confidence.js';
import type {ExitPolicy} from './policy.js';
import {thresholded, type ThresholdOptions} from './thresholded.js';

/** DeeBERT's: leave when the entropy of the next word, in nats, is below S (early_exit B2). In closed tasks that of the allowed answers. */
export function entropy(options: ThresholdOptions): ExitPolicy {
  return thresholded(
    {
      name: 'entropy',
      exits: 'below',
      scores: async (_before, _after, _at, logits) => (await confidences(logits())).map((row) => row.entropy),
    },
    options,
  );
}
