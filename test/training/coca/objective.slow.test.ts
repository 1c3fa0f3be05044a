import * as tf from '@tensorflow/tfjs';
import {CocaObjective} from '../../../src/training/coca/objective.js';
import {TrainingLoop} from '../../../src/training/trainer.js';
import {onBackends} from '../../support/backends.js';
import {cocaExamples} from '../../support/training/coca-examples.js';
import {cocaModel} from '../../support/models/coca-model.js';
import {settingsOf} from '../../support/training/training.js';

onBackends('CoCa objective', () => {
  test('learns four pictures by heart in 200 updates, and leaves no tensor', async () => {
    using model = await cocaModel('micro');
    const {examples, pictures} = cocaExamples(model, 4);
    const settings = {captionWeight: 2, contrastiveWeight: 1, captions: 1, cuts: 0, crop: 1};
    const objective = new CocaObjective(
      model.module,
      (some) => Promise.resolve(tf.tidy(() => tf.concat(some.map(({key}) => pictures.get(key)!)))),
      settings,
      0,
    );
    const loop = new TrainingLoop(
      objective,
      examples.map(({key, captions}) => ({key, captions: captions.slice(0, 1)})),
      settingsOf({
        ...{updates: 200, batch: 4, learningRate: 5e-3, schedule: 'cosine', warmup: 10, decay: 0, freeze: []},
        betas: [0.9, 0.98],
      }),
    );
    const before = tf.memory().numTensors;
    let loss = Number.POSITIVE_INFINITY;
    while (!loop.finished && loss >= 0.01) ({loss} = await loop.step());
    expect(loss).toBeLessThan(0.01);
    expect(tf.memory().numTensors).toBe(before);
    tf.dispose([...pictures.values()]);
  });
}, ['wasm']);
