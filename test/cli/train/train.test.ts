import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {runMue} from '../../support/cli/run-mue.js';
import {type TrainDecoder, trainDecoderIn} from '../../support/cli/train-decoder.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-train-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
const at = (...names: string[]): string => path.join(root, ...names);
const images = ['--images', 'data/scenes'];
let model = '';
let train: TrainDecoder['train'];

beforeAll(async () => {
  const made = await trainDecoderIn(root);
  ({model, train} = made);
  fs.writeFileSync(at('unlabelled.jsonl'), made.rows.replace(/"label":"\w+",?/g, ''));
});

test('mue train: what cannot be is an error with its code', async () => {
  const failed = async (...args: string[]): Promise<readonly [number | null, string]> => {
    const {code, stderr} = await runMue(['train', ...args]);
    return [code, /error \[([\w-]+)\]/.exec(stderr)?.[1] ?? stderr];
  };
  const task = ['--task', 'snli-ve', ...images];
  expect(await failed(model, ...task)).toEqual([2, 'usage']);
  const rows = ['--data', at('rows.jsonl'), '--out', at('none')];
  expect(await failed(model, ...task, ...rows, '--label-smoothing', '1')).toEqual([2, 'setting-invalid']);
  expect(await failed(model, ...task, ...rows, '--answers', at('rows.jsonl'))).toEqual([2, 'answers-task']);
  expect(await failed('scenes-coca', ...task, ...rows)).toEqual([2, 'family-unsupported']);
  expect(fs.existsSync(at('none'))).toBe(false);
  const unlabelled = ['--data', at('unlabelled.jsonl'), '--out', at('unlabelled')];
  expect(await failed(model, ...task, ...unlabelled)).toEqual([1, 'data-empty']);
  expect(await failed(model, ...task, '--data', at('rows.jsonl'), '--out', root)).toEqual([2, 'output-exists']);
});

test('mue train --plan: says what a run takes, and leaves nothing', async () => {
  const {code, stdout} = await train('--out', at('planned'), '--batch', '2', '--plan', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({examples: 4, updates: 20, encodingBytes: expect.any(Number) as number});
  expect(fs.existsSync(at('planned'))).toBe(false);
});
