import {UsageError} from '../../runtime/errors.js';
import {type Confidence, confidences} from './confidence.js';
import type {ExitPolicy} from '../policy.js';
import {checkThreshold} from './threshold.js';

export interface PatienceOptions {
  /** Layers in a row that must give the same words; PABEE's t counts the agreements after the first, t = patience − 1. */
  readonly patience: number;
  /** Only layers whose likeliest word has at least this probability count (PCEE); 0 by default. */
  readonly threshold?: number | null;
}

/** PABEE: leave when layers in a row agree on the likeliest word of every row (early_exit B2). Make one for every answer. */
export function patience({patience: wanted, threshold}: PatienceOptions): ExitPolicy {
  if (!Number.isInteger(wanted) || wanted < 1)
    throw new UsageError('patience-invalid', `patience must be a whole number of layers from 1, not ${wanted}`);
  const least = threshold ?? 0;
  checkThreshold(least);
  let run: readonly number[] = [];
  let words: readonly number[] = [];
  return {
    name: threshold === undefined || threshold === null ? 'patience' : 'patience-confidence',
    observe: async (_before, _after, at, logits) => {
      if (at.layer === at.depth) return {exit: false};
      if (at.layer === 1) [run, words] = [[], []];
      const rows = await confidences(logits());
      const agrees = ({argmax, max}: Confidence, r: number): number =>
        max < least ? 0 : argmax === words[r] ? (run[r] ?? 0) + 1 : 1;
      run = rows.map(agrees);
      words = rows.map(({argmax}) => argmax);
      const score = Math.min(...run);
      return {exit: score >= wanted, score, threshold: wanted};
    },
  };
}
