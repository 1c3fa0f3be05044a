import fc from 'fast-check';
import {ptbTokenize} from '../../src/metrics/ptb-tokenize.js';
import {metricsGolden} from '../support/golden/metrics.js';

test.each(metricsGolden().g.ptb_tokenizer)('ptbTokenize: golden $text', ({text, tokens}) => {
  expect(ptbTokenize(text)).toBe(tokens);
});

// Answers of the Java tokeniser of pycocoevalcap 1.2.
test.each([
  ["A B-52 can't stop AT&T's t.v., 'cause DON'T STOP!!", "a b-52 ca n't stop at&t 's t.v. 'cause do n't stop !!"],
  [
    "rock'n'roll at 5 1/2 o'clock on St. Mary's Main St.",
    "rock 'n' roll at 5\u{A0}1/2 o'clock on st. mary 's main st.",
  ],
  ["they'll cannot gonna “it’s” – 1,000 £5 boys' toys", "they 'll can not gon na it 's 1,000 # 5 boys toys"],
  [
    'a multi-colored red/white t-shirt (no. 5), 9:00am :)',
    'a multi-colored red/white t-shirt -lrb- no. 5 -rrb- 9:00 am :-rrb-',
  ],
  ['constructor __proto__ toString', 'constructor __ proto __ tostring'],
  ['the dog.The cat 🐶 café <unk> user@host.com what?!', 'the dog.the cat café <unk> user@host.com what ?!'],
])('ptbTokenize: as the Java tokeniser, %s', (text, tokens) => {
  expect(ptbTokenize(text)).toBe(tokens);
});

test('ptbTokenize: every token stands alone, none is dropped punctuation, nothing throws', () => {
  const dropped = ["''", "'", '``', '`', '.', '?', '!', ',', ':', '-', '--', '...', ';'];
  fc.assert(
    fc.property(fc.string({unit: 'binary', maxLength: 60}), (text) => {
      const tokens = ptbTokenize(text);
      expect(tokens).toBe(tokens.trim());
      expect(tokens).not.toMatch(/ {2}/);
      expect(tokens.split(' ').filter((token) => dropped.includes(token))).toEqual([]);
    }),
  );
});

test.each([
  ['%%a@b.c', '%%a@b.c'],
  ['%%%@ a', '% % % @ a'],
  ["a%a%@b-n't x@y", "a%a%@b- n't x@y"],
  ['+a@é.b.. @a_b #ab', '+a@é.b @a_b #ab'],
  ['a@b@c d.e@f@', 'a@b @c d.e@f @'],
  ['A&B@c', 'a&b @c'],
])('ptbTokenize: addresses for mail, %s', (text, tokens) => {
  expect(ptbTokenize(text)).toBe(tokens);
});

test('ptbTokenize: an address for mail is found whatever stands before it', () => {
  const part = fc.array(fc.constantFrom('a', '@', '%', '.', 'n', "'t", '-', '&', 'A'), {maxLength: 10});
  fc.assert(
    fc.property(part, part, (before, after) => {
      const [left, right] = [before.join(''), after.join('')];
      const apart = [ptbTokenize(left), ptbTokenize(right)].filter((tokens) => tokens !== '').join(' ');
      expect(ptbTokenize(`${left} ${right}`)).toBe(apart);
    }),
  );
});
