import * as tf from '@tensorflow/tfjs';
import {gatherRows} from '../nn/gather-rows.js';
import {UsageError} from '../runtime/errors.js';
import type {PolicyPerImage, ExitPolicy} from './policy.js';
import type {ExitUnit} from './run-stack.js';
import type {SkippedKv} from './skipped-kv-cache.js';

// R rows, of which every decider has as many, in order

/** One policy a decision. */
export function toPolicyList(policy: PolicyPerImage): readonly ExitPolicy[] {
  return Array.isArray(policy) ? (policy as readonly ExitPolicy[]) : [policy as ExitPolicy];
}

/** Those of a decoding. @throws UsageError where pictures that decide for themselves cannot share caches */
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

/** Rows from `from` to before `to` that count for a decision. @param rows those that do at all; every one by default */
export function decidingRows(rows: readonly number[] | undefined, from: number, to: number): number[] {
  return rows?.filter((r) => r >= from && r < to) ?? Array.from({length: to - from}, (_, i) => from + i);
}

/**
 * Who decides at one step of a decoding.
 * @param count R
 * @param rows that count for the decision; all by default
 * @param logits scores of the next word for states of some rows; left out where the stack has none
 */
export function stepUnits(
  policies: readonly ExitPolicy[],
  count: number,
  rows: readonly number[] | undefined,
  logits?: (x: tf.Tensor3D) => tf.Tensor2D,
): readonly ExitUnit[] {
  const size = count / policies.length;
  return policies.map((policy, s): ExitUnit => {
    const mine = decidingRows(rows, s * size, (s + 1) * size).map((row) => row - s * size);
    if (mine.length === size) return {policy};
    const view = (x: tf.Tensor3D): tf.Tensor3D => gatherRows(x, mine);
    return {policy, view, ...(logits ? {logits: (x) => tf.tidy(() => logits(view(x)))} : {})};
  });
}
