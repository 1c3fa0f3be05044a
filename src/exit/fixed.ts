import {UsageError} from '../runtime/errors.js';
import type {ExitPolicy} from './policy.js';

/** Always leaves after `layers` layers, whatever the state: the baseline that every adaptive policy has to beat. */
export function fixed({layers}: {readonly layers: number}): ExitPolicy {
  if (!Number.isInteger(layers) || layers < 1)
    throw new UsageError('depth-invalid', `a fixed depth must be a whole number of layers from 1, not ${layers}`);
  return {name: 'fixed', observe: (_before, _after, at) => Promise.resolve({exit: at.layer >= layers && at.layer < at.depth})};
}
