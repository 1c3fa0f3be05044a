import {createHash} from 'node:crypto';
import {readFile} from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs';
import {never} from '../../src/exit/policy.js';
import {taskLoss} from '../../src/models/ofa/loss.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import type {OfaPipeline} from '../../src/tasks/ofa-processor.js';
import type {TrainingState} from '../../src/training/trainer.js';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';
import {relativeError} from '../support/golden/gradients.js';
import {microModel} from '../support/models/micro-model.js';
import {microMue} from '../support/models/micro-mue.js';
import {type EncodedRows, encodedRows, type TrainingSettings, trainingLoop} from '../support/training/training.js';

/** A hash of all numbers of a state: comparing arrays of this size by elements takes seconds. */
function digest({adam, values, ...counts}: TrainingState): string {
  const hash = createHash('sha256').update(JSON.stringify({...counts, updates: adam.updates}));
  for (const array of [...values, ...adam.first, ...adam.second])
    hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  return hash.digest('hex');
}

onBackends(
  'TrainingLoop',
  () => {
    let pipeline: OfaPipeline;
    let entailments: EncodedRows;
    let captions: EncodedRows;
    beforeAll(async () => {
      using other = microMue(await microModel('mue'));
      entailments = await encodedRows(other, 'snli-ve', 9);
      captions = await encodedRows(other, 'caption', 1);
    });
    beforeEach(async () => {
      pipeline = microMue(await microModel('mue'));
    });
    afterEach(() => pipeline[Symbol.dispose]());
    const first = (count: number): EncodedRows => ({...entailments, examples: entailments.examples.slice(0, count)});
    const loop = (rows: EncodedRows, changes?: Partial<TrainingSettings>) =>
      trainingLoop(pipeline.model, rows, changes);
    const firstPicture = () => readFile('data/scenes/images/100001.jpg');

    test('learns four rows by heart, and leaves no tensor', async () => {
      const training = loop(first(4), {updates: 200, batch: 4, learningRate: 3e-3, warmup: 5, decay: 0});
      const before = tf.memory().numTensors;
      let {loss} = await training.step();
      expect(loss).toBeGreaterThan(1);
      while (loss >= 0.01 && !training.finished) ({loss} = await training.step());
      expect(loss).toBeLessThan(0.01);
      expect(tf.memory().numTensors).toBe(before);
      pipeline.model.weightsChanged();
      expect(tf.memory().numTensors).toBe(before);
    });

    test('what it reports is the task loss, of every layer', async () => {
      using scope = new TensorScope();
      const {examples} = captions;
      const {loss, layers, tokens} = await loop(captions, {batch: examples.length, learningRate: 0}).step();
      const pixels = scope.hold(await pipeline.pixels(await firstPicture()));
      const prompts = examples.map(({source}) => source);
      const encoded = scope.hold(await pipeline.model.encode({pixels, prompts}, never));
      const wanted = await taskLoss(pipeline.model, encoded, {
        inputs: examples.map(({inputs}) => inputs),
        targets: examples.map(({targets}) => targets),
      });
      expect(tokens).toBe(wanted.sampleSize);
      expect(loss).toBeCloseTo(wanted.loss / tokens, 4);
      for (const [i, {nllLoss}] of wanted.perLayer.entries()) expect(layers[i]).toBeCloseTo(nllLoss / tokens, 4);
    });

    test('four passes of two rows are one of eight', async () => {
      const gradients = [];
      for (const shape of [{batch: 8}, {batch: 2, accumulate: 4}]) {
        const training = loop(entailments, {...shape, clip: 0, learningRate: 0});
        const {loss, norm, tokens} = await training.step();
        gradients.push({loss, norm, tokens, all: training.parameters.gradients.flatMap((g) => [...(g ?? [])])});
      }
      const [whole, parts] = gradients as [(typeof gradients)[0], (typeof gradients)[0]];
      expect(parts.tokens).toBe(whole.tokens);
      expect(Math.abs(parts.loss - whole.loss) / whole.loss).toBeLessThan(1e-6);
      expect(Math.abs(parts.norm - whole.norm) / whole.norm).toBeLessThan(1e-6);
      expect(relativeError(parts.all, whole.all)).toBeLessThan(1e-6);
    });

    test('questions: the surest answer, with its confidence', async () => {
      const {examples} = await encodedRows(pipeline, 'vqa', 2);
      expect(examples.map(({key, confidence}) => [key, confidence])).toEqual([
        ['0/0', 1],
        ['1/0', 1],
      ]);
      const {source, target} = pipeline.questionTokens('how many shopping carts are there?');
      const answer = pipeline.answerTokens('one');
      expect(examples[0]).toMatchObject({source, inputs: [...target, ...answer]});
      expect(examples[0]!.targets).toEqual([...target.slice(1).map(() => 1), ...answer, 2]);
    });

    test('goes on from a state to the same bytes; frozen weights stay', async () => {
      const freeze = ['encoder.*', 'decoder.layers.*.fc?.*', 'decoder.layers.1.*'];
      expect(() => loop(captions, {freeze})).toThrow(expect.objectContaining({code: 'freeze-unknown'}));
      const changes = {
        freeze: ['encoder.*', 'decoder.layers.1.*'],
        dropWorst: 0.3,
        dropWorstAfter: 1,
        labelSmoothing: 0.1,
      };
      const whole = loop(captions, changes);
      const names = whole.parameters.weights.map(({name}) => name);
      expect(names).toContain('decoder.layers.0.fc1.weight');
      expect(names.filter((name) => /^encoder|layers\.1\./.test(name))).toEqual([]);
      await whole.step();
      await whole.step();
      const state = structuredClone(whole.state);
      await whole.step();
      await whole.step();
      expect(whole.finished).toBe(true);
      const wanted = digest(whole.state);
      const again = loop(captions, changes);
      again.restore(state);
      await again.step();
      await again.step();
      expect(digest(again.state)).toBe(wanted);
    });

    test('a batch without finite loss is skipped and counted; ten in a row are an error', async () => {
      const {examples, store} = await encodedRows(pipeline, 'snli-ve', 2);
      const training = loop({examples, store}, {updates: 20, batch: 1});
      const damaged = store.read(examples[0]!.key).fill(Number.NaN);
      expect(damaged.length).toBeGreaterThan(0);
      const [first, second] = [await training.step(), await training.step()];
      expect([first.skipped, second.skipped].at(-1)).toBe(1);
      expect(training.parameters.values.every((array) => array.every(Number.isFinite))).toBe(true);
      store.read(examples[1]!.key).fill(Number.NaN);
      const all = async (): Promise<void> => {
        while (!training.finished) await training.step();
      };
      await expect(all()).rejects.toMatchObject({code: 'training-diverged'});
      expect(training.state.skippedInARow).toBe(10);
    });

    test('an aborted step has not begun', async () => {
      const training = loop(entailments);
      const before = digest(training.state);
      await expect(training.step(AbortSignal.abort())).rejects.toMatchObject({code: 'aborted'});
      expect(digest(training.state)).toBe(before);
    });

    test('settings that cannot be are refused', () => {
      const refused = (changes: object): unknown =>
        expect(() => loop(entailments, changes)).toThrow(expect.objectContaining({code: 'setting-invalid'}));
      for (const changes of [{recipe: 'best'}, {learningRate: Number.NaN}, {updates: 0}, {dropWorst: 1}])
        refused(changes);
    });

    test('kept biases are those of the weights as they are now', async () => {
      using scope = new TensorScope();
      await loop(captions).step();
      pipeline.model.weightsChanged();
      const answer = await pipeline.caption(await firstPicture(), {num_beams: 1, max_new_tokens: 4});
      const weights = new Map(
        pipeline.model.module.trainableWeights.map((weight) => [weight.originalName, weight.read()]),
      );
      const fresh = scope.hold(await microModel('mue'));
      for (const weight of fresh.module.trainableWeights) weight.write(weights.get(weight.originalName)!);
      fresh.weightsChanged();
      const other = await microMue(fresh).caption(await firstPicture(), {num_beams: 1, max_new_tokens: 4});
      expect(other.score).toBe(answer.score);
    });
  },
  FIRST_DEVICE,
);
