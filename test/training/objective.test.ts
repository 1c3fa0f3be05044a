import * as tf from '@tensorflow/tfjs';
import {Linear} from '../../src/nn/linear.js';
import type {Objective, UpdateContext, UpdateSums} from '../../src/training/objective.js';
import {TrainingLoop} from '../../src/training/trainer.js';
import {onBackends} from '../support/backends.js';
import {settingsOf} from '../support/training/training.js';

/** Examples are numbers; the loss is the sum of all weights and biases, so that every gradient is 1. */
class SumOfWeights implements Objective<number> {
  readonly module = new Linear({inputSize: 2, units: 2});
  readonly seen: {readonly passes: readonly (readonly number[])[]; readonly update: number; readonly place: number}[] =
    [];
  readonly bounds = new Map([['bias', [0.95, 2] as const]]);

  constructor() {
    this.module.build();
    tf.tidy(() => this.module.setWeights([tf.ones([2, 2]), tf.ones([2])]));
  }

  decays({shape}: {readonly shape: readonly number[]}): boolean {
    return shape.length > 1;
  }

  async gradients(
    passes: readonly (readonly number[])[],
    {variables, update, place, add}: UpdateContext,
  ): Promise<UpdateSums> {
    this.seen.push({passes, update, place});
    const {value, grads} = tf.variableGrads(
      () => variables.map((variable) => variable.sum()).reduce((a, b) => a.add(b)) as tf.Scalar,
      variables,
    );
    const loss = value.dataSync()[0]!;
    value.dispose();
    await add(grads);
    return {loss, layers: [loss], sampleSize: 2, tokens: 5};
  }
}

onBackends('an objective of its own', () => {
  test('sees all passes of an update at once, decays what it says, and keeps weights in bounds', async () => {
    const before = tf.memory().numTensors;
    const objective = new SumOfWeights();
    const settings = settingsOf({
      updates: 4,
      batch: 2,
      accumulate: 3,
      freeze: [],
      clip: 0,
      learningRate: 0.1,
      decay: 1,
    });
    const loop = new TrainingLoop(objective, [...Array(12).keys()], {...settings, schedule: 'constant'});
    const step = await loop.step();
    expect(step).toMatchObject({loss: 3, tokens: 5, update: 1});
    expect(step.norm).toBeCloseTo(Math.sqrt(6) / 2, 6);
    await loop.step();
    expect(objective.seen.map(({passes, update, place}) => [passes.map((p) => p.length), update, place])).toEqual([
      [[2, 2, 2], 0, 0],
      [[2, 2, 2], 1, 6],
    ]);
    const rows = objective.seen.flatMap(({passes}) => passes.flat());
    expect(rows.sort((a, b) => a - b)).toEqual([...Array(12).keys()]);
    const [weight, bias] = objective.module.getWeights().map((w) => [...w.dataSync()]) as [number[], number[]];
    // Two updates of Adam by 0.1 each, the matrix alone decayed: (0.9·1 − 0.1)·0.9 − 0.1.
    for (const value of weight) expect(value).toBeCloseTo(0.62, 5);
    for (const value of bias) expect(value).toBeCloseTo(0.95, 6);
    objective.module[Symbol.dispose]();
    expect(tf.memory().numTensors).toBe(before);
  });
});
