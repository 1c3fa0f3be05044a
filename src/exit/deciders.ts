import * as tf from '@tensorflow/tfjs';
import {gatherRows} from '../nn/gather-rows.js';
import {UsageError} from '../runtime/errors.js';
import type {ExitPolicy, PolicyPerImage} from './policy.js';
import type {ExitUnit, UnitLogits} from './run-stack.js';
import type {SkippedKv} from './skipped-kv-cache.js';

// U units, R rows in all (R / U consecutive rows a unit), D width, V words

/** One policy a unit: the list itself, or a list of the one that decides for all images together. */
export function toPolicyList(policy: PolicyPerImage): readonly ExitPolicy[] {
  return Array.isArray(policy) ? (policy as readonly ExitPolicy[]) : [policy as ExitPolicy];
}

/**
 * The policies of a decoding.
 * @throws UsageError where images that decide for themselves cannot share caches
 */
export function decodingPolicies(policy: PolicyPerImage, skipped: SkippedKv): readonly ExitPolicy[] {
  const policies = toPolicyList(policy);
  if (policies.length > 1 && skipped !== 'project') {
    throw new UsageError(
      'batch-skipped-kv',
      `several pictures that leave each for itself need keys and values of skipped layers by 'project', not '${skipped}'`,
      {hint: 'Answer one picture at a time, or leave skippedKv out.'},
    );
  }
  return policies;
}

/**
 * Rows of one unit that count for its exit.
 * @param rows    those that count at all; every row by default
 * @param first   first row of the unit
 * @param end     row behind its last one
 */
export function decidingRows(rows: readonly number[] | undefined, first: number, end: number): number[] {
  return rows?.filter((row) => row >= first && row < end) ?? Array.from({length: end - first}, (_, i) => first + i);
}

/**
 * The exit units of one decoding step.
 * @param count    R
 * @param rows     those that count for the exit; every row by default
 * @param logits   also called for some rows of a unit; left out where the stack has none
 */
export function stepUnits(
  policies: readonly ExitPolicy[],
  count: number,
  rows: readonly number[] | undefined,
  logits?: UnitLogits,
): readonly ExitUnit[] {
  const size = count / policies.length;
  return policies.map((policy, unit): ExitUnit => {
    const deciding = decidingRows(rows, unit * size, (unit + 1) * size).map((row) => row - unit * size);
    if (deciding.length === size) return {policy};
    const view = (x: tf.Tensor3D): tf.Tensor3D => gatherRows(x, deciding);
    return {policy, view, logits: logits && ((x, layer) => tf.tidy(() => logits(view(x), [unit], [layer])))};
  });
}
