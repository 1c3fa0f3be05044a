import type {RgbImage} from '../../src/data/image.js';
import {type ExitPlan, NEVER_PLAN} from '../../src/exit/plan/schema.js';
import type {CocaPipeline} from '../../src/tasks/coca-processor.js';
import {onBackends} from '../support/backends.js';
import {type BatchCall, compareBatch, thresholdBetween} from '../support/models/batch.js';
import {cocaCaptioner} from '../support/models/coca-captioner.js';
import {describeCoca} from '../support/golden/golden-coca.js';
import {withoutLeaks} from '../support/leaks.js';

const FILES = ['fullvocab/open_clip_config.json', 'fullvocab/open_clip_model.safetensors'];
const STACKS = ['vision', 'text', 'multimodal'] as const;
const pictures = [251, 13, 101].map(
  (n): RgbImage => ({
    width: 50,
    height: 40,
    data: Uint8Array.from({length: 6000}, (_, i) => ((i * i) % n) * Math.floor(255 / n)),
  }),
);
const HYPOTHESES = ['a dog', 'two people on the grass with a dog', 'a man is there'];

const captions = (options: object): BatchCall => ({
  alone: (model, i, exit) => model.caption(pictures[i]!, {max_new_tokens: 6, ...options, exit}),
  together: (model, exit) => model.captionAll(pictures, {max_new_tokens: 6, ...options, exit}),
});
const CALLS: Readonly<Record<string, BatchCall>> = {
  'captions by beams': captions({num_beams: 2}),
  'captions by beams, current rules': captions({num_beams: 2, rules: 'current'}),
  'captions, greedy': captions({num_beams: 1}),
  'captions drawn by chance': captions({top_p: 0.95, temperature: 2, seed: 3}),
  entailment: {
    alone: (model, i, exit) => model.entail(pictures[i]!, HYPOTHESES[i]!, {exit}),
    together: (model, exit) =>
      model.entailAll(
        HYPOTHESES.map((hypothesis, i) => ({picture: pictures[i]!, hypothesis})),
        {exit},
      ),
  },
};

describeCoca('a batch of a contrastive captioner', FILES, () => {
  onBackends(
    'batch',
    () => {
      let model: CocaPipeline;
      beforeAll(async () => {
        model = await cocaCaptioner();
      });
      afterAll(() => model[Symbol.dispose]());

      test.each(Object.entries(CALLS))(
        '%s: every picture leaves by itself, and gets what it gets alone',
        async (_name, call) => {
          await compareBatch(call, model, pictures.length, 'never');
          const by = (thresholds: readonly number[]): ExitPlan => ({
            ...NEVER_PLAN,
            stacks: Object.fromEntries(
              STACKS.map((stack, i) => [stack, {policy: 'similarity', threshold: thresholds[i]!}]),
            ),
          });
          const measured = await compareBatch(call, model, pictures.length, by([0.999999, 0.999999, 0.999999]));
          const answers = await compareBatch(
            call,
            model,
            pictures.length,
            by(STACKS.map((stack) => thresholdBetween(measured, stack))),
          );
          const layers = (stack: (typeof STACKS)[number]): number =>
            new Set(answers.map((one) => JSON.stringify(one.layers[stack]!.run))).size;
          expect(STACKS.some((stack) => layers(stack) > 1)).toBe(true);
          expect(layers('vision')).toBeGreaterThan(1);
        },
      );

      test('a policy that remembers is made anew for each picture', async () => {
        const exit: ExitPlan = {...NEVER_PLAN, stacks: {multimodal: {policy: 'random', histogram: [1, 1], seed: 5}}};
        await compareBatch(CALLS['captions, greedy']!, model, pictures.length, exit);
      });

      test('word scores that a decision computed are not computed again', async () => {
        const exit: ExitPlan = {...NEVER_PLAN, stacks: {multimodal: {policy: 'softmax-margin', threshold: 0.01}}};
        await compareBatch(CALLS['captions by beams']!, model, pictures.length, exit);
        await compareBatch(CALLS['entailment']!, model, pictures.length, exit);
      });

      test.each([
        ['a stream', () => model.captionAll(pictures, {num_beams: 1, onToken: () => undefined}), 'stream-beams'],
        [
          'caches of skipped layers that are copied',
          () => model.captionAll(pictures, {exit: {...NEVER_PLAN, skippedKv: 'copy'}}),
          'batch-skipped-kv',
        ],
        [
          'one decision for all',
          () => model.captionAll(pictures, {exit: {...NEVER_PLAN, mode: 'reference'}}),
          'batch-reference',
        ],
      ] as const)('refused: %s', async (_, run, code) => {
        expect(await withoutLeaks<unknown>(run)).toEqual({error: expect.objectContaining({code})});
      });

      test('of no picture, nothing', async () => {
        expect(await model.captionAll([])).toEqual([]);
        expect(await model.entailAll([])).toEqual([]);
      });
    },
    // The slow suites' own backend, cpu, takes minutes for a vocabulary of this size.
    ['wasm'],
  );
});
