import {UsageError} from '../runtime/errors.js';
import {type ExitPolicy, memoryless} from './policy.js';

/** Always leaves after `layers` layers, whatever the state: the baseline that every adaptive policy has to beat. */
export function fixed({layers}: {readonly layers: number}): ExitPolicy {
  if (!Number.isInteger(layers) || layers < 1)
    throw new UsageError('depth-invalid', `a fixed depth must be a whole number of layers from 1, not ${layers}`);
  return memoryless('fixed', (_before, _after, at) =>
    Promise.resolve(at.map(({layer, depth}) => ({exit: layer >= layers && layer < depth}))),
  );
}
