import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {sampleEvaluation, sampleSweep} from '../../support/data/evaluation-sample.js';
import {runMue} from '../../support/cli/run-mue.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-report-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));
const at = (...parts: string[]): string => path.join(folder, ...parts);

test('mue report: a page of evaluations and sweeps, also of one folder, with files beside it', async () => {
  sampleEvaluation(at('runs', 'full'), {layers: () => [6, 6, 6], correct: (i) => i > 0});
  sampleEvaluation(at('runs', 'mue'), {
    layers: (i) => [1, 1, 1 + (i % 4)],
    correct: (i) => i > 1,
    exit: {decoder: {policy: 'similarity', threshold: 0.94}},
  });
  fs.mkdirSync(at('runs', 'sweep'));
  fs.writeFileSync(at('runs', 'sweep', 'sweep.json'), JSON.stringify(sampleSweep()));
  const {code, stdout, stderr} = await runMue(['report', at('runs'), '--out', at('out'), '--title', 'A & B']);
  expect({code, stdout}).toEqual({code: 0, stdout: `${at('out', 'index.html')}\n`});
  expect(stderr).toContain('2 evaluations, 1 sweep, 0 plans');
  const names = fs.readdirSync(at('out')).sort();
  expect(names).toEqual(
    [
      ...['layers', 'macs', 'ms'].map((cost) => `snli-ve-${cost}.svg`),
      ...['full', 'mue'].flatMap((run) => [`exits-${run}.svg`, `confusion-${run}.svg`, `difficulty-${run}.svg`]),
      'index.html',
      'points.csv',
      'report.json',
    ].sort(),
  );
  const html = fs.readFileSync(at('out', 'index.html'), 'utf8');
  expect(html).toContain('<h1>A &#38; B</h1>');
  expect(html).not.toMatch(/(?:src|href)=|url\(|@import/);
  // Layers of the decoder are 1 + difficulty: ρ is 1.
  const json = JSON.parse(fs.readFileSync(at('out', 'report.json'), 'utf8'));
  expect(json.difficulty[1].correlations[2]).toMatchObject({stack: 'decoder', correlation: {rho: 1, n: 40}});
  const mue = json.points.find((point: {source: string}) => point.source === 'mue');
  expect(mue).toMatchObject({
    policy: 'similarity',
    setting: 'decoder 0.94',
    quality: 38 / 40,
    layers: 3.5,
    p50: 2 + 10 + 12.5,
  });
  expect(mue.retention).toBeCloseTo(38 / 39, 12);
  // One row of 40 that is wrong: no, though the label is yes.
  expect(fs.readFileSync(at('out', 'confusion-full.svg'), 'utf8')).toContain('39 (97.5 %)');
});

test.each([
  ['report-input-missing', 'none', () => undefined],
  ['report-input-unknown', 'empty', (dir: string) => fs.mkdirSync(dir)],
  ['report-input-corrupt', 'torn', (dir: string) => write(dir, 'sweep.json', '{"points": [')],
  ['report-input-unknown', 'other.json', (file: string) => fs.writeFileSync(file, '[1]')],
  ['run-corrupt', 'damaged', (dir: string) => write(dir, 'run.json', '{}')],
  ['evaluation-unfinished', 'unfinished', (dir: string) => fs.rmSync(path.join(sample(dir), 'metrics.json'))],
  ['evaluation-damaged', 'short', (dir: string) => write(sample(dir), 'metrics.json', '{"n": 3}')],
])('mue report: %s (%s) is an error, and nothing is written', async (expected, name, prepare) => {
  prepare(at(name));
  const {code, stderr} = await runMue(['report', at(name), '--out', at('never')]);
  expect(code).toBe(1);
  expect(stderr).toContain(`error [${expected}]`);
  expect(stderr).toContain(name);
  expect(fs.existsSync(at('never'))).toBe(false);
});

function write(dir: string, name: string, content: string): void {
  fs.mkdirSync(dir, {recursive: true});
  fs.writeFileSync(path.join(dir, name), content);
}

function sample(dir: string): string {
  return sampleEvaluation(dir, {layers: () => [6, 6, 6], correct: () => true, rows: 4});
}
