import type {EvaluationRow} from '../../src/evaluation/row.js';
import {type ComparedRun, pairedComparison} from '../../src/evaluation/compare.js';
import {UsageError} from '../../src/runtime/errors.js';

const DEPTHS = {'encoder.image': 6, 'encoder.text': 6, decoder: 6};

function row(index: number, change: Partial<EvaluationRow>): EvaluationRow {
  return {
    index,
    id: `row ${index}`,
    image_id: String(Math.floor(index / 3)),
    answer: 'no',
    score: -1,
    correct: 1,
    layers: {'encoder.image': 6, 'encoder.text': 6, decoder: 6},
    macs: {run: 1000, full: 1000},
    ms: {image: 0, preprocess: 0, encode: 0, decode: 0, total: 100, wall: 100},
    ...change,
  };
}

const early: ComparedRun = {
  task: 'snli-ve',
  depths: DEPTHS,
  rows: Array.from({length: 300}, (_, i) =>
    row(i, {
      correct: i % 50 === 0 ? 0 : 1,
      layers: {'encoder.image': 2, 'encoder.text': 1, decoder: [2, 4]},
      macs: {run: 700, full: 1000},
      ms: {image: 0, preprocess: 0, encode: 0, decode: 0, total: 60 + (i % 2) * 20, wall: 100},
    }),
  ),
};
const full: ComparedRun = {
  task: 'snli-ve',
  depths: DEPTHS,
  rows: Array.from({length: 300}, (_, i) => row(i, {correct: i % 100 === 0 ? 0 : 1})),
};

test('pairedComparison: of entailment, retention and the three savings, resampled by picture', () => {
  const {n, pictures, unpaired, metrics, saving, meanRetention} = pairedComparison(early, full, {
    seed: 1,
    resamples: 2000,
  });
  expect([n, pictures, unpaired, meanRetention]).toEqual([300, 100, 0, undefined]);
  const {retention, ...values} = metrics.accuracy!;
  expect(values).toEqual({early: 0.98, full: 0.99});
  expect(retention.estimate).toBeCloseTo(294 / 297, 12);
  expect(retention.low).toBeLessThan(294 / 297);
  expect(retention.lowerBound).toBeGreaterThanOrEqual(retention.low);
  // Costs that are the same in every row have no spread.
  expect(saving.layers).toMatchObject({
    estimate: expect.closeTo(1 - 4.5 / 12, 12),
    low: expect.closeTo(1 - 4.5 / 12, 12),
  });
  expect(saving.macs.lowerBound).toBeCloseTo(0.3, 12);
  expect(saving.ms.estimate).toBeCloseTo(0.3, 12);
  expect(saving.ms.low).toBeLessThan(0.3);
});

test('pairedComparison: of captions, retention of six metrics and their mean; a run keeps all of itself', () => {
  const rows = Array.from({length: 12}, (_, i) =>
    row(i, {
      answer: i % 4 === 0 ? 'a cat' : `a dog number ${i} on the grass`,
      references: [`a dog number ${i} on the green grass`],
    }),
  );
  const run: ComparedRun = {task: 'caption', depths: DEPTHS, rows};
  const same = pairedComparison(run, run, {seed: 1, resamples: 200});
  expect(Object.keys(same.metrics)).toEqual(['BLEU-1', 'BLEU-2', 'BLEU-3', 'BLEU-4', 'ROUGE-L', 'CIDEr-D']);
  expect(same.meanRetention).toMatchObject({estimate: 1, low: 1, high: 1});
  const better: ComparedRun = {
    ...run,
    rows: rows.map((r, i) => ({...r, answer: `a dog number ${i} on the green grass`})),
  };
  expect(pairedComparison(run, better, {seed: 1, resamples: 200}).meanRetention!.estimate).toBeLessThan(0.9);
});

test('pairedComparison: leaves out rows of one run only; refuses other tasks and other data', () => {
  const part: ComparedRun = {...full, rows: full.rows.slice(10)};
  expect(pairedComparison(early, part, {seed: 1, resamples: 10})).toMatchObject({n: 290, unpaired: 10});
  expect(() => pairedComparison(early, {...full, task: 'vqa'}, {seed: 1})).toThrow(UsageError);
  expect(() => pairedComparison(early, {...full, rows: [row(0, {id: 'other'})]}, {seed: 1})).toThrow(UsageError);
  expect(() => pairedComparison(early, {...full, rows: []}, {seed: 1})).toThrow(/no labelled row/);
});
