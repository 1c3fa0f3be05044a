import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {runMue} from '../../support/cli/run-mue.js';
import {type TrainExits, trainExitsIn} from '../../support/cli/train-exits.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-train-exits-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
const at = (name: string): string => path.join(root, name);
let model = '';
let train: TrainExits['train'];

beforeAll(async () => {
  ({model, train} = await trainExitsIn(root, {caption: 2, 'snli-ve': 2}));
});

test('mue train exits: what cannot be is an error with its code', async () => {
  const failed = async (...args: string[]): Promise<readonly [number | null, string]> => {
    const {code, stderr} = await runMue(['train', 'exits', ...args]);
    return [code, /error \[([\w-]+)\]/.exec(stderr)?.[1] ?? stderr];
  };
  expect(await failed(model, '--task', 'vqa', '--data', at('caption.jsonl'))).toEqual([2, 'usage']);
  expect(await failed(model, '--task', 'caption')).toEqual([2, 'usage']);
  expect(await failed(at('nowhere'), '--task', 'caption', '--data', at('caption.jsonl'))).toEqual([3, 'not-a-model']);
  expect(await failed(model, '--task', 'caption', '--data', at('none.jsonl'))).toEqual([1, 'dataset-not-found']);
  fs.writeFileSync(at('empty.jsonl'), '');
  expect(await failed(model, '--task', 'caption', '--data', at('empty.jsonl'))).toEqual([1, 'data-empty']);
  const wrong = await train('caption', '--learning-rate', '2');
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('learningRate')]);
  const single = await train('snli-ve', '--limit', '1');
  expect([single.code, single.stderr]).toEqual([1, expect.stringContaining('at least two pictures')]);
});
