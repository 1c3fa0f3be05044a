import {explainSvg} from '../../../src/cli/explain/svg.js';
import {explainText} from '../../../src/cli/explain/text.js';
import {explanation} from '../../../src/cli/explain/explanation.js';
import {explanationSchema} from '../../../src/cli/schemas/explanation.js';
import type {RecordedPass} from '../../../src/exit/recording.js';
import {forbiddenBy} from '../../../src/generation/fairseq-beam-search.js';
import type {Answer} from '../../../src/tasks/answer.js';

const WORDS = ['begin', 'pad', 'end', 'unk', ' a', ' blue', ' screw', ' <b>'];
const [END, A, BLUE, SCREW] = [2, 4, 5, 6] as const;

/** A pass of two layers with their likeliest tokens. */
function pass(step: number, ...likeliest: readonly number[]): RecordedPass {
  const layers = likeliest.map((argmax, i) => ({
    layer: i + 1,
    similarity: 0.5,
    confidences: [{argmax, margin: 0.25, max: 0.5, entropy: 1}],
    words: WORDS.length,
  }));
  return {stack: 'decoder', step, depth: 2, exit: 1, layers} as unknown as RecordedPass;
}

test.each([
  // The pair "a blue" is there already; after "blue a", "blue" would make it come twice.
  [[0, A, BLUE, A], BLUE, 'no_repeat_ngram_size'],
  [[0, A, BLUE, A], SCREW, undefined],
  [[0, A], END, 'min_length'],
  [[0, A, BLUE], END, undefined],
  [[0], A, undefined],
] as const)('forbiddenBy: after %j the token %d: %s', (fed, token, rule) => {
  expect(forbiddenBy(fed, token, {minLength: 2, noRepeatNgram: 2})).toBe(rule);
});

test('explanation: a word that the search forbade has its rule, in numbers, text and picture', () => {
  const rules = {minLength: 2, noRepeatNgram: 2};
  const explained = explanation({
    image: 'a.png',
    task: 'caption',
    policy: 'similarity',
    answer: {text: 'a blue a screw', tokens: [A, BLUE, A, SCREW]} as unknown as Answer,
    passes: [pass(0, A, A), pass(1, END, BLUE), pass(2, A, A), pass(3, SCREW, BLUE), pass(4, END, END)],
    tokenizer: {token: (id) => WORDS[id]!, size: WORDS.length, eos: END},
    writer: {forbiddenBy: (written, token) => forbiddenBy([0, ...written], token, rules)},
  });
  explanationSchema.parse(JSON.parse(JSON.stringify(explained)));
  expect(explained.decoder.map(({layers}) => layers.map(({forbidden}) => forbidden))).toEqual([
    [undefined, undefined],
    ['min_length', undefined],
    [undefined, undefined],
    [undefined, 'no_repeat_ngram_size'],
    [undefined, undefined],
  ]);
  const text = explainText(explained, {colour: false});
  expect(text).toMatch(/×blue/);
  expect(text).toContain('× “blue” was forbidden: a group of words would come twice (no_repeat_ngram_size)');
  expect(text.match(/was forbidden/g)).toHaveLength(1);
  const svg = explainSvg({...explained, answer: '<b>'});
  expect(svg).toMatch(/^<svg xmlns=/);
  expect(svg).toContain('× blue');
  expect(svg).toContain('&#60;b&#62;');
});
