import * as tf from '@tensorflow/tfjs';
import type {PolicyPerImage} from '../exit/policy.js';
import type {StackTrace} from '../exit/trace.js';
import {gatherRows} from '../nn/gather-rows.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import type {Decoded, Decoding, RunOptions} from './model.js';
import {append} from '../runtime/extremes.js';

/** Feeds a prefix by as many steps as it has tokens: for models, modes and policies that cannot do it in one pass. */
export async function prefillByStep(
  decoding: Pick<Decoding, 'step'>,
  tokens: readonly (readonly number[])[],
  policy: PolicyPerImage,
  options: RunOptions,
): Promise<Decoded> {
  using scope = new TensorScope();
  const length = tokens[0]!.length;
  const logits: tf.Tensor2D[] = [];
  const traces: StackTrace[][] = tokens.map(() => []);
  for (let t = 0; t < length; t++) {
    const fed = tokens.map((row) => row[t]!);
    const result = await decoding.step(fed, policy, options);
    logits.push(scope.hold(result.logits));
    for (const [b, own] of result.traces.entries()) append(traces[b]!, own);
  }
  // The logits come token by token, and are wanted image by image.
  const order = tokens.flatMap((_, b) => Array.from({length}, (_t, t) => t * tokens.length + b));
  return {logits: tf.tidy(() => gatherRows(tf.concat(logits), order)), traces};
}
