import type {ExitPolicy} from './policy.js';
import {meanCosines} from './row-similarities.js';
import {thresholded, type ThresholdOptions} from './thresholded.js';

/** Leave when tokens hardly change, each counted alike, whatever its norm. */
export function cosineMean(options: ThresholdOptions): ExitPolicy {
  return thresholded({name: 'cosine-mean', exits: 'above', scores: meanCosines}, options);
}
