import * as tf from '@tensorflow/tfjs';
import {gatherRows} from './gather-rows.js';

// R rows, T tokens, D width

/** Runs a layer on the rows that reach it. @param rows their numbers in the whole batch, in the order of x */
export type RunRowsLayer = (x: tf.Tensor3D, layer: number, rows: readonly number[]) => tf.Tensor3D;

/**
 * Runs each row through as many layers as it is told: a training that cuts stacks short. Rows that are done are left
 * out of the layers behind, so that they cost nothing there. Synchronous and differentiable.
 * @param x        [R, T, D], borrowed
 * @param depths   of each row, at least 1
 * @param layers   that there are
 * @returns        the state of each row after its last layer [R, T, D], the caller's
 */
export function runToDepths(
  x: tf.Tensor3D,
  depths: readonly number[],
  layers: number,
  forward: RunRowsLayer,
): tf.Tensor3D {
  return tf.tidy(() => {
    const order = depths.map((_, row) => row).sort((a, b) => depths[b]! - depths[a]! || a - b);
    const moved = order.some((row, place) => row !== place);
    let state = moved ? gatherRows(x, order) : x;
    const done: tf.Tensor3D[] = [];
    for (let layer = 0; layer < layers; layer++) {
      const rows = order.filter((row) => depths[row]! > layer);
      if (rows.length === 0) break;
      if (rows.length < state.shape[0]) {
        done.unshift(tf.slice(state, [rows.length, 0, 0], [-1, -1, -1]));
        state = tf.slice(state, [0, 0, 0], [rows.length, -1, -1]);
      }
      state = forward(state, layer, rows);
    }
    const all = done.length > 0 ? tf.concat([state, ...done]) : state;
    const places = order.map((_, row) => order.indexOf(row));
    return moved ? gatherRows(all, places) : all;
  });
}
