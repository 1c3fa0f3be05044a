import {captionRetention} from '../../src/evaluation/caption-retention.js';
import {CaptionScorer} from '../../src/metrics/caption-scores.js';
import {metricsGolden} from '../support/golden/metrics.js';

test('captionRetention: estimates are ratios of the corpus scores', () => {
  const {references, hypotheses} = metricsGolden();
  const scorer = new CaptionScorer(references);
  const full = scorer.score(hypotheses);
  const early = scorer.score(
    hypotheses.map((text, i) => (i % 4 === 0 ? text.split(' ').slice(0, -2).join(' ') : text)),
  );
  const result = captionRetention(early, full, {seed: 1, resamples: 300});
  const names = ['BLEU-1', 'BLEU-2', 'BLEU-3', 'BLEU-4', 'ROUGE-L', 'CIDEr-D'] as const;
  for (const name of names) {
    expect(result[name].estimate).toBeCloseTo(early.metrics[name] / full.metrics[name], 12);
    expect(result[name].low).toBeLessThan(result[name].estimate);
    expect(result[name].high).toBeGreaterThan(result[name].estimate);
  }
  expect(result.mean.estimate).toBeCloseTo(names.reduce((sum, name) => sum + result[name].estimate, 0) / 6, 12);
  expect(captionRetention(full, full, {seed: 1, resamples: 50}).mean).toMatchObject({low: 1, high: 1});
});
