import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {runMue} from '../../support/cli/run-mue.js';
import {SYNTHETIC_HEADER, syntheticRows, writeRecording} from '../../support/data/synthetic-recording.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-sweep-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));
const at = (name: string): string => path.join(folder, name);
const rows = syntheticRows(24) as {index: number; similarity: string}[];
const whole = writeRecording(at('whole.jsonl'), rows);
const sweep = (recordings: readonly string[], ...options: string[]) =>
  runMue(['sweep', '--grid', '4', '--resamples', '200', '--out', at('out'), ...recordings, ...options]);
const files = (name: string): string[] =>
  ['sweep.csv', 'sweep.json', 'front.json', 'chosen.json'].map((file) =>
    fs.readFileSync(path.join(at(name), file), 'utf8'),
  );

test('mue sweep: shards in any order give the files of the whole recording, byte for byte', async () => {
  const even = writeRecording(
    at('0.jsonl'),
    rows.filter(({index}) => index % 2 === 0),
  );
  const odd = writeRecording(
    at('1.jsonl'),
    rows.filter(({index}) => index % 2 === 1),
  );
  const once = await sweep([whole], '--out', at('a'));
  expect([once.code, once.stderr]).toEqual([0, expect.stringContaining('24 items of 8 pictures')]);
  expect(once.stdout).toMatch(/^front of MACs/);
  expect(once.stdout).toMatch(/^verdict: similarity, MACs .* retention ≥ [\d.]+ % with 95 % confidence/m);
  expect((await sweep([odd, even], '--out', at('b'))).code).toBe(0);
  expect(files('b')).toEqual(files('a'));
  expect(fs.readdirSync(at('a')).sort()).toEqual(['chosen.json', 'front.json', 'sweep.csv', 'sweep.json']);
});

test('mue sweep --thresholds: replays the settings that were chosen on another recording', async () => {
  const other = writeRecording(at('other.jsonl'), syntheticRows(12, {seed: 5}), {...SYNTHETIC_HEADER, data: 'ee'});
  await sweep([whole], '--policies', 'entropy,patience', '--out', at('chosen'));
  const {code} = await sweep([other], '--thresholds', path.join(at('chosen'), 'front.json'), '--out', at('applied'));
  expect(code).toBe(0);
  const front = JSON.parse(files('chosen')[2]!) as {points: object[]};
  const applied = JSON.parse(files('applied')[1]!) as {points: object[]; settingsFrom: string};
  expect(applied.settingsFrom).toBe('given');
  expect(applied.points).toHaveLength(front.points.length);
  for (const [i, setting] of front.points.entries()) expect(applied.points[i]).toMatchObject(setting);
  // What the verdicts judge are points of the policies' own fronts.
  const picked = JSON.parse(files('chosen')[3]!) as {points: {policy: string}[]};
  expect(new Set(picked.points.map(({policy}) => policy))).toEqual(new Set(['entropy', 'patience']));
  expect(front.points).toEqual(expect.arrayContaining(picked.points));
});

const written = (name: string, text: string): string => {
  fs.writeFileSync(at(name), text);
  return at(name);
};
const broken = (change: (row: Record<string, unknown>) => object): string =>
  writeRecording(at(`broken-${Math.random()}.jsonl`), [change({...rows[0]!})]);
const cases: readonly (readonly [string, () => readonly string[], number, string, RegExp])[] = [
  ['a recording of no rows', () => [writeRecording(at('none.jsonl'), [])], 1, 'recording-empty', /no rows/],
  ['an empty file', () => [written('zero.jsonl', '')], 1, 'recording-empty', /zero\.jsonl/],
  ['a missing file', () => [at('missing.jsonl')], 1, 'file-unreadable', /missing\.jsonl/],
  [
    'NaN',
    () => [
      broken((row) => ({...row, similarity: Buffer.from(new Float32Array(24).fill(NaN).buffer).toString('base64')})),
    ],
    1,
    'recording-corrupt',
    /row 1: decoder similarity: not a number/,
  ],
  ['too few numbers', () => [broken((row) => ({...row, logits: 'AAAA'}))], 1, 'recording-corrupt', /wanted 72/],
  [
    'a damaged line',
    () => [written('cut.jsonl', `${fs.readFileSync(whole, 'utf8').slice(0, 900)}\n{}\n`)],
    1,
    'recording-corrupt',
    /line 2/,
  ],
  ['a row twice', () => [whole, whole], 1, 'recording-overlap', /row 0/],
  [
    'shards of different data',
    () => [whole, writeRecording(at('d.jsonl'), rows, {...SYNTHETIC_HEADER, data: '00'})],
    1,
    'recording-mismatch',
    /'data'/,
  ],
  ['no recording', () => ['package.json'], 1, 'recording-corrupt', /line 1/],
  ['an unknown policy', () => [whole, '--policies', 'luck'], 2, 'policy-unknown', /luck.*softmax-margin/],
  ['thresholds that are none', () => [whole, '--thresholds', 'package.json'], 2, 'settings-invalid', /points/],
  ['missing thresholds', () => [whole, '--thresholds', at('nope.json')], 2, 'settings-missing', /nope/],
  ['a file in the place of the folder', () => [whole, '--out', whole], 1, 'cannot-write', /whole\.jsonl/],
];
test.each(cases)('mue sweep: %s is an error with its code', async (_, args, code, name, message) => {
  const result = await sweep(args());
  expect([result.code, result.stdout]).toEqual([code, '']);
  expect(result.stderr).toContain(`error [${name}]`);
  expect(result.stderr).toMatch(message);
});

test('mue sweep: one item is enough', async () => {
  const {code} = await sweep([writeRecording(at('one.jsonl'), rows.slice(0, 1))], '--out', at('one'));
  expect(code).toBe(0);
});
