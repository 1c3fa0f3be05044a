import {type ExitOptions, parseExitOptions} from '../../../src/cli/options/exit.js';
import {stackThresholds} from '../../../src/cli/options/values.js';
import {createPolicy} from '../../../src/exit/plan/policies.js';
import {similarityPlan, thresholdPlan} from '../../../src/exit/plan/presets.js';
import {resolveExits} from '../../../src/tasks/exits.js';

const parse = stackThresholds('--thres');
const code = (name: string): Error => expect.objectContaining({code: name}) as unknown as Error;

describe('parseExitOptions', () => {
  test('--thres: a plan of similarity thresholds for the named stacks alone', async () => {
    const thres = parse('vision=0.97, text=.9,multimodal=-0.5');
    expect(await parseExitOptions({thres}, 'caption')).toEqual({
      version: 1,
      mode: 'corrected',
      skippedKv: 'project',
      stacks: {
        vision: {policy: 'similarity', threshold: 0.97},
        text: {policy: 'similarity', threshold: 0.9},
        multimodal: {policy: 'similarity', threshold: -0.5, schedule: 'constant'},
      },
    });
  });

  test.each<ExitOptions>([{}, {mode: 'reference'}, {schedule: 'paper', skippedKv: 'copy'}])(
    "--thres by the names of MuE's stacks equals --img_thres, --txt_thres, --decoder_thres, with %j",
    async (rest) => {
      const three = await parseExitOptions({img_thres: 0.61, txt_thres: 0.54, decoder_thres: 0.88, ...rest}, 'caption');
      const thres = parse('encoder.image=.61,encoder.text=.54,decoder=.88');
      expect(await parseExitOptions({thres, ...rest}, 'caption')).toEqual(three);
      expect(three).toEqual(thresholdPlan({image: 0.61, text: 0.54, decoder: 0.88, ...rest}));
    },
  );

  test("--schedule beside the model's plan changes the stack that produces tokens, whatever its name", async () => {
    const plans = {version: 1, plans: {caption: similarityPlan({vision: 0.9, text: 0.8, multimodal: 0.7})}} as const;
    const choice = await parseExitOptions({schedule: 'paper'}, 'caption');
    expect(choice).toEqual({plan: 'model', schedule: 'paper'});
    const {plan} = resolveExits('caption', choice, {stacks: {vision: 4, text: 4, multimodal: 4}, plans});
    expect(Object.entries(plan!.stacks).map(([stack, {schedule}]) => [stack, schedule])).toEqual([
      ['vision', undefined],
      ['text', undefined],
      ['multimodal', 'paper'],
    ]);
  });

  test.each<[string, ExitOptions]>([
    ['thresholds-twice', {thres: {vision: 1}, txt_thres: 1}],
    ['exit-twice', {thres: {vision: 1}, exit: 'never'}],
    ['plan-missing', {exit: 'no such plan.json'}],
    ['plan-invalid', {exit: 'package.json'}],
  ])('rejects with %s: %j', async (expected, options) => {
    await expect(parseExitOptions(options, 'caption')).rejects.toThrow(code(expected));
  });
});

describe('stackThresholds', () => {
  test('adds the stacks of an option that is given again', () => {
    expect(parse('text=1', parse('vision=0'))).toEqual({vision: 0, text: 1});
  });

  test.each([
    ['nothing', '', /'' is no stack=number/],
    ['no number', 'vision', /'vision' is no stack=number/],
    ['an empty number', 'vision=', /--thres vision: .*not ''/],
    ['a word', 'vision=high', /--thres vision: .*not 'high'/],
    ['NaN', 'vision=NaN', /not 'NaN'/],
    ['infinity', 'vision=Infinity', /not 'Infinity'/],
    ['two numbers', 'vision=1=2', /'vision=1=2' is no/],
    ['a stack that no model has', 'sound=1', /no stack 'sound'; models have .*vision, text, multimodal/],
    ['a property of every object', 'constructor=1', /no stack 'constructor'/],
    ['one stack twice', 'vision=1,vision=2', /'vision' is given twice/],
  ])('rejects %s', (_, text, message) => {
    expect(() => parse(text)).toThrow(code('threshold-invalid'));
    expect(() => parse(text)).toThrow(message);
  });
});

test('createPolicy: names the stacks of a model that lacks the one in the plan', () => {
  const plan = similarityPlan({'encoder.image': 0.9});
  expect(() => createPolicy(plan, {vision: 4, text: 4, multimodal: 4})).toThrow(
    /'encoder\.image', but this model has vision, text, multimodal/,
  );
  expect(() => createPolicy(plan, {encoder: 4, decoder: 4})).toThrow(/encoder, decoder/);
});
