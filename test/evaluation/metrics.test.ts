import {type EvaluationSetup, evaluationMetrics} from '../../src/evaluation/metrics.js';
import type {EvaluationRow} from '../../src/evaluation/row.js';
import {NEVER_PLAN} from '../../src/exit/plan/schema.js';

function layersSaved(layers: EvaluationRow['layers'], depths: EvaluationSetup['depths']): number | null {
  const setup: EvaluationSetup = {
    task: 'caption',
    model: {name: 'm', sha256: null},
    depths,
    data: {name: 'd'},
    exit: NEVER_PLAN,
    device: 'cpu',
    threads: null,
  };
  const row: EvaluationRow = {
    index: 0,
    id: 'a',
    image_id: 'a',
    answer: '',
    score: 0,
    layers,
    macs: {run: 1, full: 2},
    ms: {image: 0, preprocess: 0, encode: 0, decode: 0, total: 1, wall: 1},
  };
  return evaluationMetrics([row], setup, {unreadable: 0, failed: 0}).etr;
}

test('evaluationMetrics: layers of three towers are counted one by one', () => {
  const depths = {vision: 4, text: 4, multimodal: 4};
  expect(layersSaved({vision: 2, text: [1, 3], multimodal: [4, 4]}, depths)).toBeCloseTo(1 - 8 / 12, 12);
});

test('evaluationMetrics: layers of two encoder streams are counted by their mean', () => {
  const depths = {'encoder.image': 4, 'encoder.text': 4, decoder: 4};
  expect(layersSaved({'encoder.image': 2, 'encoder.text': 4, decoder: [1, 3]}, depths)).toBeCloseTo(1 - 5 / 8, 12);
});
