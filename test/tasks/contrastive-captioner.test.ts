import type {RgbImage} from '../../src/data/image.js';
import type {AnswerOptions} from '../../src/tasks/generation-options.js';
import type {CocaPipeline} from '../../src/tasks/coca-processor.js';
import {TEMPLATES, zeroShotClassifier} from '../../src/tasks/zero-shot.js';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';
import {cocaCaptioner} from '../support/models/coca-captioner.js';
import {describeCoca} from '../support/golden/golden-coca.js';
import {valueWithoutLeaks, withoutLeaks} from '../support/leaks.js';

const FILES = ['fullvocab/open_clip_config.json', 'fullvocab/open_clip_model.safetensors'];
const picture: RgbImage = {width: 50, height: 40, data: Uint8Array.from({length: 6000}, (_, i) => (i * i) % 251)};

describeCoca('a contrastive captioner', FILES, () => {
  onBackends(
    'tasks',
    () => {
      let model: CocaPipeline;
      beforeAll(async () => {
        model = await cocaCaptioner();
      });
      afterAll(() => model[Symbol.dispose]());

      test('captions: beams by default, one beam is greedy and can be streamed', async () => {
        const beams = await valueWithoutLeaks(() => model.caption(picture, {max_new_tokens: 6}));
        expect(beams.hypotheses.length).toBe(2);
        expect(beams.tokens.length).toBeLessThanOrEqual(7);
        expect(Object.keys(beams.layers)).toEqual(['vision', 'text', 'multimodal']);
        const streamed: string[] = [];
        const greedy = await valueWithoutLeaks(() =>
          model.caption(picture, {num_beams: 1, max_new_tokens: 6, onToken: ({text}) => streamed.push(text)}),
        );
        expect(greedy.hypotheses.length).toBe(1);
        expect(streamed.at(-1)).toBe(greedy.text);
        expect(greedy.tokens.length).toBe(streamed.length);
        expect(await model.caption(picture, {top_k: 1, max_new_tokens: 6})).toMatchObject({
          text: greedy.text,
          score: greedy.score,
        });
      });
      test('words drawn by chance depend on the seed alone', async () => {
        const draw = async (seed: number) =>
          (await model.caption(picture, {top_p: 0.99, temperature: 3, seed, max_new_tokens: 8})).text;
        expect(await draw(1)).toBe(await draw(1));
        expect(await draw(2)).not.toBe(await draw(1));
      });
      test('a prompt is written on', async () => {
        const {tokens} = await valueWithoutLeaks(() =>
          model.prompt(picture, 'a photo of', {num_beams: 1, max_new_tokens: 3, min_length: 3}),
        );
        expect(tokens.length).toBe(3);
      });
      test('entailment: three captions are scored, and sum to one', async () => {
        const {text, scores, notes} = await valueWithoutLeaks(() => model.entail(picture, 'a dog'));
        expect(Object.values(scores).reduce((sum, score) => sum + Math.exp(score), 0)).toBeCloseTo(1, 6);
        expect(scores[text]).toBe(Math.max(...Object.values(scores)));
        expect(notes).toEqual([]);
        const long = await valueWithoutLeaks(() => model.entail(picture, 'a '.repeat(100)));
        expect(long.notes).toEqual([expect.stringContaining('its first 72 tokens are used')]);
      });
      test('embeddings are of unit length; a text that is cut says so', async () => {
        const {vector} = await valueWithoutLeaks(() => model.embedPicture(picture));
        expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
        const {vector: text, notes} = await valueWithoutLeaks(() => model.embedText('a '.repeat(100)));
        expect(Math.hypot(...text)).toBeCloseTo(1, 5);
        expect(notes).toEqual([expect.stringContaining('its last 26 tokens are cut off')]);
      });
      test('a fixed depth is run, and a stack that is not there is refused', async () => {
        const exit = {version: 1, mode: 'corrected', skippedKv: 'project'} as const;
        const early: AnswerOptions = {exit: {...exit, stacks: {vision: {policy: 'fixed', layers: 1}}}};
        const {layers, macs} = await valueWithoutLeaks(() => model.embedPicture(picture, early));
        expect(layers.vision).toEqual({run: 1, of: 2});
        expect(macs.run).toBeLessThan(macs.full);
        const other: AnswerOptions = {exit: {...exit, stacks: {decoder: {policy: 'fixed', layers: 1}}}};
        expect(() => model.resolveExits('embed', other.exit)).toThrow(
          expect.objectContaining({code: 'plan-stack', exitCode: 2}),
        );
      });
      test.each([
        ['a question', () => model.ask(picture, 'what is it?'), 'task-unsupported'],
        ['a premise', () => model.entail(picture, 'a dog', {premise: 'a cat'}), 'task-unsupported'],
        ['an empty hypothesis', () => model.entail(picture, ' \n'), 'text-empty'],
        ['a prompt without room', () => model.prompt(picture, 'a '.repeat(80)), 'text-too-long'],
        ['beams that draw', () => model.caption(picture, {num_beams: 2, top_k: 4}), 'option-conflict'],
        ['both filters by classic rules', () => model.caption(picture, {top_p: 0.5, top_k: 4}), 'option-conflict'],
        ['a length penalty', () => model.caption(picture, {length_penalty: 0.8}), 'option-unsupported'],
        ['half a beam', () => model.caption(picture, {num_beams: 1.5}), 'option-invalid'],
        ['no temperature', () => model.caption(picture, {temperature: 0}), 'option-invalid'],
        ['a probability above 1', () => model.caption(picture, {top_p: 1.5}), 'option-invalid'],
        ['a stream of beams', () => model.caption(picture, {num_beams: 2, onToken: () => undefined}), 'stream-beams'],
        ['a skipped-K/V mode that it lacks', () => model.caption(picture, {exit: 'release'}), 'plan-stack'],
        ['bytes that are no picture', () => model.embedPicture(Uint8Array.of(1, 2, 3)), 'image-format'],
        ['no labels', () => zeroShotClassifier(model, []), 'labels-empty'],
        ['a label twice', () => zeroShotClassifier(model, ['a', 'b', 'a']), 'labels-duplicate'],
        [
          'a template without a place',
          () => zeroShotClassifier(model, ['a'], [...TEMPLATES, 'a photo']),
          'templates-invalid',
        ],
        ['an abort', () => model.caption(picture, {signal: AbortSignal.abort()}), 'aborted'],
      ] as const)('refused: %s', async (_, run, code) => {
        expect(await withoutLeaks<unknown>(run)).toEqual({error: expect.objectContaining({code})});
      });
    },
    FIRST_DEVICE,
  );
});
