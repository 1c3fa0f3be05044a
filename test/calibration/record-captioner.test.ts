import {afterAll, beforeAll, expect, test} from '@jest/globals';
import type {RgbImage} from '../../src/data/image.js';
import {combinations, recordEntailment} from '../../src/calibration/record-entailment.js';
import {type EvaluationSetup, evaluationMetrics} from '../../src/calibration/evaluation-metrics.js';
import {type ExitPlan, NEVER_PLAN} from '../../src/exit/plan.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import type {ContrastiveCaptioner} from '../../src/tasks/contrastive-captioner.js';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';
import {cocaCaptioner} from '../support/coca-captioner.js';
import {describeCoca} from '../support/golden-coca.js';
import {valueWithoutLeaks} from '../support/leaks.js';

const FILES = ['fullvocab/open_clip_config.json', 'fullvocab/open_clip_model.safetensors'];
const picture: RgbImage = {width: 50, height: 40, data: Uint8Array.from({length: 6000}, (_, i) => (i * i) % 251)};
const STACKS = ['vision', 'text', 'multimodal'] as const;

describeCoca('a recording of three towers', FILES, () => {
  onBackends(
    'recording',
    () => {
      let model: ContrastiveCaptioner;
      beforeAll(async () => {
        model = await cocaCaptioner();
      });
      afterAll(() => model[Symbol.dispose]());

      const plan = (stacks: ExitPlan['stacks']): ExitPlan => ({...NEVER_PLAN, stacks});

      test('every combination of depths is what entailment with these depths gives', async () => {
        const record = await valueWithoutLeaks(async () => {
          using scope = new TensorScope();
          const pixels = scope.hold(await model.pixels(picture));
          const depths = scope.hold(await model.model.pictureDepths(pixels));
          const {source, target, answers} = model.entailmentTokens('a dog');
          return await recordEntailment(
            model.model,
            depths,
            source,
            target,
            answers.map(([word]) => word!),
          );
        });
        const all = STACKS.map((stack) => model.model.stacks[stack]!);
        expect(record.encoder.map(({length}) => length)).toEqual(all.slice(0, 2));
        for (const [cell, depths] of combinations(all).entries()) {
          const fixed = Object.fromEntries(STACKS.map((stack, i) => [stack, {policy: 'fixed', layers: depths[i]!}]));
          const {scores, macs} = await model.entail(picture, 'a dog', {exit: plan(fixed)});
          const logits = [...record.logits.subarray(cell * 3, cell * 3 + 3)];
          const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
          for (const [i, score] of Object.values(scores).entries()) expect(logits[i]! - total).toBeCloseTo(score, 3);
          expect(record.macs[cell]).toBe(macs.run);
        }
        // What a policy would have seen: the threshold is never met, so every layer but the last is measured.
        const looking = Object.fromEntries(STACKS.map((stack) => [stack, {policy: 'similarity', threshold: 0.9999999}]));
        const {trace} = await model.entail(picture, 'a dog', {exit: plan(looking)});
        for (const [i, stack] of (['vision', 'text'] as const).entries())
          expect(record.encoder[i]![0]).toBeCloseTo(trace.find((one) => one.stack === stack)!.scores[0]!, 4);
        const deepest = record.similarity.subarray(record.similarity.length - all[2]!);
        expect(deepest[0]).toBeCloseTo(trace.find(({stack}) => stack === 'multimodal')!.scores[0]!, 4);
      });
    },
    FIRST_DEVICE,
  );
});

test('layers of three towers are counted one by one, those of two streams by their mean', () => {
  const setup = (depths: EvaluationSetup['depths']): EvaluationSetup => ({
    task: 'caption',
    model: {name: 'm', sha256: null},
    depths,
    data: {name: 'd'},
    exit: NEVER_PLAN,
    device: 'cpu',
    threads: null,
  });
  const row = (layers: object) =>
    ({layers, macs: {run: 1, full: 2}, ms: {total: 1, wall: 1, encode: 0, decode: 0, preprocess: 0, image: 0}, answer: ''}) as never;
  const towers = row({vision: 2, text: [1, 3], multimodal: [4, 4]});
  expect(evaluationMetrics([towers], setup({vision: 4, text: 4, multimodal: 4}), {unreadable: 0, failed: 0}).etr).toBeCloseTo(
    1 - 8 / 12,
    12,
  );
  const streams = row({'encoder.image': 2, 'encoder.text': 4, decoder: [1, 3]});
  const depths = {'encoder.image': 4, 'encoder.text': 4, decoder: 4};
  expect(evaluationMetrics([streams], setup(depths), {unreadable: 0, failed: 0}).etr).toBeCloseTo(1 - 5 / 8, 12);
});
