import * as tf from '@tensorflow/tfjs';
import type {ExitPolicy} from '../../src/exit/policy.js';
import {type ActiveUnits, runStack, runStackBatched} from '../../src/exit/run-stack.js';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';

const stack = {stack: 'decoder', depth: 4} as const;
const addOne = (x: tf.Tensor3D): tf.Tensor3D => tf.add(x, 1);
const leavesAt = (layer: number): ExitPolicy => ({
  name: `at ${layer}`,
  observe: (_before, _after, at) => Promise.resolve({exit: at.layer === layer, score: at.layer, threshold: layer}),
});

onBackends(
  'runStack',
  () => {
    test('runStack: exits after the layer whose score passes, and runs none above it', async () => {
      const x = tf.zeros<tf.Rank.R3>([2, 1, 3]);
      const layers: number[] = [];
      const forward = (y: tf.Tensor3D, layer: number): tf.Tensor3D => {
        layers.push(layer);
        return addOne(y);
      };
      const {x: state, trace} = await runStack(x, forward, stack, leavesAt(3));
      expect(layers).toEqual([0, 1, 2]);
      expect([...(await state.data())]).toEqual([3, 3, 3, 3, 3, 3]);
      expect(trace).toMatchObject({exitLayer: 3, exited: true, scores: [1, 2, 3], thresholds: [3, 3, 3]});
      tf.dispose([x, state]);
    });

    test('runStackBatched: units leave each for itself, and keep the state of their exit', async () => {
      const x = tf.zeros<tf.Rank.R3>([6, 1, 1]);
      const units = [leavesAt(3), leavesAt(1), leavesAt(9)].map((policy) => ({policy}));
      const {x: states, passes} = await runStackBatched(x, addOne, stack, units);
      expect([...(await states.data())]).toEqual([3, 3, 1, 1, 4, 4]);
      expect(passes.map(({trace}) => [trace.exitLayer, trace.exited])).toEqual([
        [3, true],
        [1, true],
        [4, false],
      ]);
      tf.dispose([x, states]);
    });

    test('runStackBatched: units that have begun go on behind their exit, and their traces with them', async () => {
      const x = tf.zeros<tf.Rank.R3>([2, 1, 1]);
      const first = await runStackBatched(x, addOne, stack, [{policy: leavesAt(1), step: 5}]);
      const layers: number[] = [];
      const forward = (y: tf.Tensor3D, layer: number): tf.Tensor3D => {
        layers.push(layer);
        return addOne(y);
      };
      const units = [{policy: leavesAt(3), step: 5, begun: first.passes[0]!}];
      const {x: states, passes} = await runStackBatched(first.x, forward, stack, units);
      expect(layers).toEqual([1, 2]);
      expect([...(await states.data())]).toEqual([3, 3]);
      expect(passes[0]!.trace).toMatchObject({step: 5, exitLayer: 3, exited: true, scores: [1, 2, 3]});
      tf.dispose([x, first.x, states]);
    });

    test('runStackBatched: units that skip the stack keep their rows, and no layer runs for them', async () => {
      const skips: ExitPolicy = {...leavesAt(2), skips: () => true};
      const x = tf.zeros<tf.Rank.R3>([3, 1, 1]);
      const seen: number[][] = [];
      const forward = (y: tf.Tensor3D, _layer: number, {indices}: ActiveUnits): tf.Tensor3D => {
        seen.push([...indices, y.shape[0]]);
        return addOne(y);
      };
      const before = tf.memory().numTensors;
      const some = await runStackBatched(x, forward, stack, [{policy: skips}, {policy: leavesAt(2)}, {policy: skips}]);
      expect([...(await some.x.data())]).toEqual([0, 2, 0]);
      expect(seen).toEqual([
        [1, 1],
        [1, 1],
      ]);
      expect(some.passes[0]!.trace).toMatchObject({exitLayer: 0, exited: true, scores: [], thresholds: []});
      const all = await runStack(x, addOne, stack, skips);
      x.dispose();
      expect([...(await all.x.data())]).toEqual([0, 0, 0]);
      tf.dispose([some.x, all.x]);
      expect(tf.memory().numTensors).toBe(before - 1);
    });

    test('runStackBatched: logits outlive the tidy of a policy that asks for them there', async () => {
      const policy: ExitPolicy = {
        name: 'tidy',
        observe: async (_before, _after, at, logits) => {
          const best = tf.tidy(() => logits().max());
          const [score] = await best.data();
          best.dispose();
          return {exit: at.layer === 2, score, threshold: 2};
        },
      };
      const x = tf.zeros<tf.Rank.R3>([1, 1, 5]);
      const logits = (y: tf.Tensor3D): tf.Tensor2D => tf.tidy(() => y.reshape([1, 5]));
      const {x: state, passes} = await runStackBatched(x, addOne, stack, [{policy}], {logits});
      expect([...(await passes[0]!.logits!.data())]).toEqual([2, 2, 2, 2, 2]);
      tf.dispose([x, state, passes[0]!.logits!]);
    });

    test('runStack: a policy that asks for logits where there are none is a UsageError plan-logits', async () => {
      const policy: ExitPolicy = {
        name: 'asks',
        observe: (_before, _after, _at, logits) => Promise.resolve({exit: logits().size > 0}),
      };
      const x = tf.zeros<tf.Rank.R3>([1, 1, 2]);
      await expect(runStack(x, addOne, stack, policy)).rejects.toMatchObject({code: 'plan-logits'});
      x.dispose();
    });
  },
  FIRST_DEVICE,
);
