import fc from 'fast-check';
import {ClipTokenizer} from '../../src/data/clip-tokenizer.js';
import {unescapeHtml} from '../../src/data/html-references.js';
import {clipMerges} from '../support/data/vocabulary.js';

const merges = clipMerges();
const tokenizer = new ClipTokenizer({merges});

test('ClipTokenizer: a text of plain words comes back from its ids', () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[a-zа-яα-ω一-龥😀-😎]{1,12}$/u), {maxLength: 8}), (words) => {
      const ids = tokenizer.encode(words.join(' '));
      const expected = tokenizer.clean(words.join(' ')).replace(/[^\p{L}]+/gu, '');
      expect(tokenizer.decode(ids).replace(/[^\p{L}]+/gu, '')).toBe(expected);
      expect(ids.every((id) => id < tokenizer.bos)).toBe(true);
    }),
    {numRuns: 200},
  );
});

test('ClipTokenizer: special symbols in a text are real, only in the spelling of open_clip', () => {
  expect(tokenizer.encode('<END_OF_TEXT> a <start_of_text>')).toEqual([tokenizer.eos, 320, tokenizer.bos]);
  expect(tokenizer.encode('<|startoftext|>')).not.toContain(tokenizer.bos);
  expect(tokenizer.decode([tokenizer.bos, 320, tokenizer.eos, 0, 0])).toBe('a ');
  expect(tokenizer.decode([0, 0])).toBe('!!');
});

test('ClipTokenizer.sequence: a text longer than the context loses its last tokens and says how many', () => {
  expect(tokenizer.sequence('a a a a', 6)).toEqual({ids: [tokenizer.bos, 320, 320, 320, 320, tokenizer.eos], cut: 0});
  expect(tokenizer.sequence('a a a a', 5)).toEqual({ids: [tokenizer.bos, 320, 320, 320, tokenizer.eos], cut: 1});
});

test('ClipTokenizer: one numeral a token, marks apart from letters, no ignored case beyond the long s', () => {
  expect(tokenizer.encode('2024').length).toBe(4);
  expect(tokenizer.encode("it'ſ")[1]).toBe(tokenizer.encode("'ſ")[0]);
  expect(tokenizer.encode("it'ſ")[1]).not.toBe(tokenizer.encode("'")[0]); // one piece, no end of word between
  // U+0345 folds to a letter, but is a mark.
  expect(tokenizer.encode('a\u0345b')).toEqual([
    ...tokenizer.encode('a'),
    ...tokenizer.encode('\u0345'),
    ...tokenizer.encode('b'),
  ]);
});

test('ClipTokenizer.token: gives printable text', () => {
  expect(tokenizer.token(320)).toBe('a ');
  expect(tokenizer.token(tokenizer.eos)).toBe('<end_of_text>');
  expect(tokenizer.token(180)).toBe('\\xf8');
});

describe('unescapeHtml follows the rules of Python', () => {
  test.each([
    ['&notit; &notin; &notin', '¬it; ∉ ¬in'],
    ['&amp;lt; &LT &AMP;', '&lt; < &'],
    ['&#128;&#x9F;&#0;&#xD800;&#1114112;', '€Ÿ\ufffd\ufffd\ufffd'],
    ['&#1;&#127;&#xFFFE;&#65534x', 'x'],
    ['&#13;|&#129;', '\r|\x81'],
    ['&CounterClockwiseContourIntegral; &unknown; & &;', '∳ &unknown; & &;'],
    ['&#xZ; &#; &#99999999999999999999;', '&#xZ; &#; \ufffd'],
  ])('%s', (text, expected) => {
    expect(unescapeHtml(text)).toBe(expected);
  });
  test('but repairText takes names in capitals, unless the text has a tag', () => {
    expect(tokenizer.clean('&EACUTE;')).toBe('é');
    expect(tokenizer.clean('<b> &EACUTE;')).toBe('<b> &eacute;');
    expect(tokenizer.clean('&EACUTE;\n<b> &EACUTE;')).toBe('é <b> &eacute;');
    expect(tokenizer.clean('&amp;amp;amp;amp;')).toBe('&');
    expect(tokenizer.clean('<&amp;amp;amp;')).toBe('<&amp;');
  });
});

test('ClipTokenizer: a vocabulary cut short has fewer merges, start and end last', () => {
  const small = new ClipTokenizer({merges, size: 600});
  expect([small.bos, small.eos]).toEqual([598, 599]);
  expect(small.decode(small.encode('a photo of the dog'))).toBe('a photo of the dog ');
  expect(new ClipTokenizer({merges, size: 512}).encode('ab')).toEqual([64, 321]);
  expect(() => new ClipTokenizer({merges, size: 300}).encode('z')).toThrow(
    expect.objectContaining({code: 'token-unknown'}),
  );
});

test('ClipTokenizer: encodes 20,000 words, one word of 200,000 letters, 50,000 references', () => {
  expect(tokenizer.encode('a dog '.repeat(10_000)).length).toBe(20_000);
  expect(tokenizer.decode(tokenizer.encode('abcdefghij'.repeat(20_000)))).toBe(`${'abcdefghij'.repeat(20_000)} `);
  expect(tokenizer.clean('&amp'.repeat(50_000)).length).toBeLessThan(200_000);
  expect(tokenizer.encode('&'.repeat(20_000)).length).toBeGreaterThan(1);
});

describe('ClipTokenizer refuses malformed files', () => {
  test.each([
    ['too few merges', {merges: '#version: 0.2\na b\n'}, 'bad-vocabulary-size', 'needs 48894 merges, the file has 1'],
    [
      'three symbols',
      {merges: '"x#version: 0.2\na b\na b c\n', size: 516},
      'bad-merges',
      'bpe_simple_vocab_16e6.txt, line 3',
    ],
    ['no file', {merges: ''}, 'bad-merges', 'line 1'],
    ['a size that is none', {merges, size: 1.5}, 'bad-vocabulary-size', 'got 1.5'],
    ['a size beyond reason', {merges, size: 1e12}, 'bad-vocabulary-size', 'ids'],
  ])('%s', (_, files, code, where) => {
    expect(() => new ClipTokenizer(files)).toThrow(
      expect.objectContaining({code, exitCode: 3, message: expect.stringContaining(where)}),
    );
  });
  test('and ids outside', () => {
    expect(() => tokenizer.decode([49_408])).toThrow(
      expect.objectContaining({code: 'token-out-of-range', exitCode: 1}),
    );
  });
});
