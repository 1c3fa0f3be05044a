import type {ExitPolicy} from './policy.js';
import {lastCosines} from './row-similarities.js';
import {thresholded, type ThresholdOptions} from './thresholded.js';

/** Leave when the newest position hardly changes; a stack without steps looks at its last token. */
export function cosineLast(options: ThresholdOptions): ExitPolicy {
  return thresholded({name: 'cosine-last', exits: 'above', scores: lastCosines}, options);
}
