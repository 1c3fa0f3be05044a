import fs from 'node:fs';
import path from 'node:path';
import type {RgbImage} from '../../src/data/image.js';
import {type ExitPlan, NEVER_PLAN} from '../../src/exit/plan/schema.js';
import {loadModel} from '../../src/node/model/load-model.js';
import type {Answer} from '../../src/tasks/answer.js';
import type {CocaPipeline} from '../../src/tasks/coca-processor.js';
import type {ExitChoice} from '../../src/tasks/exits.js';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';
import {valueWithoutLeaks} from '../support/leaks.js';
import {cocaCaptioner} from '../support/models/coca-captioner.js';
import {describeCoca} from '../support/golden/golden-coca.js';

const FILES = ['fullvocab/open_clip_config.json', 'fullvocab/open_clip_model.safetensors'];
const SCENES = path.join(import.meta.dirname, '..', '..', 'data', 'scenes');

function expectSame(draft: Answer, full: Answer): NonNullable<Answer['drafting']> {
  expect(draft.tokens).toEqual(full.tokens);
  expect(draft.text).toBe(full.text);
  expect(Math.abs(draft.score - full.score)).toBeLessThan(1e-5);
  expect(draft.layers).toEqual(full.layers);
  expect(draft.macs.full).toBe(full.macs.full);
  return draft.drafting!;
}

/** Pictures of the test captions. */
const pictures = fs
  .readFileSync(path.join(SCENES, 'caption-test.jsonl'), 'utf8')
  .split('\n', 20)
  .map((line) => fs.readFileSync(path.join(SCENES, (JSON.parse(line) as {image: string}).image)));

onBackends(
  'lossless captions',
  () => {
    test.each(['scenes-mue', 'scenes-coca'])('%s: twenty are those of never, in fewer layer calls', async (name) => {
      using pipeline = await loadModel(name);
      let calls = 0;
      let layers = 0;
      for (const picture of pictures) {
        const full = await pipeline.caption(picture, {num_beams: 1, exit: 'never'});
        const {kept, layerCalls} = expectSame(await pipeline.caption(picture, {num_beams: 1, exit: 'lossless'}), full);
        calls += layerCalls;
        layers += kept * full.trace.at(-1)!.depth;
      }
      expect(calls).toBeLessThan(layers * 0.6);
    });
  },
  FIRST_DEVICE,
);

describeCoca('lossless drafts of a contrastive captioner', FILES, () => {
  onBackends(
    'tasks',
    () => {
      let model: CocaPipeline;
      beforeAll(async () => {
        model = await cocaCaptioner();
      });
      afterAll(() => model[Symbol.dispose]());

      const some = [251, 13, 101].map(
        (n): RgbImage => ({
          width: 50,
          height: 40,
          data: Uint8Array.from({length: 6000}, (_, i) => ((i * i) % n) * Math.floor(255 / n)),
        }),
      );
      const drafts = (draftLength: number): ExitPlan => ({
        ...NEVER_PLAN,
        stacks: {multimodal: {policy: 'draft', layers: 1, threshold: 0, draftLength}},
      });
      const calls = {
        greedy: {num_beams: 1, max_new_tokens: 8},
        'current rules, repetitions penalized': {
          num_beams: 1,
          rules: 'current',
          repetition_penalty: 1.5,
          max_new_tokens: 8,
        },
        'a least length': {num_beams: 1, min_length: 8, max_new_tokens: 10},
        'sampled by a seed': {top_p: 0.95, temperature: 2, seed: 3, max_new_tokens: 8},
      } as const;
      test.each(Object.entries(calls))('%s: tokens and scores are those of never', async (_name, options) => {
        for (const most of [1, 3, 8]) {
          const full = await model.caption(some[0]!, {...options, exit: 'never'});
          expectSame(await valueWithoutLeaks(() => model.caption(some[0]!, {...options, exit: drafts(most)})), full);
        }
      });
      test('a prompt, and a batch in which every picture drafts for itself', async () => {
        const ask = (exit: ExitChoice): Promise<Answer> =>
          model.prompt(some[0]!, 'a photo of', {num_beams: 1, max_new_tokens: 6, exit});
        expectSame(await ask(drafts(4)), await ask('never'));
        const batch = (exit: ExitChoice): Promise<readonly Answer[]> =>
          model.captionAll(some, {num_beams: 1, max_new_tokens: 8, exit});
        const full = await batch('never');
        for (const [i, answer] of (await valueWithoutLeaks(() => batch(drafts(8)))).entries())
          expectSame(answer, full[i]!);
      });
    },
    FIRST_DEVICE,
  );
});
