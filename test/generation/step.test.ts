import fc from 'fast-check';
import {never} from '../../src/exit/policy.js';
import {logSoftmax} from '../../src/generation/logits.js';
import {type OpenClipBeamOptions, openClipBeamSearch} from '../../src/generation/open-clip-beam-search.js';
import {sample, type SampleOptions} from '../../src/generation/sampling.js';
import {DECODING_RULES, type DecodingOptions, type GeneratedText} from '../../src/generation/step.js';
import {selectBackend} from '../../src/node/backends/select.js';
import {seededRandom} from '../../src/runtime/random.js';
import {valueWithoutLeaks, withoutLeaks} from '../support/leaks.js';
import {toyDecoding, toyScores} from '../support/models/toy-decoding.js';

const START = 0;
const END = 1;
const VOCABULARY = 12;
const base: DecodingOptions = {
  rules: 'classic',
  prompt: [START],
  end: END,
  maxLength: 9,
  minLength: 0,
  repetitionPenalty: 1,
};

beforeAll(async () => {
  await selectBackend('cpu');
});

async function beams(
  pictures: number,
  options: Partial<OpenClipBeamOptions> & {beams: number},
  vocabulary = VOCABULARY,
) {
  const {texts} = await valueWithoutLeaks(() =>
    openClipBeamSearch(toyDecoding(pictures, options.beams, vocabulary), pictures, never, {...base, ...options}),
  );
  return texts;
}

async function draw(pictures: number, options: Partial<SampleOptions>, seed = 1) {
  const decoding = toyDecoding(pictures, 1, VOCABULARY);
  const all: SampleOptions = {...base, temperature: 1, random: () => seededRandom(seed), ...options};
  const {texts} = await valueWithoutLeaks(() => sample(decoding, pictures, never, all));
  return {texts, steps: decoding.steps};
}

const tokens = (texts: readonly GeneratedText[]): number[][] => texts.map((text) => [...text.tokens]);

describe('greedy', () => {
  test('takes the best word each time; the last place is the end, or is not', async () => {
    const expected = (picture: number, forced: boolean): number[] => {
      const row = [START];
      while (row.length < base.maxLength && row.at(-1) !== END) {
        const scores = toyScores(picture, row, VOCABULARY);
        row.push(forced && row.length + 1 === base.maxLength ? END : scores.indexOf(Math.max(...scores)));
      }
      return row;
    };
    const pictures = [0, 1, 2, 3, 4, 5];
    expect(tokens((await draw(6, {topK: 1})).texts)).toEqual(pictures.map((p) => expected(p, true)));
    expect(tokens((await draw(6, {topK: 1, rules: 'current'})).texts)).toEqual(pictures.map((p) => expected(p, false)));
  });
  test('finished rows leave the batch, so that nothing is computed for them', async () => {
    const {texts, steps} = await draw(6, {topK: 1});
    const open = steps.map((_, step) => texts.filter(({tokens: row}) => row.length > step + 1).length);
    expect(steps).toEqual(open);
    expect(steps.at(-1)).toBeLessThan(6);
  });
  test('is scored by the mean log-probability of what it wrote', async () => {
    const [text] = (await draw(1, {topK: 1, prompt: [START, 5]})).texts;
    const written = text!.tokens.slice(2);
    const sum = written.reduce((all, token, i) => {
      const row = text!.tokens.slice(0, 2 + i);
      return all + logSoftmax(Float64Array.from(toyScores(0, row, VOCABULARY)))[token]!;
    }, 0);
    expect(text!.score).toBeCloseTo(sum / written.length, 9);
  });
});

describe.each(DECODING_RULES)('%s', (rules) => {
  test('no end before the least length, none beyond the greatest, prompts stay', async () => {
    const found = [
      ...(await beams(4, {rules, beams: 3, minLength: 6, prompt: [START, 4, 2]})).map(([best]) => best!),
      ...(await draw(4, {rules, topK: 1, minLength: 6, prompt: [START, 4, 2]})).texts,
      ...(await draw(4, {rules, topP: 0.9, minLength: 6, prompt: [START, 4, 2]})).texts,
    ];
    for (const row of tokens(found)) {
      expect(row.slice(0, 3)).toEqual([START, 4, 2]);
      expect(row.length).toBeLessThanOrEqual(9);
      const end = row.indexOf(END);
      expect(end < 0 ? row.length : end).toBeGreaterThanOrEqual(6);
      if (end >= 0) expect(end).toBe(row.length - 1);
    }
  });
  test('a picture gets the same text alone and among others', async () => {
    const together = await beams(4, {rules, beams: 3});
    const shifted = await beams(5, {rules, beams: 3});
    expect(shifted.slice(0, 4)).toEqual(together);
    expect((await beams(1, {rules, beams: 3}))[0]).toEqual(together[0]);
  });
  test('a great penalty forbids repetition', async () => {
    for (const row of tokens((await beams(3, {rules, beams: 2, repetitionPenalty: 1e6})).map(([best]) => best!)))
      expect(new Set(row).size).toBe(row.length);
  });
  test('texts come best first, each once', async () => {
    for (const texts of await beams(3, {rules, beams: 4})) {
      expect(texts.map(({score}) => score)).toEqual(texts.map(({score}) => score).toSorted((a, b) => b - a));
      expect(new Set(tokens(texts).map(String)).size).toBe(texts.length);
    }
  });
  test('the same seed writes the same, another seed something else', async () => {
    const options = {rules, topP: 0.95, temperature: 1.5};
    const first = tokens((await draw(8, options, 3)).texts);
    expect(tokens((await draw(8, options, 3)).texts)).toEqual(first);
    expect(tokens((await draw(8, options, 4)).texts)).not.toEqual(first);
  });
});

test('with room for every text, current beams find the best of all', async () => {
  const vocabulary = 4;
  const maxLength = 5;
  const all: GeneratedText[] = [];
  const walk = (row: readonly number[], sum: number): void => {
    if (row.at(-1) === END || row.length === maxLength) {
      all.push({tokens: row, score: sum / (row.length - 1)});
      return;
    }
    logSoftmax(Float64Array.from(toyScores(0, row, vocabulary))).forEach((score, token) => {
      walk([...row, token], sum + score);
    });
  };
  walk([START], 0);
  const best = all.reduce((a, b) => (b.score > a.score ? b : a));
  // The search stops as soon as the list is full and no running text is ahead of its last: so many beams that it never
  // is.
  const [texts] = await beams(1, {rules: 'current', beams: 200, maxLength}, vocabulary);
  expect(texts![0]!.tokens).toEqual(best.tokens);
  expect(texts![0]!.score).toBeCloseTo(best.score, 9);
});

test('one classic beam is greedy without a forced end', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({min: 2, max: 9}), async (maxLength) => {
      const [[text]] = (await beams(1, {beams: 1, maxLength})) as [readonly GeneratedText[]];
      const greedy = (await draw(1, {topK: 1, maxLength, rules: 'current'})).texts[0]!;
      expect(text!.tokens).toEqual(greedy.tokens);
    }),
    {numRuns: 8},
  );
});

test('scores that are no numbers end the text with an error, and nothing is left', async () => {
  const broken = (): ReturnType<typeof toyDecoding> => {
    const decoding = toyDecoding(1, 2, VOCABULARY);
    const step: typeof decoding.step = async (rows, policy) => {
      const {logits, traces} = await decoding.step(rows, policy);
      const nan = logits.mul(Number.NaN) as typeof logits;
      logits.dispose();
      return {logits: nan, traces};
    };
    return {...decoding, step};
  };
  const result = await withoutLeaks(() => openClipBeamSearch(broken(), 1, never, {...base, beams: 2}));
  expect(result).toEqual({error: expect.objectContaining({code: 'score-not-finite', exitCode: 1})});
});

test('an abort stops the search', async () => {
  const result = await withoutLeaks(() =>
    openClipBeamSearch(toyDecoding(1, 2, 12), 1, never, {...base, beams: 2, signal: AbortSignal.abort()}),
  );
  expect(result).toEqual({error: expect.objectContaining({code: 'aborted'})});
});
