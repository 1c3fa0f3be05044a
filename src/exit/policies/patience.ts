import {UsageError} from '../../runtime/errors.js';
import {type Confidence, confidences} from './confidence.js';
import type {ExitPolicy} from '../policy.js';
import {checkThreshold} from './threshold.js';
import {smallest} from '../../runtime/extremes.js';

export interface PatienceOptions {
  /**
   * Layers in a row that must give the same token; 3 is PABEE's t = 2, which counts the agreements after the first.
   */
  readonly patience: number;
  /** Least probability of the likeliest token for a layer to count (PCEE); 0 by default. */
  readonly threshold?: number | null;
}

/**
 * PABEE: leaves when layers in a row agree on the likeliest token of every row (docs/reference/early-exit.md B2). It
 * remembers: make one for every answer.
 */
export function patience({patience: wanted, threshold}: PatienceOptions): ExitPolicy {
  if (!Number.isInteger(wanted) || wanted < 1)
    throw new UsageError('patience-invalid', `patience must be a whole number of layers from 1, not ${wanted}`);
  const least = threshold ?? 0;
  checkThreshold(least);
  let run: readonly number[] = [];
  let tokens: readonly number[] = [];
  return {
    name: threshold === undefined || threshold === null ? 'patience' : 'patience-confidence',
    observe: async (_before, _after, at, logits) => {
      if (at.layer === at.depth) return {exit: false};
      if (at.layer === 1) [run, tokens] = [[], []];
      const rows = await confidences(logits());
      const agrees = ({argmax, max}: Confidence, r: number): number =>
        max < least ? 0 : argmax === tokens[r] ? (run[r] ?? 0) + 1 : 1;
      run = rows.map(agrees);
      tokens = rows.map(({argmax}) => argmax);
      const score = smallest(run);
      return {exit: score >= wanted, score, threshold: wanted};
    },
  };
}
