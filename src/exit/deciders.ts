import * as tf from '@tensorflow/tfjs';
import {takeRows} from '../nn/gather-rows.js';
import {UsageError} from '../runtime/errors.js';
import type {Deciders, ExitPolicy} from './policy.js';
import type {Sample} from './run-stack.js';
import type {SkippedKv} from './skipped-kv-cache.js';

// R rows, of which every decider has as many, in order

/** One policy a decision. */
export function policiesOf(policy: Deciders): readonly ExitPolicy[] {
  return Array.isArray(policy) ? (policy as readonly ExitPolicy[]) : [policy as ExitPolicy];
}

/** Those of a decoding. @throws UsageError where pictures that decide for themselves cannot share caches */
export function decodingPolicies(policy: Deciders, skipped: SkippedKv): readonly ExitPolicy[] {
  const policies = policiesOf(policy);
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
export function stepSamples(
  policies: readonly ExitPolicy[],
  count: number,
  rows: readonly number[] | undefined,
  logits?: (x: tf.Tensor3D) => tf.Tensor2D,
): readonly Sample[] {
  const size = count / policies.length;
  return policies.map((policy, s): Sample => {
    const mine = decidingRows(rows, s * size, (s + 1) * size).map((row) => row - s * size);
    if (mine.length === size) return {policy};
    const view = (x: tf.Tensor3D): tf.Tensor3D => takeRows(x, mine);
    return {policy, view, ...(logits ? {logits: (x) => tf.tidy(() => logits(view(x)))} : {})};
  });
}
