import type {RgbImage} from '../../../src/data/image.js';
import {fixed} from '../../../src/exit/policies/static.js';
import {type ExitPlan, NEVER_PLAN} from '../../../src/exit/plan/schema.js';
import {thresholdPlan} from '../../../src/exit/plan/presets.js';
import {type ExitPolicy, never, type StackName, stackPolicies} from '../../../src/exit/policy.js';
import {SKIPPED_KV, type SkippedKv} from '../../../src/exit/stacks.js';
import {taskLoss} from '../../../src/models/ofa/loss.js';
import {TensorScope} from '../../../src/runtime/tensor-scope.js';
import type {AnswerOptions} from '../../../src/tasks/generation-options.js';
import type {OfaPipeline} from '../../../src/tasks/ofa-processor.js';
import {FIRST_DEVICE, onBackends} from '../../support/backends.js';
import {withoutLeaks} from '../../support/leaks.js';
import {microModel} from '../../support/models/micro-model.js';
import {microMue} from '../../support/models/micro-mue.js';

// Tensor and buffer counts before and after every public call, however it ends.

const picture: RgbImage = {width: 20, height: 30, data: Uint8Array.from({length: 1800}, (_, i) => (i * 37) % 256)};
const text = (words: string): Uint8Array => new TextEncoder().encode(words);

type Call = (mue: OfaPipeline, options: AnswerOptions) => Promise<unknown>;
const CALLS: Readonly<Record<string, Call>> = {
  caption: (mue, options) => mue.caption(picture, {...options, num_beams: 3, max_new_tokens: 6}),
  'caption, one beam': (mue, options) =>
    mue.caption(picture, {...options, num_beams: 1, max_new_tokens: 6, onToken: () => undefined}),
  entail: (mue, options) => mue.entail(picture, 'a dog', {...options, premise: 'two people'}),
  ask: (mue, options) =>
    mue.ask(picture, 'what is it', {...options, num_beams: 2, max_new_tokens: 4, objects: ['dog']}),
  'ask, trie': (mue, options) =>
    mue.ask(picture, 'what is it', {...options, num_beams: 3, answers: ['a man', 'two people', 'dog']}),
  'ask, all candidates': (mue, options) =>
    mue.ask(picture, 'what is it', {...options, answers: ['a man', 'two people', 'dog'], method: 'all-candidates'}),
  prompt: (mue, options) => mue.prompt(picture, 'is it red?', {...options, num_beams: 2, max_new_tokens: 5}),
};
const calls = Object.entries(CALLS);

/** Leaves each stack at another depth every time. */
const restless = (): ExitPolicy => {
  let passes = 0;
  const depths = [1, 4, 2, 1, 3];
  return {
    name: 'restless',
    observe: (_before, _after, {layer, depth}) => {
      if (layer === 1) passes++;
      return Promise.resolve({exit: layer < depth && layer >= depths[passes % depths.length]!});
    },
  };
};

/** Does something at the n-th decision, from 0. */
const atDecision = (n: number, what: () => void): ExitPolicy => {
  let seen = 0;
  return {
    name: 'at-decision',
    observe: (_before, _after, at, logits) => {
      if (at.stack === 'decoder') logits();
      if (seen++ === n) what();
      return Promise.resolve({exit: false});
    },
  };
};

onBackends(
  'memory',
  () => {
    let mue: OfaPipeline;
    let plain: OfaPipeline;
    beforeAll(async () => {
      mue = microMue(await microModel('mue'));
      plain = microMue(await microModel('plain'));
    });
    afterAll(() => {
      for (const owned of [mue, plain]) owned[Symbol.dispose]();
    });

    const plans: Readonly<Record<string, ExitPlan>> = {
      never: NEVER_PLAN,
      corrected: thresholdPlan({image: 0.89, text: 0.92, decoder: 0.88}),
      reference: thresholdPlan({image: 0.89, text: 0.92, decoder: 0.9, mode: 'reference'}),
    };
    describe.each(Object.entries(plans))('%s', (_plan, exit) => {
      test.each(calls)('%s', async (_name, call) =>
        expect(await withoutLeaks(() => call(mue, {exit}))).toHaveProperty('value.text'),
      );
    });
    test.each(calls)('plain model, %s', async (_name, call) => {
      expect(await withoutLeaks(() => call(plain, {exit: 'model'}))).toHaveProperty('value.text');
    });

    describe.each(SKIPPED_KV)('skipped keys and values: %s', (skippedKv: SkippedKv) => {
      test.each(calls)('%s', async (_name, call) => {
        expect(await withoutLeaks(() => call(mue, {exit: {policy: restless(), skippedKv}}))).toHaveProperty(
          'value.text',
        );
      });
      test('several pictures, of which some are done before others', async () => {
        const {model} = mue;
        const result = await withoutLeaks(async () => {
          using scope = new TensorScope();
          const pixels = scope.hold(await mue.pixels(picture));
          const two = scope.hold(pixels.concat(pixels));
          const encoded = scope.hold(
            await model.encode(
              {
                pixels: two,
                prompts: [
                  [0, 99, 2],
                  [0, 5, 7, 99, 2],
                ],
              },
              restless(),
            ),
          );
          const decoding = scope.hold(model.startDecoding(encoded, 2, 8, skippedKv));
          const policy = restless();
          for (const rows of [
            [1, 0, 3, 3],
            [0, 0, 2, 3],
            [3, 2],
            [0, 0],
            [1, 0],
          ]) {
            const tokens = rows.length === 4 || rows[0] === 3 ? [0, 10, 20, 1] : [30, 40];
            scope.hold((await decoding.step(tokens, policy)).logits);
            decoding.reorder(rows);
          }
          return decoding.macs[0]!.run;
        });
        expect(result).toEqual({value: expect.any(Number)});
      });
    });

    // Decisions of a full caption: 3 of the text, 3 of the picture, 4 a step.
    describe.each(calls)('%s, stopped', (_name, call) => {
      test.each([0, 2, 3, 5, 6, 8, 9, 11])('by a signal at decision %d', async (n) => {
        const controller = new AbortController();
        const policy = atDecision(n, () => controller.abort());
        // After the very last decision nothing is left to stop.
        const result = await withoutLeaks(() => call(mue, {exit: {policy}, signal: controller.signal}));
        if (n < 9) expect(result).toMatchObject({error: {code: 'aborted', exitCode: 130}});
      });
      test('by a signal before it begins', async () => {
        const signal = AbortSignal.abort();
        expect(await withoutLeaks(() => call(mue, {exit: 'never', signal}))).toMatchObject({error: {code: 'aborted'}});
      });
      test.each([0, 3, 7])('by an error of the policy at decision %d', async (n) => {
        const policy = atDecision(n, () => {
          throw new Error('broken policy');
        });
        expect(await withoutLeaks(() => call(mue, {exit: {policy}}))).toMatchObject({
          error: {message: 'broken policy'},
        });
      });
      const one = (stack: string, plan: object): ExitPlan =>
        ({...NEVER_PLAN, stacks: {[stack as StackName]: plan}}) as ExitPlan;
      test.each([
        ['an unknown policy', one('decoder', {policy: 'guess'}), 'plan-policy'],
        ['a stack of other models', one('encoder', {policy: 'fixed', layers: 1}), 'plan-stack'],
        ['a threshold of NaN', one('decoder', {policy: 'similarity', threshold: Number.NaN}), 'threshold-invalid'],
        ['word scores of a picture', one('encoder.image', {policy: 'softmax-margin', threshold: 0.5}), 'plan-logits'],
        ['another task', {...NEVER_PLAN, task: 'something'}, 'plan-task'],
      ] as const)('by a plan with %s', async (_what, exit, code) => {
        expect(await withoutLeaks(() => call(mue, {exit}))).toMatchObject({error: {code, exitCode: 2}});
      });
    });

    test.each([
      ['text', text('no picture')],
      ['nothing', new Uint8Array()],
      ['a cut PNG', text('\u0089PNG\r\n\u001a\n')],
    ] as const)('a picture that is %s', async (_what, bytes) => {
      const result = await withoutLeaks(() => mue.caption(bytes));
      expect(result).toMatchObject({error: {exitCode: 1}});
    });
    test('a picture whose data does not fit its size', async () => {
      expect(await withoutLeaks(() => mue.caption({...picture, height: 31}))).toMatchObject({error: {exitCode: 1}});
    });
    test('empty and endless texts', async () => {
      for (const words of ['', ' \n', 'dog '.repeat(10_000)]) {
        expect(await withoutLeaks(() => mue.entail(picture, words))).toMatchObject({error: {exitCode: 1}});
        expect(await withoutLeaks(() => mue.ask(picture, words))).toMatchObject({error: {exitCode: 1}});
        expect(await withoutLeaks(() => mue.prompt(picture, words))).toMatchObject({error: {exitCode: 1}});
      }
    });
    test('a question that leaves no room for an answer', async () => {
      const question = Array.from({length: 80}, (_, i) => `${i}${i}${i}`).join(' ');
      expect(await withoutLeaks(() => mue.ask(picture, question))).toMatchObject({
        error: {code: 'text-too-long', exitCode: 1},
      });
    });
    test('options that make no sense', async () => {
      for (const options of [
        {num_beams: 0},
        {max_new_tokens: 1.5},
        {temperature: 0},
        {length_penalty: Number.NaN},
        {min_length: -1},
      ])
        expect(await withoutLeaks(() => mue.caption(picture, options))).toMatchObject({
          error: {code: 'option-invalid'},
        });
      expect(await withoutLeaks(() => mue.caption(picture, {onToken: () => undefined}))).toMatchObject({
        error: {code: 'stream-beams'},
      });
      expect(await withoutLeaks(() => mue.ask(picture, 'what', {answers: [' ']}))).toMatchObject({
        error: {code: 'answers-empty'},
      });
    });
    test('a listener that throws', async () => {
      const onToken = (): void => {
        throw new Error('enough');
      };
      expect(await withoutLeaks(() => mue.caption(picture, {num_beams: 1, onToken}))).toMatchObject({
        error: {message: 'enough'},
      });
    });

    test('every depth of a picture in a joint encoder, and an abort', async () => {
      const run = (signal?: AbortSignal) =>
        withoutLeaks(async () => {
          using scope = new TensorScope();
          const pixels = scope.hold(await plain.pixels(picture));
          const depths = scope.hold(await plain.model.imageStates(pixels));
          const prompt = scope.hold(await depths.withPrompt([0, 99, 2], {signal}));
          const combined = scope.hold(prompt.combine([[1], [3]]));
          const targets = [
            [0, 10, 20],
            [0, 30, 1],
          ];
          scope.hold((await plain.model.score(combined, {targets, at: [{row: 0, position: 2}]}, never)).logits);
          return combined.images;
        });
      expect(await run()).toEqual({value: 2});
      expect(await run(AbortSignal.abort())).toHaveProperty('error.name', 'AbortError');
    });

    test('every depth of a picture, and a loss', async () => {
      const {model} = mue;
      const finished = await withoutLeaks(async () => {
        using scope = new TensorScope();
        const pixels = scope.hold(await mue.pixels(picture));
        const depths = scope.hold(await model.imageStates(pixels));
        const prompt = scope.hold(await depths.withPrompt([0, 99, 2]));
        const combined = scope.hold(
          prompt.combine([
            [1, 3],
            [3, 1],
          ]),
        );
        const targets = [
          [0, 10, 20],
          [0, 30, 1],
        ];
        expect((await taskLoss(model, combined, {inputs: targets, targets})).sampleSize).toBe(5);
        scope.hold((await model.score(combined, {targets, at: [{row: 0, position: 2}]}, fixed({layers: 2}))).logits);
        const left = scope.hold(model.startDecoding(combined, 1, 4, 'project'));
        scope.hold((await left.step([0, 0], never)).logits);
        return left.macs[0]!.run;
      });
      expect(finished).toEqual({value: expect.any(Number)});
      const failing = stackPolicies({
        decoder: atDecision(2, () => {
          throw new Error('stop');
        }),
      });
      const result = await withoutLeaks(async () => {
        using scope = new TensorScope();
        const pixels = scope.hold(await mue.pixels(picture));
        const encoded = scope.hold(await model.encode({pixels, prompts: [[0, 99, 2]]}, never));
        return await model.score(encoded, {targets: [[0, 5]], at: [{row: 0, position: 1}]}, failing);
      });
      expect(result).toMatchObject({error: {message: 'stop'}});
    });
  },
  FIRST_DEVICE,
);
