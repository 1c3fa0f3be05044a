import type {RgbImage} from '../../src/data/image.js';
import {type ExitPlan, NEVER_PLAN} from '../../src/exit/plan/schema.js';
import {thresholdPlan} from '../../src/exit/plan/presets.js';
import type {Answer} from '../../src/tasks/answer.js';
import type {ExitChoice} from '../../src/tasks/exits.js';
import type {OfaPipeline} from '../../src/tasks/ofa-processor.js';
import {onBackends} from '../support/backends.js';
import {type BatchCall, compareBatch, thresholdBetween} from '../support/models/batch.js';
import {golden} from '../support/golden/golden.js';
import {withoutLeaks} from '../support/leaks.js';
import {useMicroModels} from '../support/models/use-micro-models.js';

const inputs = golden('snli_ve_inputs.safetensors');
const three = inputs['caption_batch3.rgb_u8']!.data as Uint8Array;
const SIZE = 64 * 64 * 3;
const pictures = [0, 1, 2].map((b): RgbImage => ({width: 64, height: 64, data: three.slice(b * SIZE, (b + 1) * SIZE)}));

const HYPOTHESES = ['a dog', 'two people on the grass with a dog', 'a man is there'];
const QUESTIONS = ['what is it', 'what is the man on the left side of it', 'how many dogs are there'];
const ANSWERS = ['a man', 'two people', 'dog'];

const search = {num_beams: 3, max_new_tokens: 6};
const asked = QUESTIONS.map((question, i) => ({picture: pictures[i]!, question}));
const ask = (options: object): BatchCall => ({
  alone: (mue, i, exit) => mue.ask(pictures[i]!, QUESTIONS[i]!, {...options, exit}),
  together: (mue, exit) => mue.askAll(asked, {...options, exit}),
});
const CALLS: Readonly<Record<string, BatchCall>> = {
  captions: {
    alone: (mue, i, exit) => mue.caption(pictures[i]!, {...search, exit}),
    together: (mue, exit) => mue.captionAll(pictures, {...search, exit}),
  },
  entailment: {
    alone: (mue, i, exit) => mue.entail(pictures[i]!, HYPOTHESES[i]!, {exit}),
    together: (mue, exit) =>
      mue.entailAll(
        HYPOTHESES.map((hypothesis, i) => ({picture: pictures[i]!, hypothesis})),
        {exit},
      ),
  },
  'questions, allowed answers': ask({num_beams: 3, answers: ANSWERS}),
  'questions, any words': ask({num_beams: 2, max_new_tokens: 3}),
  'questions, every candidate': ask({answers: ANSWERS, method: 'all-candidates'}),
};
const calls = Object.entries(CALLS);

onBackends('batch', () => {
  const {mues} = useMicroModels();

  const compare = (call: BatchCall, mue: OfaPipeline, exit: ExitChoice): Promise<readonly Answer[]> =>
    compareBatch(call, mue, pictures.length, exit);

  test.each(calls)('%s: at full depth, plain and MuE', async (_name, call) => {
    await compare(call, mues.plain, 'never');
    await compare(call, mues.mue, NEVER_PLAN);
  });

  test.each(calls)('%s: every picture leaves by itself', async (_name, call) => {
    const looking = thresholdPlan({image: 0.999999, text: 0.999999, decoder: 0.999999});
    const measured = await compare(call, mues.mue, looking);
    const plan = thresholdPlan({
      image: thresholdBetween(measured, 'encoder.image'),
      text: thresholdBetween(measured, 'encoder.text'),
      decoder: thresholdBetween(measured, 'decoder'),
    });
    const answers = await compare(call, mues.mue, plan);
    for (const stack of ['encoder.image', 'decoder'] as const)
      expect(new Set(answers.map(({layers}) => JSON.stringify(layers[stack]!.run))).size).toBeGreaterThan(1);
  });

  test.each(
    Object.entries({
      margins: {policy: 'softmax-margin', threshold: 0.01},
      'the last position': {policy: 'cosine-last', threshold: 0.9},
      patience: {policy: 'patience', patience: 2},
      'chance, of each the same': {policy: 'random', histogram: [1, 1, 1, 1], seed: 5},
    }),
  )('decoders that leave by %s', async (_name, decoder) => {
    const exit: ExitPlan = {...NEVER_PLAN, stacks: {decoder}};
    for (const name of ['captions', 'entailment', 'questions, allowed answers'])
      await compare(CALLS[name]!, mues.mue, exit);
  });

  test('what pictures cannot decide each for itself is refused', async () => {
    const refused = async (exit: ExitChoice): Promise<unknown> =>
      withoutLeaks(() => mues.mue.captionAll(pictures, {...search, exit}));
    expect(await refused('release')).toMatchObject({error: {code: 'batch-reference', exitCode: 2}});
    const policy = {name: 'own', observe: () => Promise.resolve({exit: false})};
    expect(await refused({policy})).toMatchObject({error: {code: 'batch-policy', exitCode: 2}});
    expect(await refused({...NEVER_PLAN, skippedKv: 'copy'})).toMatchObject({
      error: {code: 'batch-skipped-kv', exitCode: 2},
    });
    expect(await mues.mue.captionAll([])).toEqual([]);
  });
});
