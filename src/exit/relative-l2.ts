import type {ExitPolicy} from './policy.js';
import {relativeDistances} from './row-similarities.js';
import {thresholded, type ThresholdOptions} from './thresholded.js';

/** Leave when the change is small against the state, ‖after − before‖ / ‖before‖ < η. */
export function relativeL2(options: ThresholdOptions): ExitPolicy {
  return thresholded({name: 'relative-l2', exits: 'below', scores: relativeDistances}, options);
}
