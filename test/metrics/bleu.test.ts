import fc from 'fast-check';
import {BLEU_STATISTICS, Bleu, bleuFromStatistics} from '../../src/metrics/bleu.js';
import {InputError} from '../../src/runtime/errors.js';
import {WORDS} from '../support/data/caption-fixtures.js';
import {expectClose, metricsGolden} from '../support/golden/metrics.js';

const {g, references, hypotheses} = metricsGolden();
const caption = fc.array(fc.constantFrom(...WORDS), {maxLength: 9}).map((tokens) => tokens.join(' '));

test('Bleu: golden, corpus and per image', () => {
  const result = new Bleu(references).score(hypotheses);
  expectClose(result.corpus, g.bleu.corpus);
  result.perItem.forEach((values, n) => {
    expectClose(values, g.bleu.per_image[n]!);
  });
});

test.each(g.edge_cases)('Bleu: golden edge case $hypothesis', (edge) => {
  const [hypothesis, reference] = edge.second_image.split(' / ') as [string, string];
  expectClose(new Bleu([edge.references, [reference]]).score([edge.hypothesis, hypothesis]).corpus, edge.bleu_corpus);
});

test('bleuFromStatistics: the sums of the coco-caption demo', () => {
  expectClose(
    bleuFromStatistics([9893, 9855, 9893, 8893, 7893, 6893, 5732, 2510, 1043, 423]),
    [0.5794, 0.4044, 0.2785, 0.1908],
    5e-5,
  );
});

test('Bleu: the corpus is its summed statistics, in any order of items and references', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({h: caption, r: fc.array(caption, {minLength: 1, maxLength: 3})}), {
        minLength: 1,
        maxLength: 5,
      }),
      (items) => {
        const {corpus, statistics} = new Bleu(items.map(({r}) => r)).score(items.map(({h}) => h));
        const sums = Array.from({length: BLEU_STATISTICS}, (_, k) =>
          statistics.reduce((sum, x, at) => sum + (at % BLEU_STATISTICS === k ? x : 0), 0),
        );
        expectClose(corpus, bleuFromStatistics(sums), 1e-12);
        const turned = [...items].reverse();
        expectClose(
          corpus,
          new Bleu(turned.map(({r}) => [...r].reverse())).score(turned.map(({h}) => h)).corpus as number[],
          1e-12,
        );
      },
    ),
  );
});

test('Bleu: a hypothesis that is one of the references scores one, from four tokens on', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...WORDS), {minLength: 4, maxLength: 9}), caption, (tokens, other) => {
      for (const value of new Bleu([[other, tokens.join(' ')]]).score([tokens.join(' ')]).corpus)
        expect(value).toBeCloseTo(1, 6);
    }),
  );
});

test('Bleu: refuses an item without references, and too few hypotheses', () => {
  expect(() => new Bleu([['a'], []])).toThrow(InputError);
  expect(() => new Bleu([['a'], ['b']]).score(['a'])).toThrow('1 hypotheses for 2 items');
});
