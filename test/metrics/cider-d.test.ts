import fc from 'fast-check';
import {CiderD} from '../../src/metrics/cider-d.js';
import {InputError} from '../../src/runtime/errors.js';
import {WORDS} from '../support/data/caption-fixtures.js';
import {expectClose, metricsGolden} from '../support/golden/metrics.js';

const {g, references, hypotheses} = metricsGolden();
const caption = fc.array(fc.constantFrom(...WORDS), {maxLength: 9}).map((tokens) => tokens.join(' '));

test('CiderD: golden, corpus and per image, and the same again for a second set of hypotheses', () => {
  const scorer = new CiderD(references);
  for (const wanted of [g.cider, g.cider_d_corpus_df]) {
    const {corpus, perItem} = scorer.score(hypotheses);
    expectClose([corpus], [wanted.corpus]);
    expectClose(perItem, wanted.per_image);
    scorer.score(hypotheses.map((_, i) => hypotheses[(i + 1) % hypotheses.length]!));
  }
});

test('CiderD: golden, document frequencies of another corpus', () => {
  const {ref_len, document_frequency, corpus, per_image} = g.cider_d_df_file;
  const result = new CiderD(references, {images: ref_len, counts: Object.entries(document_frequency)}).score(
    hypotheses,
  );
  expectClose([result.corpus], [corpus]);
  expectClose(result.perItem, per_image);
});

test.each(g.edge_cases)('CiderD: golden edge case $hypothesis', (edge) => {
  const [hypothesis, reference] = edge.second_image.split(' / ') as [string, string];
  expectClose(
    new CiderD([edge.references, [reference]]).score([edge.hypothesis, hypothesis]).perItem,
    edge.cider_per_image,
  );
});

test('CiderD: one image scores zero, for every n-gram is in all of the corpus', () => {
  expect(new CiderD([['a dog on grass']]).score(['a dog on grass']).corpus).toBe(0);
});

test('CiderD: lies in [0, 10], in any order of items, references and hypothesis sets', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({h: caption, other: caption, r: fc.array(caption, {minLength: 1, maxLength: 3})}), {
        minLength: 2,
        maxLength: 5,
      }),
      (items) => {
        const scorer = new CiderD(items.map(({r}) => r));
        const first = scorer.score(items.map(({h}) => h));
        scorer.score(items.map(({other}) => other));
        expect(scorer.score(items.map(({h}) => h))).toEqual(first);
        for (const value of first.perItem) expect(value >= 0 && value <= 10 + 1e-9).toBe(true);
        const turned = [...items].reverse();
        const again = new CiderD(turned.map(({r}) => [...r].reverse())).score(turned.map(({h}) => h));
        expectClose([...again.perItem].reverse(), [...first.perItem], 1e-12);
      },
    ),
  );
});

test('CiderD: refuses an item without references, too few hypotheses, and frequencies of no images', () => {
  expect(() => new CiderD([[]])).toThrow(InputError);
  expect(() => new CiderD([['a']]).score([])).toThrow('0 hypotheses for 1 items');
  expect(() => new CiderD([['a']], {images: 0, counts: []})).toThrow('document frequencies of 0 images');
});
