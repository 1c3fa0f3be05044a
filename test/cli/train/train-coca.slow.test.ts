import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {runMue} from '../../support/cli/run-mue.js';
import {cocaFolder} from '../../support/models/coca-folder.js';

// The whole command on open_clip's small model of the whole vocabulary, with random weights.

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-train-coca-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
const at = (...names: string[]): string => path.join(root, ...names);
let model = '';
const train = (...options: string[]) =>
  runMue([
    ...['train', model, '--task', 'caption', '--data', at('rows.jsonl'), '--images', 'data/scenes'],
    ...['--device', 'wasm', '--threads', '1', ...options],
  ]);
const log = (run: string): Record<string, unknown>[] =>
  fs
    .readFileSync(at(run, 'log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

beforeAll(async () => {
  model = await cocaFolder(root);
  const lines = fs.readFileSync('data/scenes/caption-val.jsonl', 'utf8').split('\n').slice(0, 5);
  fs.writeFileSync(at('rows.jsonl'), `${lines.join('\n')}\n`);
});

test('mue train --recipe coca: learns, and validates captions and recall', async () => {
  const learn = ['--recipe', 'coca', '--init', 'random', '--batch', '2', '--accumulate', '2', '--captions', '2'];
  const options = [...learn, '--cuts', '0.5', '--updates', '4', '--every', '2', '--learning-rate', '0.01'];
  const whole = await train(...options, '--validate', at('rows.jsonl'), '--out', at('whole'));
  expect([whole.code, whole.stderr]).toEqual([0, expect.stringContaining('5 examples')]);
  const lines = log('whole');
  expect(lines).toHaveLength(4);
  expect(lines[0]).toMatchObject({
    terms: {caption: expect.any(Number) as number, contrastive: expect.any(Number) as number},
  });
  expect((lines[3] as {loss: number}).loss).toBeLessThan((lines[0] as {loss: number}).loss);
  expect(lines[3]).toMatchObject({
    validation: {metric: 'CIDEr-D', rows: 5, depths: [{recall: {textToImage: expect.any(Number) as number}}]},
  });
  const measured = await runMue([
    ...['retrieve', '--model', at('whole', 'last'), '--data', at('rows.jsonl'), '--images', 'data/scenes'],
    ...['--json', '--recall', '1', '--device', 'wasm', '--threads', '1'],
  ]);
  const found = lines[3]!['validation'] as {depths: {recall: object}[]};
  expect(JSON.parse(measured.stdout)).toMatchObject({recall: [{k: 1, ...found.depths.at(-1)!.recall}]});

  const other = await train(...options, '--crop', '0.5', '--validate', at('rows.jsonl'), '--out', at('whole'));
  expect([other.code, other.stderr]).toEqual([2, expect.stringMatching(/run-differs.*coca.crop was 0.9, is 0.5/s)]);
});

test('mue train --recipe coca: what cannot be is an error with its code', async () => {
  const failed = async (...args: string[]): Promise<string | undefined> =>
    /error \[([\w-]+)\]/.exec((await train(...args, '--out', at('none'))).stderr)?.[1];
  expect(await failed('--recipe', 'mue')).toBe('family-unsupported');
  expect(await failed('--recipe', 'coca', '--task', 'snli-ve')).toBe('task-unsupported');
  expect(await failed('--recipe', 'coca', '--cuts', '2')).toBe('setting-invalid');
  expect(await failed('--recipe', 'coca', '--depths', '99')).toBe('setting-invalid');
  expect(fs.existsSync(at('none'))).toBe(false);
});

test('mue train --recipe coca --plan: says what a run takes; no encodings are kept', async () => {
  const {code, stdout} = await train('--recipe', 'coca', '--batch', '2', '--out', at('planned'), '--plan', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({examples: 5, updates: 25, encodingBytes: 0});
  expect(fs.existsSync(at('planned'))).toBe(false);
});
