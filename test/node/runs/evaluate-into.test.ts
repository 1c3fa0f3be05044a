import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {jest} from '@jest/globals';
import type {EvaluationRow} from '../../../src/evaluation/row.js';
import {type EvaluateIntoOptions, evaluateInto} from '../../../src/node/runs/evaluate-into.js';
import {readEvaluation} from '../../../src/node/runs/evaluation-folder.js';
import {mergeEvaluations} from '../../../src/node/runs/merge.js';
import {InputError, UsageError} from '../../../src/runtime/errors.js';
import {StubAnswerer, stubDataset, stubItems, stubOptions, stubRun} from '../../support/data/stub-evaluation.js';
import {withoutTimes} from '../../support/cli/without-times.js';

let root: string;
beforeAll(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-evaluate-'));
});
afterEach(() => {
  jest.restoreAllMocks();
});
afterAll(() => {
  fs.rmSync(root, {recursive: true, force: true});
});

const folder = (name: string): string => path.join(root, name);
const predictions = (name: string): string => path.join(root, name, 'predictions.jsonl');

test('evaluateInto: writes predictions, metrics, and results in the format of COCO and of VQA', async () => {
  const metrics = await evaluateInto(folder('caption'), stubOptions('caption', 5));
  expect(JSON.parse(fs.readFileSync(path.join(folder('caption'), 'metrics.json'), 'utf8'))).toEqual({
    $schema: 'mue-tfjs/schemas/metrics.json',
    ...metrics,
  });
  const results = fs.readFileSync(path.join(folder('caption'), 'captions_caption-stub_results.json'), 'utf8');
  expect(JSON.parse(results)[1]).toEqual({image_id: 1, caption: 'a dog in a field'});
  expect((await readEvaluation(folder('caption'))).rows.length).toBe(5);
  await evaluateInto(folder('vqa'), stubOptions('vqa', 3));
  expect(JSON.parse(fs.readFileSync(path.join(folder('vqa'), 'vqa_vqa-stub_results.json'), 'utf8'))[2]).toEqual({
    question_id: 'row 2',
    answer: 'no',
  });
});

test('evaluateInto: cut off after any byte of predictions.jsonl, ends with the same files, and asks no row twice', async () => {
  await evaluateInto(folder('whole'), stubOptions('snli-ve', 4));
  const wanted = withoutTimes(folder('whole'));
  const bytes = fs.readFileSync(predictions('whole'));
  const ends = [...bytes.keys()].filter((at) => bytes[at] === 10);
  for (let cut = 0; cut <= bytes.length; cut += 1 + (cut % 29)) {
    const name = `cut-${cut}`;
    fs.mkdirSync(folder(name));
    fs.copyFileSync(path.join(folder('whole'), 'run.json'), path.join(folder(name), 'run.json'));
    fs.writeFileSync(predictions(name), bytes.subarray(0, cut));
    const answerer = new StubAnswerer();
    await evaluateInto(folder(name), stubOptions('snli-ve', 4, {answerer}));
    expect([cut, withoutTimes(folder(name))]).toEqual([cut, wanted]);
    expect([cut, answerer.asked]).toEqual([cut, 4 - ends.filter((at) => at < cut).length]);
  }
});

test('evaluateInto: cut off in batches, ends with the same files', async () => {
  await evaluateInto(folder('batches'), stubOptions('snli-ve', 7, {batch: 3}));
  const wanted = withoutTimes(folder('batches'));
  const bytes = fs.readFileSync(predictions('batches'));
  for (let cut = 0; cut <= bytes.length; cut += 211) {
    const name = `batches-cut-${cut}`;
    fs.mkdirSync(folder(name));
    fs.copyFileSync(path.join(folder('batches'), 'run.json'), path.join(folder(name), 'run.json'));
    fs.writeFileSync(predictions(name), bytes.subarray(0, cut));
    await evaluateInto(folder(name), stubOptions('snli-ve', 7, {batch: 3}));
    expect([cut, withoutTimes(folder(name))]).toEqual([cut, wanted]);
  }
});

test('evaluateInto: run again after the end, asks nothing and changes nothing', async () => {
  await evaluateInto(folder('again'), stubOptions('vqa', 4));
  const before = fs.readFileSync(path.join(folder('again'), 'metrics.json'), 'utf8');
  const answerer = new StubAnswerer();
  await evaluateInto(folder('again'), stubOptions('vqa', 4, {answerer}));
  expect(answerer.asked).toBe(0);
  expect(fs.readFileSync(path.join(folder('again'), 'metrics.json'), 'utf8')).toBe(before);
});

test('evaluateInto: refuses a folder with another run, whatever differs', async () => {
  await evaluateInto(folder('mine'), stubOptions('vqa', 2));
  const before = withoutTimes(folder('mine'));
  for (const change of [
    {model: {name: 'stub', sha256: 'other'}},
    {data: {name: 'vqa-stub.jsonl', bytes: 2, sha256: 'cd'}},
    {exit: {...stubRun('vqa').exit, mode: 'reference' as const}},
    {options: {limit: 1}},
    {shard: {index: 0, count: 2}},
    {device: 'wasm'},
  ])
    await expect(evaluateInto(folder('mine'), stubOptions('vqa', 2, {run: stubRun('vqa', change)}))).rejects.toThrow(
      UsageError,
    );
  await expect(
    evaluateInto(folder('mine'), stubOptions('vqa', 2, {run: stubRun('vqa', {device: 'wasm'})})),
  ).rejects.toThrow('device was "cpu", is "wasm"');
  expect(withoutTimes(folder('mine'))).toEqual(before);
});

test('mergeEvaluations: shards become one run, row by row, with the bad lines that each of them met', async () => {
  const bad = (change: Partial<EvaluateIntoOptions>): EvaluateIntoOptions => ({
    ...stubOptions('snli-ve', 20, change),
    openDataset: (onBadRow) => stubDataset(stubItems('snli-ve', 20), onBadRow, [3, 11]),
    readPicture: async (image) => {
      if ('path' in image && image.path === '9.jpg') throw new InputError('image-unreadable', 'no such file');
      return {width: 1, height: 1, data: new Uint8Array(3)};
    },
  });
  await evaluateInto(folder('one'), bad({}));
  for (const index of [2, 0, 1])
    await evaluateInto(folder(`parts/shard-${index}-of-3`), bad({run: stubRun('snli-ve', {shard: {index, count: 3}})}));
  const metrics = await mergeEvaluations([folder('parts')], folder('parts'));
  expect(metrics.bad).toEqual({unreadable: 2, failed: 3});
  expect(withoutTimes(folder('parts'))).toEqual(withoutTimes(folder('one')));
  // Merged again: the folder's own run does not hide its shards.
  await mergeEvaluations([folder('parts')], folder('parts'));
  expect(withoutTimes(folder('parts'))).toEqual(withoutTimes(folder('one')));

  fs.renameSync(folder('parts/shard-1-of-3'), folder('elsewhere'));
  await expect(mergeEvaluations([folder('parts')], folder('merged'))).rejects.toThrow(
    '2 of 3 shards are there; missing are 1/3',
  );
  await expect(
    mergeEvaluations([folder('parts'), folder('elsewhere'), folder('elsewhere')], folder('merged')),
  ).rejects.toThrow('same shard');
  fs.rmSync(path.join(folder('elsewhere'), 'metrics.json'));
  await expect(mergeEvaluations([folder('parts'), folder('elsewhere')], folder('merged'))).rejects.toThrow(
    'not finished',
  );
  await expect(mergeEvaluations([folder('mine')], folder('merged2'))).resolves.toMatchObject({n: 2});
  await expect(mergeEvaluations([folder('nothing')], folder('merged'))).rejects.toThrow('no run.json');
});

test('evaluateInto: run again after a missing picture turned up, asks its rows alone', async () => {
  const missing = stubOptions('vqa', 9, {
    readPicture: async (image) => {
      if ('path' in image && image.path === '8.jpg') throw new InputError('image-unreadable', 'no such file');
      return {width: 1, height: 1, data: new Uint8Array(3)};
    },
  });
  expect(await evaluateInto(folder('found'), missing)).toMatchObject({n: 6, bad: {failed: 3}});
  const answerer = new StubAnswerer();
  expect(await evaluateInto(folder('found'), stubOptions('vqa', 9, {answerer}))).toMatchObject({
    n: 9,
    bad: {failed: 0},
  });
  expect(answerer.asked).toBe(3);
  await evaluateInto(folder('never missing'), stubOptions('vqa', 9));
  expect(withoutTimes(folder('found'))).toEqual(withoutTimes(folder('never missing')));
});

test('evaluateInto: a shard without rows is a shard, a data set without rows an error', async () => {
  const shard = (index: number) => ({run: stubRun('caption', {shard: {index, count: 3}})});
  for (const index of [0, 1, 2])
    await evaluateInto(folder(`few/shard-${index}-of-3`), stubOptions('caption', 1, shard(index)));
  expect(await mergeEvaluations([folder('few')], folder('few'))).toMatchObject({n: 1});
  await expect(evaluateInto(folder('empty'), stubOptions('caption', 0))).rejects.toThrow('there is no row in it');
});

test('evaluateInto: gives metrics of equal rows, and of one row', async () => {
  const same = stubItems('snli-ve', 1)[0]!;
  const items = Array.from({length: 5}, () => same);
  const metrics = await evaluateInto(
    folder('same'),
    stubOptions('snli-ve', 5, {openDataset: () => stubDataset(items)}),
  );
  expect(metrics).toMatchObject({n: 5, metrics: {accuracy: 1}});
  expect(await evaluateInto(folder('single'), stubOptions('caption', 1))).toMatchObject({n: 1});
});

test('evaluateInto: names the damaged line of predictions.jsonl, and leaves the file as it is', async () => {
  await evaluateInto(folder('damaged'), stubOptions('snli-ve', 4));
  const lines = fs.readFileSync(predictions('damaged'), 'utf8').trimEnd().split('\n');
  const row = JSON.parse(lines[1]!) as EvaluationRow;
  const broken: readonly (readonly [string, string])[] = [
    ['not json', 'line 2 is no row'],
    [JSON.stringify({...row, score: null}), 'score'],
    [JSON.stringify({...row, index: 0}), 'row 0 is there twice'],
    [JSON.stringify({...row, index: 99}), 'does not belong to this run'],
    [JSON.stringify({...row, id: 'other'}), "row 1 was 'other'"],
    [JSON.stringify({...row, layers: {nowhere: 1}}), 'layers'],
    ['\u0000\u0000', 'line 2 is no row'],
  ];
  for (const [line, message] of broken) {
    const text = `${[lines[0], line, ...lines.slice(2)].join('\n')}\n`;
    fs.writeFileSync(predictions('damaged'), text);
    await expect(evaluateInto(folder('damaged'), stubOptions('snli-ve', 4))).rejects.toThrow(message);
    if (!message.includes('belong')) expect(fs.readFileSync(predictions('damaged'), 'utf8')).toBe(text);
  }
  fs.writeFileSync(path.join(folder('damaged'), 'run.json'), '{"version": 2}');
  await expect(evaluateInto(folder('damaged'), stubOptions('snli-ve', 4))).rejects.toThrow('does not describe a run');
});

test('evaluateInto: a disk that fills up in the middle of a row leaves the file as before, and the run goes on later', async () => {
  await evaluateInto(folder('room'), stubOptions('snli-ve', 6));
  const write = fs.writeSync;
  let calls = 0;
  const asked = new StubAnswerer();
  // Two whole rows, and of the third row ten bytes.
  const full = (fd: number, bytes: Uint8Array, offset: number, length: number): number => {
    if (!Buffer.from(bytes).toString().startsWith('{"index"')) return write(fd, bytes, offset, length);
    calls++;
    if (calls === 3) return write(fd, bytes, offset, 10);
    if (calls > 3) throw Object.assign(new Error('no space left on device'), {code: 'ENOSPC'});
    return write(fd, bytes, offset, length);
  };
  jest.spyOn(fs, 'writeSync').mockImplementation(full as unknown as typeof fs.writeSync & typeof write);
  await expect(evaluateInto(folder('tight'), stubOptions('snli-ve', 6, {answerer: asked}))).rejects.toThrow(
    'the disk is full (ENOSPC)',
  );
  expect(asked.asked).toBe(3);
  jest.restoreAllMocks();
  expect(fs.readFileSync(predictions('tight'), 'utf8').split('\n').length).toBe(3);
  expect(fs.existsSync(path.join(folder('tight'), 'metrics.json'))).toBe(false);
  await evaluateInto(folder('tight'), stubOptions('snli-ve', 6));
  expect(withoutTimes(folder('tight'))).toEqual(withoutTimes(folder('room')));
});

test('evaluateInto: names a folder that cannot be written, with the reason', async () => {
  fs.writeFileSync(folder('file'), '');
  await expect(evaluateInto(folder('file/inside'), stubOptions('vqa', 1))).rejects.toThrow(
    /a part of the path is no folder/,
  );
  const denied = (): never => {
    throw Object.assign(new Error('EROFS'), {code: 'EROFS'});
  };
  jest.spyOn(fs, 'accessSync').mockImplementation(denied);
  await expect(evaluateInto(folder('read-only'), stubOptions('vqa', 1))).rejects.toThrow(
    /the file system is read-only/,
  );
});

test('evaluateInto: of two runs in one folder the second to write stops, and no row is doubled', async () => {
  const other = new StubAnswerer((answer, asked) => {
    if (asked === 2) fs.appendFileSync(predictions('shared'), '{"a row": "of another process"}\n');
    return answer;
  });
  await expect(evaluateInto(folder('shared'), stubOptions('vqa', 4, {answerer: other}))).rejects.toThrow(
    'another process writes to it',
  );
  expect(fs.readFileSync(predictions('shared'), 'utf8').split('\n').length).toBe(3);
});
