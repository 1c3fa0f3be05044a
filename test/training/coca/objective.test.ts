import * as tf from '@tensorflow/tfjs';
import type {CocaModel} from '../../../src/models/coca/model.js';
import {type CocaExample, CocaObjective, type CocaSettings} from '../../../src/training/coca/objective.js';
import {cropped} from '../../../src/training/coca/crop.js';
import {TrainingLoop} from '../../../src/training/trainer.js';
import {onBackends} from '../../support/backends.js';
import {cocaExamples} from '../../support/training/coca-examples.js';
import {cocaModel} from '../../support/models/coca-model.js';
import {settingsOf} from '../../support/training/training.js';

const SETTINGS: CocaSettings = {captionWeight: 2, contrastiveWeight: 1, captions: 1, cuts: 0, crop: 1};
const LOOP = {...settingsOf({freeze: [], clip: 0, decay: 0.1}), betas: [0.9, 0.98] as const, epsilon: 1e-6};

onBackends('CoCa objective', () => {
  let model: CocaModel;
  let examples: CocaExample[];
  let pictures: Map<string, tf.Tensor4D>;
  beforeAll(async () => {
    model = await cocaModel('micro');
    ({examples, pictures} = cocaExamples(model, 8));
  });
  afterAll(() => {
    model[Symbol.dispose]();
    tf.dispose([...pictures.values()]);
  });

  const objective = (changes: Partial<CocaSettings> = {}): CocaObjective =>
    new CocaObjective(
      model.module,
      (some, crops) =>
        Promise.resolve(tf.tidy(() => cropped(tf.concat(some.map(({key}) => pictures.get(key)!)), crops))),
      {...SETTINGS, ...changes},
      5,
    );

  /** One update's gradients, by the weights' names. */
  const gradients = async (
    passes: readonly (readonly CocaExample[])[],
    changes: Partial<CocaSettings>,
  ): Promise<{loss: number; layers: readonly number[]; sums: Map<string, Float32Array>}> => {
    const sums = new Map<string, Float32Array>();
    const {module} = model;
    const {loss, layers} = await objective(changes).gradients(passes, {
      update: 0,
      place: 24,
      variables: module.trainableWeights.map((weight) => weight.read() as tf.Variable),
      add: async (some) => {
        for (const [name, gradient] of Object.entries(some)) {
          const values = await gradient.data();
          sums.set(
            name,
            Float32Array.from(values, (value, i) => value + (sums.get(name)?.[i] ?? 0)),
          );
        }
        tf.dispose(some);
      },
      signal: undefined,
    });
    return {loss, layers, sums};
  };

  test('accumulated passes keep all negatives: 4 × 2 is 1 × 8, with two captions a picture, cuts and crops', async () => {
    const changes = {captions: 2, cuts: 0.5, crop: 0.9};
    const before = tf.memory().numTensors;
    const whole = await gradients([examples], changes);
    const parts = await gradients(
      [0, 2, 4, 6].map((first) => examples.slice(first, first + 2)),
      changes,
    );
    expect(tf.memory().numTensors).toBe(before);
    expect(Math.abs(parts.loss - whole.loss)).toBeLessThan(1e-6 * whole.loss);
    expect([...parts.sums.keys()].sort()).toEqual([...whole.sums.keys()].sort());
    const norm = Math.hypot(...[...whole.sums.values()].map((sum) => Math.hypot(...sum)));
    for (const [name, sum] of whole.sums) {
      const difference = Math.hypot(...sum.map((value, i) => value - parts.sums.get(name)![i]!));
      expect([name, difference / norm < 1e-6]).toEqual([name, true]);
    }
  });

  test('cuts leave towers early, whether or not that is in one pass; without them the last layer alone is learnt', async () => {
    const [whole, cut] = [await gradients([examples], {}), await gradients([examples], {cuts: 1})];
    expect(whole.layers).toHaveLength(1);
    expect(cut.layers).toHaveLength(model.stacks.multimodal!);
    expect(Math.abs(cut.loss - whole.loss)).toBeGreaterThan(1e-4);
  });

  test('matrices decay; vectors, positions and the class embedding do not', () => {
    const decays = (name: string): boolean | undefined => {
      const weight = model.module.storedWeights().find((each) => each.name === name);
      return weight && objective().decays(weight);
    };
    expect(
      ['visual.positional_embedding', 'visual.class_embedding', 'text.positional_embedding', 'logit_scale'].map(decays),
    ).toEqual([false, false, false, false]);
    expect(['visual.ln_post.weight', 'text.cls_emb'].map(decays)).toEqual([false, false]);
    expect(['visual.proj', 'visual.conv1.weight', 'text.token_embedding.weight'].map(decays)).toEqual([
      true,
      true,
      true,
    ]);
  });

  test.each([
    ['contrastiveWeight', -1],
    ['captions', 0],
    ['cuts', 1.5],
    ['crop', 0],
  ])('refuses %s %d', (name, value) => {
    expect(() => objective({[name]: value})).toThrow(`${name} must be`);
  });

  test('keeps the factor of similarities at most 100', async () => {
    const scale = model.module.trainableWeights.find(({originalName}) => originalName === 'logit_scale')!;
    const setScale = (value: number): void =>
      tf.tidy(() => {
        scale.write(tf.scalar(value));
      });
    setScale(Math.log(100) - 1e-3);
    const loop = new TrainingLoop(objective({captionWeight: 0}), examples.slice(0, 1), {
      ...LOOP,
      ...{batch: 1, updates: 3, learningRate: 0, schedule: 'constant'},
    });
    await loop.step();
    expect(scale.read().dataSync()[0]).toBeCloseTo(Math.log(100) - 1e-3, 6);
    setScale(9);
    const above = new TrainingLoop(objective(), examples.slice(0, 2), {...LOOP, updates: 1, learningRate: 1e-6});
    await above.step();
    expect(scale.read().dataSync()[0]).toBeCloseTo(Math.log(100), 5);
  });
});
