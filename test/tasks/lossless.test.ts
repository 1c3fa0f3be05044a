import type {RgbImage} from '../../src/data/image.js';
import {type ExitPlan, NEVER_PLAN} from '../../src/exit/plan/schema.js';
import type {StackName} from '../../src/exit/policy.js';
import type {Answer} from '../../src/tasks/answer.js';
import type {ExitChoice} from '../../src/tasks/exits.js';
import type {GenerateOptions} from '../../src/tasks/generation-options.js';
import type {VisionLanguagePipeline} from '../../src/tasks/pipeline.js';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';
import {valueWithoutLeaks, withoutLeaks} from '../support/leaks.js';
import {microMue} from '../support/models/micro-mue.js';
import {seededAdapters} from '../support/models/seeded-adapters.js';
import {useMicroModels} from '../support/models/use-micro-models.js';

// Drafts that full depth verifies give full depth's answer, whatever is drafted. The models have random weights, so that
// an early layer is mostly wrong.

const pictures = [251, 13, 101].map(
  (n): RgbImage => ({
    width: 50,
    height: 40,
    data: Uint8Array.from({length: 6000}, (_, i) => ((i * i) % n) * Math.floor(255 / n)),
  }),
);

/** Drafts by `layers` layers up to so many tokens, however doubtful by default. */
const drafts = (stack: StackName, layers: number, draftLength: number, threshold = 0): ExitPlan => ({
  ...NEVER_PLAN,
  stacks: {[stack]: {policy: 'draft', layers, threshold, draftLength}},
});

/** Checks what an answer may not differ in. @returns what was drafted */
function expectSame(draft: Answer, full: Answer): NonNullable<Answer['drafting']> {
  expect(draft.hypotheses.map(({tokens, text}) => ({tokens, text}))).toEqual(
    full.hypotheses.map(({tokens, text}) => ({tokens, text})),
  );
  expect(Math.abs(draft.score - full.score)).toBeLessThan(1e-5);
  expect(draft.layers).toEqual(full.layers);
  expect(draft.macs.full).toBe(full.macs.full);
  expect(draft.trace.map(({stack, step, exited}) => [stack, step, exited])).toEqual(
    full.trace.map(({stack, step, exited}) => [stack, step, exited]),
  );
  const {drafting} = draft;
  expect(drafting!.positions).toBeGreaterThanOrEqual(drafting!.kept);
  return drafting!;
}

type Ask = (pipeline: VisionLanguagePipeline, options: GenerateOptions, i?: number) => Promise<Answer>;
const caption: Ask = (pipeline, options, i = 0) =>
  pipeline.caption(pictures[i]!, {num_beams: 1, max_new_tokens: 10, ...options});

onBackends(
  'lossless',
  () => {
    const {mues} = useMicroModels();

    const calls: Readonly<Record<string, Ask>> = {
      caption,
      'caption without repeated n-grams': (pipeline, options) =>
        caption(pipeline, {...options, no_repeat_ngram_size: 2}),
      'caption of a least length': (pipeline, options) => caption(pipeline, {...options, min_length: 9}),
    };
    const questions: Readonly<Record<string, object>> = {
      'any words': {max_new_tokens: 6},
      'allowed answers': {answers: ['a man', 'two people on the grass', 'two people']},
    };

    test.each([
      [1, 8],
      [2, 3],
      [3, 8],
      [1, 1],
    ])('%d layers draft up to %d tokens: tokens, scores and traces are those of never', async (layers, most) => {
      for (const kind of ['plain', 'mue'] as const)
        for (const ask of Object.values(kind === 'mue' ? calls : {caption})) {
          const full = await ask(mues[kind], {exit: 'never'});
          const draft = await valueWithoutLeaks(() => ask(mues[kind], {exit: drafts('decoder', layers, most)}));
          const {positions, kept, rounds, layerCalls} = expectSame(draft, full);
          expect(kept).toBe(full.trace.filter(({stack}) => stack === 'decoder').length);
          expect(layerCalls).toBe(positions * layers + rounds * (4 - layers));
          if (most === 1) expect([positions, rounds]).toEqual([kept, kept]);
        }
    });

    test.each(Object.entries(questions))('a question, %s: the prompt is no draft', async (_name, options) => {
      const ask = (exit: ExitChoice): Promise<Answer> =>
        mues.mue.ask(pictures[0]!, 'what is the man on the left', {num_beams: 1, ...options, exit});
      const full = await ask('never');
      const {positions} = expectSame(await valueWithoutLeaks(() => ask(drafts('decoder', 2, 4))), full);
      expect(positions).toBeGreaterThan(0);
      expect(positions).toBeLessThan(full.trace.filter(({stack}) => stack === 'decoder').length + 8);
    });

    test('positions that are taken back cost what they cost', async () => {
      const full = await caption(mues.mue, {exit: 'never'});
      const one = await caption(mues.mue, {exit: drafts('decoder', 1, 1)});
      const many = await caption(mues.mue, {exit: drafts('decoder', 1, 8)});
      expect(many.drafting!.positions).toBeGreaterThan(many.drafting!.kept);
      // A draft of one token costs its test and logits besides.
      expect(one.macs.run).toBeGreaterThan(full.macs.run);
      expect(many.macs.run).toBeGreaterThan(one.macs.run);
    });

    test('a threshold that no margin reaches drafts one token at a time', async () => {
      const {drafting} = await caption(mues.mue, {exit: drafts('decoder', 1, 8, 1.5)});
      expect(drafting!.positions).toBe(drafting!.kept);
    });

    test('every picture of a batch drafts for itself', async () => {
      const exit = drafts('decoder', 1, 8);
      const options = {num_beams: 1, max_new_tokens: 10};
      const full = await mues.mue.captionAll(pictures, {...options, exit: 'never'});
      const together = await valueWithoutLeaks(() => mues.mue.captionAll(pictures, {...options, exit}));
      const counts = new Set<string>();
      for (const [i, answer] of together.entries()) {
        counts.add(JSON.stringify(expectSame(answer, full[i]!)));
        const alone = await caption(mues.mue, {exit}, i);
        expect(answer.macs).toEqual(alone.macs);
        expect(answer.drafting).toEqual(alone.drafting);
      }
      expect(counts.size).toBeGreaterThan(1);
    });

    test('exits of the encoder stay: the decoder alone loses nothing', async () => {
      const encoder = {'encoder.image': {policy: 'fixed', layers: 1}} as const;
      const never = await caption(mues.mue, {exit: {...NEVER_PLAN, stacks: encoder}});
      const plan = drafts('decoder', 1, 4);
      expectSame(await caption(mues.mue, {exit: {...plan, stacks: {...encoder, ...plan.stacks}}}), never);
    });

    test('exit adapters: the draft goes through the adapter of its layer, and the answer stays', async () => {
      const {model} = mues.mue;
      using adapters = await seededAdapters({size: model.stateSize, kind: 'affine', width: 0, layers: [1, 2]});
      const adapted = microMue(model, {caption: adapters});
      const exit = drafts('decoder', 1, 8);
      const plain = await caption(mues.mue, {exit});
      const draft = await valueWithoutLeaks(() => caption(adapted, {exit}));
      const {positions} = expectSame(draft, await caption(mues.mue, {exit: 'never'}));
      expect(positions).not.toBe(plain.drafting!.positions);
    });

    test('tokens are streamed one by one, in order', async () => {
      const stream = async (exit: ExitChoice): Promise<readonly object[]> => {
        const seen: object[] = [];
        await caption(mues.mue, {exit, onToken: ({step, token, text}) => seen.push({step, token, text})});
        return seen;
      };
      expect(await stream(drafts('decoder', 2, 8))).toEqual(await stream('never'));
    });

    test('the name lossless is a plan: the first layer drafts', async () => {
      const full = await caption(mues.mue, {exit: 'never'});
      expectSame(await caption(mues.mue, {exit: 'lossless'}), full);
      expect(mues.mue.resolveExits('caption', 'lossless').plan).toMatchObject({
        stacks: {decoder: {policy: 'draft', layers: 1}},
      });
    });

    test('a score does not draft: entailment is that of never', async () => {
      const full = await mues.mue.entail(pictures[0]!, 'a dog', {exit: 'never'});
      const {scores, macs} = await mues.mue.entail(pictures[0]!, 'a dog', {exit: 'lossless'});
      expect({scores, macs}).toEqual({scores: full.scores, macs: full.macs});
    });

    test.each([0, 1, 2, 3, 5, 8])('an abort after %d tokens leaves no tensor', async (tokens) => {
      const controller = new AbortController();
      let seen = 0;
      if (tokens === 0) controller.abort();
      const onToken = (): void => {
        if (++seen === tokens) controller.abort();
      };
      const exit = drafts('decoder', 1, 3);
      expect(await withoutLeaks(() => caption(mues.mue, {exit, onToken, signal: controller.signal}))).toMatchObject({
        error: {code: 'aborted'},
      });
    });

    test.each([
      ['several beams', 'draft-beams', {num_beams: 2, exit: 'lossless'}],
      ['all layers', 'draft-depth', {exit: drafts('decoder', 4, 2)}],
      ['no layer', 'draft-depth', {exit: drafts('decoder', 0, 2)}],
      ['a draft of no token', 'draft-length', {exit: drafts('decoder', 1, 0)}],
      ['a threshold of NaN', 'threshold-invalid', {exit: drafts('decoder', 1, 2, Number.NaN)}],
      ['a stack that writes no tokens', 'plan-draft', {exit: drafts('encoder.image', 1, 2)}],
    ] as const)('%s: a UsageError', async (_what, code, options) => {
      expect(await withoutLeaks(() => caption(mues.mue, options))).toMatchObject({error: {code, exitCode: 2}});
    });
  },
  FIRST_DEVICE,
);
