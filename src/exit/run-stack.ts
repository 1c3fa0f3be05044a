import type * as tf from '@tensorflow/tfjs';
import {breathe} from '../runtime/breathe.js';
import {UsageError} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import type {ExitPolicy, Observation, Position} from './policy.js';
import type {StackTrace} from './trace.js';

export interface RunStackOptions {
  /** Scores of the next word for a (whole) state; called only if the policy asks, its result is disposed here. */
  readonly logits?: (x: tf.Tensor3D) => tf.Tensor2D;
  /** The rows of a state that count for the decision (finite-score beams); the result is disposed here. All by default. */
  readonly view?: (x: tf.Tensor3D) => tf.Tensor3D;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs layers until the policy says exit. The one place where an exit is taken: the layer that triggered it has run, its
 * output is the result, the layers above it do not run (ofa_mue section 10.4).
 *
 * @param x state [B, T, D], borrowed
 * @param forward one layer, counted from 0; its result becomes owned here
 * @returns the last state, the caller's, what happened, and how many decisions computed word scores (which cost as much as layers)
 */
export async function runStack(
  x: tf.Tensor3D,
  forward: (x: tf.Tensor3D, layer: number) => tf.Tensor3D,
  stack: Omit<Position, 'layer'>,
  policy: ExitPolicy,
  options: RunStackOptions = {},
): Promise<{x: tf.Tensor3D; trace: StackTrace; asked: number}> {
  using scope = new TensorScope();
  const scores: (number | null)[] = [];
  const thresholds: (number | null)[] = [];
  let before = x;
  let exited = false;
  let asked = 0;
  let layer = 0;
  while (layer < stack.depth && !exited) {
    await breathe(options.signal);
    const after = scope.hold(forward(before, layer));
    layer++;
    const {seen, words} = await observe(policy, before, after, {...stack, layer}, options);
    if (words) asked++;
    scores.push(seen.score ?? null);
    thresholds.push(seen.threshold ?? null);
    exited = seen.exit;
    if (before !== x) scope.drop(before);
    before = after;
  }
  const {stack: name, step, depth} = stack;
  return {
    x: scope.give(before),
    trace: {stack: name, ...(step === undefined ? {} : {step}), exitLayer: layer, depth, exited, scores, thresholds},
    asked,
  };
}

async function observe(
  policy: ExitPolicy,
  before: tf.Tensor3D,
  after: tf.Tensor3D,
  at: Position,
  {logits, view}: RunStackOptions,
): Promise<{seen: Observation; words: boolean}> {
  using scope = new TensorScope();
  const [a, b] = view ? [scope.hold(view(before)), scope.hold(view(after))] : [before, after];
  let computed: tf.Tensor2D | undefined;
  const seen = await policy.observe(a, b, at, () => {
    if (!logits) {
      throw new UsageError('plan-logits', `the policy '${policy.name}' looks at word scores, but the stack '${at.stack}' has none`, {
        hint: 'Use it for the decoder alone.',
      });
    }
    computed ??= scope.hold(logits(after));
    return computed;
  });
  // What only watches (a recording) gives no score: its looking is no part of the answer.
  return {seen, words: computed !== undefined && seen.score !== undefined};
}
