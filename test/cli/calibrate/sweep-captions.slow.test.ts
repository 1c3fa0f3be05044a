import {spawn} from 'node:child_process';
import {once} from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type {CaptionSweep} from '../../../src/calibration/sweep/caption-sweep.js';
import {parseSweep} from '../../../src/calibration/sweep/file.js';
import {microFolder} from '../../support/models/micro-folder.js';
import {type Finished, MUE} from '../../support/cli/mue-command.js';
import {runMue} from '../../support/cli/run-mue.js';

// A micro model with random weights answers nonsense, but in milliseconds. Commands that are killed run in processes of
// their own.
const ROWS = 6;
const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-sweep-captions-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
const at = (...names: string[]): string => path.join(root, ...names);
const written = (name: string, text: string): string => {
  fs.writeFileSync(at(name), text);
  return at(name);
};
const SETTINGS = {
  points: [
    [0.3, 0.5, 0.9],
    {encoder: 'fixed', policy: 'softmax-margin', image: 2, text: 1, decoder: 0.01},
    {encoder: 'fixed', policy: 'fixed', image: 1, text: 1, decoder: 2},
  ],
};
let args: readonly string[] = [];
const sweep = (...options: readonly string[]): Promise<Finished> => runMue([...args, ...options]);
const files = (name: string): string[] =>
  ['runs.jsonl', 'sweep.json', 'sweep.csv', 'front.json'].map((file) => fs.readFileSync(at(name, file), 'utf8'));
const lines = fs.readFileSync('data/scenes/caption-val.jsonl', 'utf8').split('\n').slice(0, ROWS);

beforeAll(async () => {
  const model = await microFolder(root);
  const data = written('data.jsonl', `${lines.join('\n')}\n`);
  const thresholds = written('settings.json', JSON.stringify(SETTINGS));
  const what = [
    '--task',
    'caption',
    '--data',
    data,
    '--images',
    'data/scenes',
    '--thresholds',
    thresholds,
    '--resamples',
    '100',
  ];
  args = ['sweep', '--model', model, '--device', 'wasm', ...what];
  const {code, stdout, stderr} = await sweep('--out', at('one'));
  expect([code, stderr]).toEqual([0, expect.stringContaining('6 captions of 6 pictures at 4 settings, all run')]);
  expect(stdout).toMatch(
    /^front of MACs[\s\S]*^static front of MACs[\s\S]*^verdict: similarity, MACs .*retention of CIDEr-D ≥/m,
  );
});

test('mue sweep --data: full depth is the baseline, and every figure is exact', () => {
  const [, json, csv, front] = files('one') as [string, string, string, string];
  const {full, points, static: statics, recording} = JSON.parse(json) as CaptionSweep;
  expect([points.length, statics.length, recording.n]).toEqual([2, 2, ROWS]);
  expect(statics[0]).toMatchObject({...full, retention: 1, meanRetention: 1, agreement: 1, etr: 0, exact: true});
  expect(statics[0]!.macs.saved).toBe(0);
  expect(statics[1]).toMatchObject({layers: {image: 1, text: 1, decoder: 2}, etr: 1 - 3 / 7});
  for (const point of [...points, ...statics]) expect(point.exact).toBe(true);
  expect(csv.trimEnd().split('\n')).toHaveLength(5);
  const chosen = (JSON.parse(front) as {points: object[]}).points;
  expect(chosen).toContainEqual({encoder: 'fixed', policy: 'fixed', image: 1, text: 1, decoder: 2});
  const read = parseSweep(JSON.parse(json), 'one');
  expect(read.points.map(({policy, exact}) => [policy, exact])).toEqual([
    ['full depth', true],
    ['similarity', true],
    ['softmax-margin', true],
    ['static depth', true],
    ['static depth', true],
  ]);
  expect(read.verdicts.map(({measure, cost}) => `${measure} ${cost}`)).toContain('mean layers');
});

test('mue sweep --data: goes on after kill -9, with the same files, byte for byte', async () => {
  await killed([...args, '--out', at('killed')], at('killed', 'runs.jsonl'));
  expect((await sweep('--out', at('killed'))).code).toBe(0);
  expect(files('killed')).toEqual(files('one'));
});

test('mue sweep: shards in any order give the files of one run', async () => {
  for (const shard of ['1/2', '0/2']) {
    const {code, stderr} = await sweep('--shard', shard, '--out', at('shards'));
    expect([code, stderr]).toEqual([0, expect.stringContaining('When all shards are there')]);
  }
  const parts = ['shard-1-of-2', 'shard-0-of-2'].map((name) => at('shards', name, 'runs.jsonl'));
  expect((await runMue(['sweep', ...parts, '--resamples', '100', '--out', at('shards')])).code).toBe(0);
  expect(fs.readFileSync(at('shards', 'sweep.json'), 'utf8')).toBe(files('one')[1]);
});

test('mue sweep --data: one caption is enough; a row that cannot be used is told and skipped', async () => {
  const broken = written(
    'broken.jsonl',
    `${lines[0]}\n{"id":"x","imageId":"x","image":"images/none.jpg","references":["a"]}\n`,
  );
  const {code, stderr} = await sweep('--data', broken, '--out', at('broken'));
  expect([code, stderr]).toEqual([5, expect.stringContaining('line 2 is skipped')]);
  expect((JSON.parse(files('broken')[1]!) as CaptionSweep).recording.n).toBe(1);
});

describe('a recording of captions', () => {
  const recording = at('captions.jsonl');
  let record: readonly string[] = [];
  beforeAll(async () => {
    record = [
      'record',
      '--model',
      at('model'),
      '--device',
      'wasm',
      '--task',
      'caption',
      '--data',
      at('data.jsonl'),
      '--images',
      'data/scenes',
    ];
    expect((await runMue([...record, '--out', recording])).code).toBe(0);
  });

  test('mue record: goes on after kill -9, byte for byte', async () => {
    const torn = at('torn.jsonl');
    await killed([...record, '--out', torn], torn);
    expect((await runMue([...record, '--out', torn])).code).toBe(0);
    expect(fs.readFileSync(torn, 'utf8')).toBe(fs.readFileSync(recording, 'utf8'));
  });

  test('mue sweep: proposes settings as estimates; --run makes them exact', async () => {
    const grid = ['--grid', '3', '--policies', 'similarity,entropy', '--points', '2', '--resamples', '50'];
    const alone = await runMue(['sweep', recording, ...grid, '--out', at('proposed')]);
    expect([alone.code, alone.stderr]).toEqual([0, expect.stringContaining('exact: false')]);
    expect(alone.stdout).toMatch(/^proposed front of MACs/);
    const run = ['--run', at('data.jsonl'), '--images', 'data/scenes', '--model', at('model'), '--device', 'wasm'];
    expect((await runMue(['sweep', recording, ...grid, ...run, '--out', at('run')])).code).toBe(0);
    const read = (...names: string[]) =>
      parseSweep(JSON.parse(fs.readFileSync(at(...names, 'sweep.json'), 'utf8')), names.join());
    expect(fs.readFileSync(at('run', 'proposed', 'sweep.json'), 'utf8')).toBe(
      fs.readFileSync(at('proposed', 'sweep.json'), 'utf8'),
    );
    const [proposed, ran] = [read('proposed'), read('run')];
    expect([proposed.task, proposed.n, ran.n]).toEqual(['caption', ROWS, ROWS]);
    expect(new Set(proposed.points.map(({exact}) => exact))).toEqual(new Set([false]));
    expect(new Set(ran.points.map(({exact}) => exact))).toEqual(new Set([true]));
    for (const {setting, policy} of ran.points)
      expect(proposed.points.map((point) => [point.policy, point.setting])).toContainEqual([policy, setting]);
    for (const {metrics} of ran.points) expect(metrics['CIDEr-D']).toBeGreaterThanOrEqual(0);
  });

  const row = (change: (row: Record<string, unknown>) => object): string => {
    const [header, first] = fs.readFileSync(recording, 'utf8').split('\n') as [string, string];
    return written(
      'changed.jsonl',
      `${header}\n${JSON.stringify(change(JSON.parse(first) as Record<string, unknown>))}\n`,
    );
  };
  const bad: readonly (readonly [string, () => readonly string[], number, string, RegExp])[] = [
    [
      'where items are calibrated',
      () => ['calibrate', recording, '--max-drop', '1%', '--out', at('x')],
      2,
      'captions-recorded',
      /--data/,
    ],
    [
      'without rows',
      () => ['sweep', written('e.jsonl', `${fs.readFileSync(recording, 'utf8').split('\n')[0]}\n`), '--out', at('x')],
      1,
      'recording-empty',
      /e\.jsonl/,
    ],
    [
      'of NaN',
      () => [
        'sweep',
        row(({margin, ...rest}) => ({
          ...rest,
          margin: Buffer.from(Buffer.from(margin as string, 'base64').fill(255)).toString('base64'),
        })),
        '--out',
        at('x'),
      ],
      1,
      'recording-corrupt',
      /row 1: margin: not a number/,
    ],
    [
      'cut short',
      () => ['sweep', row((all) => ({...all, answer: 'AAAA'})), '--out', at('x')],
      1,
      'recording-corrupt',
      /answer: 3 numbers/,
    ],
    [
      'for a head',
      () => ['sweep', recording, '--policies', 'linear-head', '--out', at('x')],
      2,
      'policy-unknown',
      /linear-head/,
    ],
    [
      'of no data',
      () => [...record, '--data', written('no.jsonl', ''), '--out', at('y.jsonl')],
      1,
      'data-empty',
      /no\.jsonl/,
    ],
  ];
  test.each(bad)('%s is an error with its code', fails);

  test('mue calibrate --data: candidates run until each is decided; goes on after kill -9, byte for byte', async () => {
    // What full depth says is what the references say: it scores 1.
    const captions = fs.readFileSync(recording, 'utf8').split('\n').slice(1, -1);
    const own = captions.map((line) => (JSON.parse(line) as {caption: string}).caption);
    const rows = lines.map((line, i) => JSON.stringify({...(JSON.parse(line) as object), references: [own[i]]}));
    const data = written('own.jsonl', `${rows.join('\n')}\n`);
    const goal = ['--max-drop', '90%', '--delta', '0.3', '--grid', '3', '--points', '3'];
    const command = (name: string): string[] => [
      'calibrate',
      ...record.slice(1),
      ...['--data', data, '--out', at(`${name}.json`), ...goal],
    ];
    const {code, stdout, stderr} = await runMue(command('plan'));
    expect([code, stderr]).toEqual([0, expect.stringContaining('3 candidates on 6 pictures: 1 choose')]);
    expect(stdout).toMatch(/certified: rouge-l falls by at most 90 %[\s\S]*saves [\d.]+ % of layers, [\d.]+ % of MACs/);
    const log = at('again-runs', 'calibration.jsonl');
    await killed(command('again'), log);
    expect((await runMue(command('again'))).code).toBe(0);
    expect(fs.readFileSync(log, 'utf8')).toBe(fs.readFileSync(at('plan-runs', 'calibration.jsonl'), 'utf8'));
    expect(fs.readFileSync(at('again.json'), 'utf8')).toBe(fs.readFileSync(at('plan.json'), 'utf8'));
    const stopped = await runMue([...command('hasty'), '--budget-minutes', '0.00001']);
    expect(stopped.stderr).toContain('minutes are over');
  });

  test('mue sweep: one caption is enough', async () => {
    const {code} = await runMue(['sweep', row((all) => all), '--grid', '3', '--out', at('single')]);
    expect(code).toBe(0);
  });
});

const runs = (name: string, change: (text: string) => string): string => written(name, change(files('one')[0]!));
const cases: readonly (readonly [string, () => readonly string[], number, string, RegExp])[] = [
  ['nothing to sweep', () => ['sweep', '--out', at('x')], 2, 'nothing-to-sweep', /recording/],
  [
    'captions without settings',
    () => ['sweep', '--data', at('data.jsonl'), '--out', at('x')],
    2,
    'settings-missing',
    /--thresholds/,
  ],
  [
    'an empty data set',
    () => [...args, '--data', written('empty.jsonl', ''), '--out', at('x')],
    1,
    'data-empty',
    /empty\.jsonl/,
  ],
  ['a missing data set', () => [...args, '--data', at('nope.jsonl'), '--out', at('x')], 1, 'dataset-not-found', /nope/],
  [
    'a head that has learnt nothing',
    () => {
      const points = [{encoder: 'fixed', policy: 'linear-head', image: 1, text: 1, decoder: 0}];
      return [...args, '--thresholds', written('head.json', JSON.stringify({points})), '--out', at('x')];
    },
    2,
    'head-untrained',
    /linear-head/,
  ],
  [
    'other settings in the same folder',
    () => [...args, '--thresholds', written('other.json', '{"points":[[0.5,0.5,0.5]]}'), '--out', at('one')],
    2,
    'resume-mismatch',
    /runs\.jsonl/,
  ],
  [
    'runs without rows',
    () => ['sweep', runs('none', (text) => text.slice(0, text.indexOf('\n') + 1)), '--out', at('x')],
    1,
    'recording-empty',
    /none/,
  ],
  [
    'a damaged line',
    () => ['sweep', runs('cut', (text) => text.replace('"index":2', '"index":')), '--out', at('x')],
    1,
    'recording-corrupt',
    /line 4/,
  ],
  [
    'a score that is no number',
    () => ['sweep', runs('nan', (text) => text.replace(/"score":-[\d.]+/, '"score":null')), '--out', at('x')],
    1,
    'recording-corrupt',
    /row 1: searches\.0\.score/,
  ],
  [
    'a setting without a search',
    () => ['sweep', runs('stray', (text) => text.replace('"of":[0,', '"of":[9,')), '--out', at('x')],
    1,
    'recording-corrupt',
    /search 9/,
  ],
];
test.each(cases)('mue sweep: %s is an error with its code', fails);

async function fails(
  _: string,
  all: () => readonly string[],
  code: number,
  name: string,
  message: RegExp,
): Promise<void> {
  const result = await runMue(all());
  expect([result.code, result.stdout]).toEqual([code, '']);
  expect(result.stderr).toContain(`error [${name}]`);
  expect(result.stderr).toMatch(message);
}

/** Kills the command as soon as two rows are written, as if it had died while it wrote the next. */
async function killed(command: readonly string[], log: string): Promise<void> {
  const rows = (): number => (fs.existsSync(log) ? fs.readFileSync(log, 'utf8').split('\n').length - 2 : 0);
  const child = spawn(process.execPath, [MUE, ...command], {stdio: 'ignore'});
  const watch = setInterval(() => {
    if (rows() >= 2 && !child.killed) child.kill('SIGKILL');
  }, 1);
  expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
  clearInterval(watch);
  expect(rows()).toBeLessThan(ROWS);
  fs.appendFileSync(log, '{"index":');
}
