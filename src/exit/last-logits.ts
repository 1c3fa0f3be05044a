import * as tf from '@tensorflow/tfjs';
import {takeRows} from '../nn/take-rows.js';
import type {SampleRun} from './run-stack.js';
import {rowsOf} from './sample-rows.js';

/**
 * Word scores of the last states: those that the last decisions computed, and the others.
 * @param x states of all samples [B, T, D], borrowed
 * @param runs their scores are disposed or given on
 * @returns as many rows for each sample, in order; the caller's
 */
export function lastLogits(
  x: tf.Tensor3D,
  runs: readonly SampleRun[],
  logits: (x: tf.Tensor3D, samples: readonly number[]) => tf.Tensor2D,
): tf.Tensor2D {
  const known = runs.flatMap(({logits: words}, s) => (words ? [{s, words}] : []));
  const others = runs.flatMap(({logits: words}, s) => (words ? [] : [s]));
  if (known.length === 0) return logits(x, others);
  if (runs.length === 1) return known[0]!.words;
  const result = tf.tidy(() => {
    const parts: tf.Tensor2D[] = known.map(({words}) => words);
    if (others.length > 0) parts.push(logits(takeRows(x, rowsOf(others, x.shape[0] / runs.length)), others));
    const order = [...known.map(({s}) => s), ...others];
    const all = tf.concat(parts);
    const places = runs.map((_, s) => order.indexOf(s));
    return order.every((s, i) => s === i) ? all : takeRows(all, rowsOf(places, all.shape[0] / runs.length));
  });
  for (const {words} of known) words.dispose();
  return result;
}
