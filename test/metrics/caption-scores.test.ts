import {CaptionScorer} from '../../src/metrics/caption-scores.js';
import {InputError} from '../../src/runtime/errors.js';
import {OWN, TOY_REFERENCES, TOY_SETS} from '../support/data/caption-fixtures.js';
import {expectClose, metricsGolden} from '../support/golden/metrics.js';

test.each(TOY_SETS)('CaptionScorer: clipscore toy set, $name captions', ({hypotheses, bleu, rougeL, ciderD}) => {
  const scores = new CaptionScorer(TOY_REFERENCES.slice(0, hypotheses.length)).score(hypotheses);
  expectClose(scores.bleu.corpus, bleu, 6e-5);
  expectClose(scores.rougeL.perItem, rougeL, 1e-6);
  expectClose(scores.ciderD.perItem, ciderD, 1e-6);
});

test('CaptionScorer: own fixture, scored by pycocoevalcap', () => {
  const {metrics, rougeL, ciderD} = new CaptionScorer(OWN.references).score(OWN.hypotheses);
  expectClose([metrics['BLEU-1'], metrics['BLEU-2'], metrics['BLEU-3'], metrics['BLEU-4']], OWN.bleu);
  expectClose([metrics['ROUGE-L'], metrics['CIDEr-D']], [0.8174279579, 2.0627958287]);
  expectClose(rougeL.perItem, OWN.rougeL);
  expectClose(ciderD.perItem, OWN.ciderD);
});

test('CaptionScorer: golden, without a tokeniser', () => {
  const {g, references, hypotheses} = metricsGolden();
  const {metrics} = new CaptionScorer(references, {tokenize: (text) => text}).score(hypotheses);
  expectClose(Object.values(metrics), [...g.bleu.corpus, g.rouge_l.corpus, g.cider.corpus]);
});

test('CaptionScorer: refuses an empty set, and an item without references', () => {
  expect(() => new CaptionScorer([])).toThrow(InputError);
  expect(() => new CaptionScorer([['a'], []])).toThrow(InputError);
});
