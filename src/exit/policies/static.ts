import {checkArguments, OBJECT} from '../../runtime/check-arguments.js';
import {UsageError} from '../../runtime/errors.js';
import {seededRandom} from '../../runtime/random.js';
import {type ExitPolicy, memoryless, type Position} from '../policy.js';

/**
 * Leaves at the first layer whose answer is already that of the last: an upper bound, since finding that layer takes a
 * full pass. The depths come from a recording.
 */
export function oracle({depth}: {readonly depth: (at: Position) => number}): ExitPolicy {
  return {
    name: 'oracle',
    observe: (_before, _after, at) => Promise.resolve({exit: at.layer >= depth(at) && at.layer < at.depth}),
  };
}

/** The first layer, from 1, whose token equals the last layer's, whether or not the layers between agree. */
export function firstAgreement(tokens: readonly number[]): number {
  return 1 + tokens.indexOf(tokens[tokens.length - 1]!);
}

/**
 * Leaves at a depth drawn from a histogram, whatever the state: the worth of the depths alone, without the choosing.
 */
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

/**
 * Always leaves after `layers` layers, whatever the state: the baseline that every adaptive policy has to beat.
 * @param options   `layers` of the stack that run, `least` of them that must (1, or 0 for stacks that may be skipped)
 */
export function fixed(options: {readonly layers: number; readonly least?: 0 | 1}): ExitPolicy {
  checkArguments('fixed', {options: [options, OBJECT]});
  const {layers, least = 1} = options;
  if (!Number.isInteger(layers) || layers < least)
    throw new UsageError(
      'depth-invalid',
      `a fixed depth must be a whole number of layers from ${least}, not ${layers}`,
    );
  const policy = memoryless('fixed', (_before, _after, at) =>
    Promise.resolve(at.map(({layer, depth}) => ({exit: layer >= layers && layer < depth}))),
  );
  return layers === 0 ? {...policy, skips: () => true} : policy;
}
