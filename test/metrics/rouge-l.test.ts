import fc from 'fast-check';
import {RougeL} from '../../src/metrics/rouge-l.js';
import {InputError} from '../../src/runtime/errors.js';
import {WORDS} from '../support/data/caption-fixtures.js';
import {expectClose, metricsGolden} from '../support/golden/metrics.js';

const {g, references, hypotheses} = metricsGolden();

test('RougeL: golden, corpus and per image', () => {
  const {corpus, perItem} = new RougeL(references).score(hypotheses);
  expectClose([corpus], [g.rouge_l.corpus]);
  expectClose(perItem, g.rouge_l.per_image);
});

test.each(g.edge_cases)('RougeL: golden edge case $hypothesis', (edge) => {
  const [hypothesis, reference] = edge.second_image.split(' / ') as [string, string];
  const {perItem} = new RougeL([edge.references, [reference]]).score([edge.hypothesis, hypothesis]);
  // The original gives no value for a blank hypothesis; here it is zero.
  expectClose(perItem, edge.hypothesis === '' ? [0, 1] : edge.rouge_per_image);
});

test('RougeL: one for a reference itself, zero without a common word, and grows with references', () => {
  const caption = fc.array(fc.constantFrom(...WORDS), {minLength: 1, maxLength: 9}).map((tokens) => tokens.join(' '));
  fc.assert(
    fc.property(caption, caption, caption, (h, r, s) => {
      expect(new RougeL([[r, h]]).score([h]).corpus).toBeCloseTo(1, 12);
      expect(new RougeL([[r]]).score(['zebra']).corpus).toBe(0);
      expect(new RougeL([[r, s]]).score([h]).corpus).toBeGreaterThanOrEqual(
        new RougeL([[r]]).score([h]).corpus - 1e-12,
      );
    }),
  );
});

test('RougeL: refuses an item without references, and too few hypotheses', () => {
  expect(() => new RougeL([[]])).toThrow(InputError);
  expect(() => new RougeL([['a']]).score([])).toThrow('0 hypotheses for 1 items');
});
