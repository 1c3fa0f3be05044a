import {parseTrainingLog, trainingCharts, trainingText} from '../../src/report/training.js';
import {report} from '../../src/report/report.js';

const row = (update: number): object => ({
  update,
  loss: 8 / update,
  layers: [4 / update, update === 2 ? null : 3 / update],
  terms: {caption: 3 / update, contrastive: 2 / update},
  learningRate: 1e-3 / update,
  norm: 5,
  tokens: 9,
  skipped: 0,
  ms: 100 * update,
  ...(update % 2 === 0 && {
    validation: {
      metric: 'CIDEr-D',
      depths: [3, 6].map((depth) => ({depth, value: depth * update, recall: {textToImage: 0.5, imageToText: 0.25}})),
    },
  }),
});

test('trainingCharts: a line for every exit layer, term and depth, against updates', () => {
  const curves = parseTrainingLog([1, 2, 3, 4].map(row), 'a <b>');
  const charts = new Map(trainingCharts(curves).map(({name, svg}) => [name, svg]));
  expect([...charts.keys()]).toEqual(['loss', 'layers', 'rate', 'norm', 'validation', 'recall']);
  expect(charts.get('loss')).toMatch(/contrastive/);
  expect(charts.get('layers')).toMatch(/layer 1[\s\S]*layer 2/);
  expect(charts.get('validation')).toMatch(/depth 3[\s\S]*depth 6/);
  expect(trainingText(curves)).toBe(
    '4 updates, 0.3 s each (median); the last loss is 2. Best at full depth: 24 after update 4.',
  );
  expect(trainingText({name: '', steps: []})).toBe('No update is done yet.');
});

test('trainingCharts: a log of a plain run has no charts of what it lacks; a long one is thinned', () => {
  const plain = (update: number): object => ({update, loss: 1, layers: [1], learningRate: 1, norm: null, ms: 1});
  const curves = parseTrainingLog(
    Array.from({length: 5000}, (_, i) => plain(i + 1)),
    'long',
  ); // prettier-ignore
  const charts = trainingCharts(curves);
  expect(charts.map(({name}) => name)).toEqual(['loss', 'rate', 'norm']);
  expect(charts[0]!.svg.length).toBeLessThan(40_000);
});

test('report: draws trainings alone, and escapes their names', () => {
  const trainings = [parseTrainingLog([1, 2].map(row), 'a <b>')];
  const files = report({evaluations: [], sweeps: [], plans: [], trainings});
  expect(files.map(({name}) => name)).toContain('training-a_b_-loss.svg');
  const page = files.find(({name}) => name === 'index.html')!.content;
  expect(page).toContain('<h2>Trainings</h2>');
  expect(page).not.toContain('<b>');
});

test('parseTrainingLog: a damaged line is named', () => {
  expect(() => parseTrainingLog([row(1), {update: 'two'}], 'run')).toThrow(/run: update line 2: update/);
});
