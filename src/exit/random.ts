import {UsageError} from '../runtime/errors.js';
import {seededRandom} from '../runtime/random.js';
import type {ExitPolicy} from './policy.js';

/** Leaves at a depth drawn from a histogram, whatever the state: what the depths alone are worth, without the choosing. */
export function random({histogram, seed}: {readonly histogram: readonly number[]; readonly seed: number}): ExitPolicy {
  const total = histogram.reduce((sum, n) => sum + n, 0);
  if (!(total > 0) || histogram.some((n) => !(n >= 0)))
    throw new UsageError('histogram-invalid', 'a histogram of depths must be numbers from 0, not all of them 0');
  const draw = seededRandom(seed);
  let depth = 1;
  return {
    name: 'random',
    observe: (_before, _after, at) => {
      if (at.layer === 1) {
        let left = draw.next() * total;
        depth = 1;
        while (depth < histogram.length && left >= histogram[depth - 1]!) left -= histogram[depth++ - 1]!;
      }
      return Promise.resolve({exit: at.layer >= depth && at.layer < at.depth});
    },
  };
}
