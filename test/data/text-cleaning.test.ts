import {captionTarget, preCaption, preQuestion, removePunctuation} from '../../src/data/text-cleaning.js';
import {golden} from '../support/golden/golden.js';

const g = golden<{
  cleaning: {text: string; max_words: number | null; pre_caption: string; pre_question: string}[];
  punctuation_removal: {text: string; stripped: string}[];
  caption_target: {text: string; caption_target: string}[];
}>('text_cleaning.json');

test('preCaption, preQuestion: equal the authors in every row', () => {
  expect(g.cleaning.length).toBeGreaterThan(0);
  for (const row of g.cleaning) {
    const max = row.max_words ?? undefined;
    expect([row.text, preCaption(row.text, max)]).toEqual([row.text, row.pre_caption]);
    expect([row.text, preQuestion(row.text, max)]).toEqual([row.text, row.pre_question]);
  }
});

test('removePunctuation, captionTarget: equal the authors in every row', () => {
  for (const {text, stripped} of g.punctuation_removal) expect(removePunctuation(text)).toBe(stripped);
  for (const {text, caption_target} of g.caption_target) expect(captionTarget(text)).toBe(caption_target);
});

test("preCaption: white space is Python's: U+001C…1F and U+0085 count, U+FEFF does not", () => {
  expect(preCaption('a\x1c\x1d b')).toBe('a b');
  expect(preCaption('a\ufeff\ufeffb')).toBe('a\ufeff\ufeffb');
  expect(removePunctuation('\x85 a \x1f')).toBe('a');
  expect(captionTarget('a\x1fb \ufeff')).toBe('a b \ufeff');
});

test('preCaption: a megabyte of spaces is no obstacle', () => {
  expect(preCaption(`a${' '.repeat(1_000_000)}b${' \n'.repeat(500_000)}`)).toBe('a b');
});
