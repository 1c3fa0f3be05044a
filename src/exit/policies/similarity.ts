import {type ExitPolicy, memoryless} from '../policy.js';
import {rowCosines} from './cosine.js';
import {checkThreshold, splitEvenly, thresholdAt, type ThresholdOptions} from './threshold.js';
import {checkArguments, fields, optional, TEXT} from '../../runtime/check-arguments.js';
import {smallest} from '../../runtime/extremes.js';

/**
 * `reference`: the computation of the authors' release, quirks and all; `corrected`: its intent
 * (docs/reference/ofa-mue.md 10.9).
 */
export type Mode = 'reference' | 'corrected';

export interface SimilarityOptions extends ThresholdOptions {
  readonly mode?: Mode;
}

/**
 * MuE's criterion: leaves when one more layer hardly changed the state, cos(before, after) > threshold, strictly.
 *
 * Corrected mode measures nothing at the last layer nor when the threshold says never (λ ≥ 1: a float32 cosine of a
 * vector with itself can exceed 1). Reference mode measures at every layer that runs, and takes an absent threshold for
 * 1.
 * @throws UsageError for a threshold that is not a number
 */
export function similarity(options: SimilarityOptions): ExitPolicy {
  checkArguments('similarity', {options: [options, fields({schedule: optional(fields({name: TEXT}))})]});
  const {threshold, schedule = {name: 'constant'}, mode = 'corrected', rows = 'joint'} = options;
  if (threshold !== null) checkThreshold(threshold);
  const off = threshold === null || (mode === 'corrected' && threshold >= 1);
  return memoryless('similarity', async (before, after, at) => {
    const {layer, depth} = at[0]!;
    if (mode === 'corrected' && (off || layer === depth)) return at.map(() => ({exit: false}));
    const units = at.length;
    const scores =
      rows === 'joint'
        ? await rowCosines(before, after, units)
        : splitEvenly(await rowCosines(before, after), units).map((scores) => smallest(scores));
    return at.map(({step, maxSteps}, unit) => {
      const limit = off ? 1 : thresholdAt(schedule, threshold, step, maxSteps);
      return {exit: scores[unit]! > limit, score: scores[unit]!, threshold: limit};
    });
  });
}
