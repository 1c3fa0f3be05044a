import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {parsePlan} from '../../../src/exit/plan/schema.js';
import {sampleEvaluation} from '../../support/data/evaluation-sample.js';
import {syntheticRuns} from '../../support/data/caption-runs.js';
import {runMue} from '../../support/cli/run-mue.js';
import {SYNTHETIC_HEADER, syntheticRows, writeRecording} from '../../support/data/synthetic-recording.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-calibrate-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));
const at = (name: string): string => path.join(folder, name);
const recording = writeRecording(at('calibration.jsonl'), syntheticRows(240));
const calibrate = (name: string, ...options: string[]) =>
  runMue(['calibrate', recording, '--grid', '5', '--out', at(name), ...options]);

test('mue calibrate --max-drop: a plan with its certificate, the same every time', async () => {
  const {code, stdout} = await calibrate('plan.json', '--max-drop', '15%');
  expect(code).toBe(0);
  expect(stdout).toMatch(/certified: right answers lost at most 15 %, except with probability 0\.05/);
  expect(stdout).toMatch(/saves [\d.]+ % of layers, [\d.]+ % of MACs; measure wall-clock/);
  const text = fs.readFileSync(at('plan.json'), 'utf8');
  const plan = parsePlan(text, 'plan.json', 'snli-ve');
  expect(plan).toMatchObject({
    model: SYNTHETIC_HEADER.model,
    task: 'snli-ve',
    stacks: {decoder: {policy: 'softmax-margin'}},
  });
  expect(plan.certificate).toMatchObject({
    data: SYNTHETIC_HEADER.data,
    alpha: 0.15,
    delta: 0.05,
    n: 240,
    pictures: 80,
    method: 'pareto-testing',
  });
  expect((await calibrate('again.json', '--max-drop', '0.15')).code).toBe(0);
  expect(fs.readFileSync(at('again.json'), 'utf8')).toBe(text);
});

test('mue entail --exit: refuses a plan that was calibrated for another model', async () => {
  await calibrate('foreign.json', '--max-drop', '5%');
  const {code, stderr} = await runMue([
    'entail',
    'examples/pictures/01.png',
    'a dog',
    '--device',
    'wasm',
    '--exit',
    at('foreign.json'),
  ]);
  expect(code).toBe(2);
  expect(stderr).toContain('error [plan-model]');
});

test('mue calibrate: says how many items it would take to certify something, and writes no plan', async () => {
  const {code, stdout, stderr} = await calibrate('none.json', '--max-drop', '0.5%');
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(/error \[nothing-certified\]: .*at most 0\.5 % with 95 % confidence/);
  expect(stderr).toMatch(/needs about 598 items, hence a recording of 1196/); // 0.995 ** 598 < 0.05
  expect(fs.existsSync(at('none.json'))).toBe(false);
});

test('mue calibrate --budget: takes a percentage of full depth', async () => {
  const {code, stdout} = await calibrate('budget.json', '--budget', 'macs=80%', '--policy', 'entropy,similarity');
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^chosen of \d+/)]);
  const {certificate} = JSON.parse(fs.readFileSync(at('budget.json'), 'utf8')) as {
    certificate: {expected: {macs: {saved: number}}};
  };
  expect(certificate.expected.macs.saved).toBeGreaterThan(0.19);
  expect(await calibrate('b.json', '--budget', 'macs=1')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('nothing-within-budget'),
  });
});

test('mue calibrate --check-samples: counts broken promises on samples of a pool', async () => {
  const test = writeRecording(at('test.jsonl'), syntheticRows(90, {seed: 7}), {...SYNTHETIC_HEADER, data: 'ff'});
  const {code, stdout} = await calibrate(
    'checked.json',
    '--max-drop',
    '5%',
    '--check-samples',
    '50',
    '--check-data',
    test,
  );
  expect(stdout).toMatch(
    /promise: of 50 calibrations on 240 drawn of 330 items, \d+ chose .* at most 11\.16 % allowed: kept/,
  );
  expect(code).toBe(0);
});

const cases: readonly (readonly [string, readonly string[], string])[] = [
  ['no goal', [], 'goal'],
  ['two goals', ['--max-drop', '1%', '--budget', 'layers=3'], 'goal'],
  ['a drop of 2', ['--max-drop', '2'], 'usage'],
  ['a check of a budget', ['--budget', 'layers=3', '--check-samples', '9'], 'goal'],
  ['a head without training', ['--max-drop', '5%', '--policy', 'linear-head'], 'head-untrained'],
  ['an unknown policy', ['--max-drop', '5%', '--policy', 'luck'], 'policy-unknown'],
];
test.each(cases)('mue calibrate: %s is wrong usage', async (_, options, code) => {
  const result = await calibrate('x.json', ...options);
  expect([result.code, result.stdout]).toEqual([2, '']);
  expect(result.stderr).toContain(`error [${code}]`);
});

describe('mue calibrate --timings', () => {
  const timed = (name: string, layers: readonly [number, number, number]): string => {
    const run = sampleEvaluation(at(name), {
      layers: (i) => [layers[0], layers[1], Math.min(layers[2] + (i % 2), 6)],
      correct: () => true,
    });
    const file = path.join(run, 'run.json');
    const json = JSON.parse(fs.readFileSync(file, 'utf8')) as {model: object};
    fs.writeFileSync(file, JSON.stringify({...json, model: {name: 'synthetic', sha256: SYNTHETIC_HEADER.model}}));
    return run;
  };

  test('fits milliseconds of a layer to timed rows, and keeps a budget in milliseconds', async () => {
    const timings = ['--timings', timed('full', [6, 6, 6]), timed('early', [2, 1, 2])];
    const {code, stdout} = await calibrate('ms.json', '--budget', 'ms=70%', '--cost', 'ms', ...timings);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/ ms by a fit to 80 timed rows \(explains 100 %\)/)]);
    const {certificate} = JSON.parse(fs.readFileSync(at('ms.json'), 'utf8')) as {
      certificate: {budget: {cost: string; most: number}; ms: {layers: object; expected: number}};
    };
    // 2 + 10 an image layer + 5 a decoder layer, as the sample says; the recording has 3 and 4 layers.
    expect(certificate.budget).toEqual({cost: 'ms', most: expect.closeTo(0.7 * (2 + 30 + 20), 6) as number});
    expect(certificate.ms.layers).toMatchObject({
      image: expect.closeTo(10, 6),
      text: 0,
      decoder: expect.closeTo(5, 6),
      rows: 80,
    });
    expect(certificate.ms.expected).toBeLessThanOrEqual(1.1 * certificate.budget.most);
  });

  test.each([
    ['no timings', [], 'timings-missing'],
    ['timings of one depth', ['--timings', 'full'], 'timings-alike'],
    ['timings of another model', ['--timings', 'other'], 'timings-differ'],
  ])('%s is an error', async (_, options, code) => {
    timed('full', [6, 6, 6]);
    sampleEvaluation(at('other'), {layers: () => [6, 6, 6], correct: () => true});
    const found = await calibrate(
      'no.json',
      '--budget',
      'ms=50',
      ...options.map((x) => (x.startsWith('--') ? x : at(x))),
    );
    expect([found.code, found.stderr]).toEqual([2, expect.stringContaining(`error [${code}]`)]);
    expect(fs.existsSync(at('no.json'))).toBe(false);
  });
});

describe('captions that were run', () => {
  const {header, rows} = syntheticRuns(300, 0.05);
  const runs = at('runs.jsonl');
  fs.writeFileSync(runs, [header, ...rows].map((line) => `${JSON.stringify(line)}\n`).join(''));
  const captions = (...options: string[]) => runMue(['calibrate', ...options, '--out', at('captions.json')]);

  test('mue calibrate: a plan for captions with its certificate; --check-samples counts broken promises', async () => {
    const {code, stdout} = await captions(runs, '--max-drop', '5%', '--check-samples', '20');
    expect([code, stdout]).toEqual([0, expect.stringContaining('certified: rouge-l falls by at most 5 %')]);
    expect(stdout).toMatch(/of 20 calibrations on 300 drawn pictures, \d+ chose a plan .* allowed: kept/);
    const plan = parsePlan(fs.readFileSync(at('captions.json'), 'utf8'), 'captions.json', 'caption');
    expect(plan).toMatchObject({model: 'm', task: 'caption', stacks: {decoder: {policy: 'fixed', layers: 1}}});
    expect(plan.certificate).toMatchObject({method: 'betting-sequence', alpha: 0.05, n1: 60});
  });

  test.each([
    [
      'nothing that can be certified',
      [runs, '--max-drop', '0.1%'],
      'nothing-certified',
      /no number of pictures would do/,
    ],
    ['a budget', [runs, '--budget', 'macs=60%'], 'goal', /--max-drop/],
    ['nothing to calibrate on', ['--max-drop', '1%'], 'nothing-to-calibrate', /--data/],
    ['runs with data', [runs, '--max-drop', '1%', '--data', 'x.jsonl'], 'data-needless', /stands alone/],
  ])('mue calibrate: %s is an error with its code', async (_, options, code, message) => {
    const {stdout, stderr} = await captions(...options);
    expect([stdout, stderr]).toEqual(['', expect.stringContaining(`error [${code}]`)]);
    expect(stderr).toMatch(message);
  });
});
