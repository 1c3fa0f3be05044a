import fc from 'fast-check';
import {ptbTokenize} from '../../src/metrics/ptb-tokenize.js';
import {metricsGolden} from '../support/metrics-golden.js';

test.each(metricsGolden().g.ptb_tokenizer)('golden: $text', ({text, tokens}) => {
  expect(ptbTokenize(text)).toBe(tokens);
});

test('every token stands alone, none is dropped punctuation, nothing throws', () => {
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
