import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';
import type {BadRow, DatasetTask} from '../../../src/data/dataset.js';
import {exportDataset} from '../../../src/node/dataset/export.js';
import {decodeImage} from '../../../src/node/picture/decode.js';
import {countRows, dataFingerprint} from '../../../src/node/dataset/fingerprint.js';
import {openDataset, readChunks} from '../../../src/node/dataset/open.js';
import {readRowPicture} from '../../../src/node/files/read-picture.js';
import {collect} from '../../support/data/chunks.js';
import {goldenBytes} from '../../support/golden/golden.js';

const scenes = path.join(import.meta.dirname, '..', '..', '..', 'data', 'scenes');
let folder = '';
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'datasets-'));
});
afterAll(() => fs.rmSync(folder, {recursive: true, force: true}));
const write = (name: string, content: string | Uint8Array): string => {
  const file = path.join(folder, name);
  fs.writeFileSync(file, content);
  return file;
};

describe('openDataset, data/scenes', () => {
  test.each([
    ['caption-val', 'caption', 299],
    ['caption-test', 'caption', 499],
    ['snli-ve-calibration', 'snli-ve', 897],
    ['snli-ve-test', 'snli-ve', 1497],
    ['vqa-val', 'vqa', 299],
    ['vqa-test', 'vqa', 499],
  ] as const)('reads every row of %s', async (name, task, rows) => {
    const items = await collect(openDataset(path.join(scenes, `${name}.jsonl`), {task}));
    expect(items.length).toBe(rows);
    expect(new Set(items.map(({id}) => id)).size).toBe(rows);
    for (const {image, references, label, text, answers, extra} of items) {
      expect('path' in image && fs.existsSync(image.path)).toBe(true);
      expect(
        task === 'caption' ? references?.length : task === 'snli-ve' ? label && text : text && answers?.size === 1,
      ).toBeTruthy();
      expect(extra).toHaveProperty('imageDifficulty');
    }
  });
  test('has pictures of 256 × 256', async () => {
    const {width, height} = await decodeImage(fs.readFileSync(path.join(scenes, 'images', '200001.jpg')));
    expect([width, height]).toEqual([256, 256]);
  });
});

test('exportDataset: a TSV file, packed or not, becomes a folder that reads the same', async () => {
  const tsv = write('questions.tsv', goldenBytes('vqa.tsv'));
  const packed = write('questions.tsv.gz', zlib.gzipSync(goldenBytes('vqa.tsv')));
  const items = await collect(openDataset(tsv, {task: 'vqa'}));
  expect(await collect(openDataset(packed, {task: 'vqa', columns: '0,5,2,3,4'}))).toEqual(
    items.map((item) => ({...item, imageId: item.id})),
  );
  const out = path.join(folder, 'exported');
  // All rows of this file share the image id "x", but not the picture.
  await expect(exportDataset(openDataset(tsv, {task: 'vqa'}), out, 'vqa')).rejects.toMatchObject({
    code: 'image-conflict',
  });
  expect(fs.readdirSync(out)).toEqual(['images']);
  const dataset = openDataset(packed, {task: 'vqa', columns: {id: 0, image: 5, text: 2, answers: 3}});
  expect(await exportDataset(dataset, out, 'vqa')).toMatchObject({rows: items.length, pictures: items.length});
  const again = await collect(openDataset(path.join(out, 'vqa.jsonl'), {task: 'vqa'}));
  expect(again.map(({text, answers}) => [text, answers])).toEqual(items.map(({text, answers}) => [text, answers]));
  expect(fs.readFileSync((again[0]!.image as {path: string}).path)).toEqual(
    Buffer.from((items[0]!.image as {bytes: Uint8Array}).bytes),
  );
});

test('exportDataset: an image id is never a path', async () => {
  const jpeg = Uint8Array.of(0xff, 0xd8, 0xff);
  async function* rows() {
    yield {id: '1', imageId: '../../evil', image: {bytes: jpeg}, line: 1};
    yield {id: '2', imageId: '..', image: {bytes: jpeg}, line: 2};
  }
  const out = path.join(folder, 'ids');
  await exportDataset(rows(), out, 'set');
  expect(fs.readdirSync(path.join(out, 'images')).sort()).toEqual(['%2E%2E%2F%2E%2E%2Fevil.jpg', '%2E%2E.jpg']);
  expect(
    (await collect(openDataset(path.join(out, 'set.jsonl'), {task: 'caption'}))).map(({imageId}) => imageId),
  ).toEqual(['../../evil', '..']);
});

test.each(['', '../evil', 'a/b', 'a\\b', 'nul\0', 'a\nb', 'long'.repeat(100)])(
  'exportDataset: the name %j is no name for a file of rows',
  async (name) => {
    async function* rows() {
      yield {id: '1', imageId: '1', image: {bytes: Uint8Array.of(0xff, 0xd8, 0xff)}, line: 1};
    }
    const out = path.join(folder, 'names');
    await expect(exportDataset(rows(), out, name)).rejects.toMatchObject({code: 'name-invalid', exitCode: 2});
    expect(fs.existsSync(out)).toBe(false);
  },
);

test('openDataset: reads a folder of pictures in the order of names, other files left out', async () => {
  const pictures = path.join(folder, 'pictures');
  fs.mkdirSync(path.join(pictures, 'sub.jpg'), {recursive: true});
  for (const name of ['b.PNG', 'a.jpg', 'notes.txt']) fs.writeFileSync(path.join(pictures, name), 'x');
  expect(await collect(openDataset(pictures, {task: 'caption'}))).toEqual([
    {id: 'a.jpg', imageId: 'a.jpg', image: {path: path.join(pictures, 'a.jpg')}, line: 1},
    {id: 'b.PNG', imageId: 'b.PNG', image: {path: path.join(pictures, 'b.PNG')}, line: 2},
  ]);
});

describe('openDataset refuses', () => {
  const open = (file: string, task: DatasetTask = 'caption') => collect(openDataset(file, {task}));
  test('a file that is not there or no data set', async () => {
    expect(() => openDataset(path.join(folder, 'none.tsv'), {task: 'vqa'})).toThrow(
      expect.objectContaining({code: 'dataset-not-found'}),
    );
    expect(() => openDataset(write('a.csv', ''), {task: 'vqa'})).toThrow(
      expect.objectContaining({code: 'dataset-format', exitCode: 2}),
    );
    expect(() => openDataset(write('a.tsv', ''), {task: 'vqa', columns: 'x'})).toThrow(
      expect.objectContaining({code: 'bad-columns'}),
    );
    await expect(open(write('b.json', '{}'))).rejects.toMatchObject({code: 'bad-json'});
    expect(await open(write('empty.jsonl', ''))).toEqual([]);
  });
  test('a gzip file that is none or cut off', async () => {
    await expect(open(write('no.tsv.gz', 'text'))).rejects.toMatchObject({code: 'dataset-corrupt'});
    await expect(
      open(write('cut.tsv.gz', zlib.gzipSync('a\tb\n'.repeat(1000)).subarray(0, -12))),
    ).rejects.toHaveProperty('code');
  });
  test('rows that name files outside the folder of the pictures', async () => {
    const bad: BadRow[] = [];
    const names = ['../secret.jpg', '/etc/passwd', '', '..', 'in/../../x.jpg', 'in/../fine.jpg'];
    const file = write('escape.jsonl', names.map((image) => JSON.stringify({image})).join('\n'));
    const items = await collect(openDataset(file, {task: 'caption', onBadRow: (row) => bad.push(row)}));
    expect(items.map(({image}) => image)).toEqual([{path: path.join(folder, 'fine.jpg')}]);
    expect(bad.map(({line}) => line)).toEqual([1, 2, 3, 4, 5]);
  });
});

describe('links and what is no file, in a data set', () => {
  const outside = fs.mkdtempSync(path.join(os.tmpdir(), 'outside-'));
  afterAll(() => fs.rmSync(outside, {recursive: true}));
  const read = async (file: string) => {
    const bad: BadRow[] = [];
    const items = await collect(openDataset(file, {task: 'caption', onBadRow: (row) => bad.push(row)}));
    return {names: items.map(({image}) => path.basename((image as {path: string}).path)), bad};
  };
  let pictures = '';
  beforeAll(() => {
    pictures = path.join(folder, 'links');
    fs.mkdirSync(path.join(pictures, 'sub'), {recursive: true});
    fs.writeFileSync(path.join(pictures, 'sub', 'a.jpg'), 'a picture');
    fs.writeFileSync(path.join(outside, 'secret'), 'not a picture');
    fs.symlinkSync('sub/a.jpg', path.join(pictures, 'inside.jpg'));
    fs.symlinkSync(path.join(outside, 'secret'), path.join(pictures, 'file-out.jpg'));
    fs.symlinkSync(outside, path.join(pictures, 'folder-out'));
    fs.symlinkSync(path.join(outside, 'nothing'), path.join(pictures, 'nowhere.jpg'));
    execFileSync('mkfifo', [path.join(pictures, 'pipe.jpg')]);
  });

  test('a row whose picture is reached by a link out of the folder is refused, and its target is not named', async () => {
    const names = ['inside.jpg', 'file-out.jpg', 'folder-out/secret', 'sub/a.jpg', 'nul\0.jpg'];
    const file = write('links/rows.jsonl', names.map((image) => JSON.stringify({image})).join('\n'));
    const {names: read_, bad} = await read(file);
    expect(read_).toEqual(['inside.jpg', 'a.jpg', 'nul\0.jpg']);
    expect(bad.map(({line, error}) => [line, (error.cause as {code: string}).code])).toEqual([
      [2, 'image-outside'],
      [3, 'image-outside'],
    ]);
    expect(bad.map(({error}) => error.message).join()).not.toMatch('secret,|outside-');
    expect(() => readRowPicture({path: path.join(pictures, 'nul\0.jpg')})).toThrow('NUL');
    // The folder itself may be reached by a link.
    fs.symlinkSync(pictures, path.join(folder, 'linked'));
    expect((await read(path.join(folder, 'linked', 'rows.jsonl'))).names).toEqual(read_);
  });
  test('a folder of pictures: links out of it are reported, the rest is read', async () => {
    const {names, bad} = await read(pictures);
    expect(names).toEqual(['inside.jpg', 'nowhere.jpg', 'pipe.jpg']);
    expect(bad.map(({line, error}) => [line, error.code])).toEqual([[1, 'image-outside']]);
    for (const [name, why] of [
      ['nowhere.jpg', 'no such file'],
      ['pipe.jpg', 'a named pipe'],
    ] as const)
      expect(() => readRowPicture({path: path.join(pictures, name)})).toThrow(why);
    // Names and sizes are all that is hashed.
    expect((await dataFingerprint(pictures)).sha256).toMatch(/^[0-9a-f]{64}$/);
  });
  test('a pipe in the place of a data set is refused at once', async () => {
    const pipe = path.join(folder, 'pipe.jsonl');
    execFileSync('mkfifo', [pipe]);
    const refused = expect.objectContaining({
      code: 'dataset-not-found',
      message: expect.stringContaining('named pipe'),
    });
    expect(() => openDataset(pipe, {task: 'caption'})).toThrow(refused);
    await expect(dataFingerprint(pipe)).rejects.toEqual(refused);
    await expect(collect(readChunks(pipe))).rejects.toMatchObject({code: 'dataset-unreadable'});
    expect(await countRows(pipe)).toBeUndefined();
  });
});

test('decodeImage: says what a file is that is no picture, and quotes nothing of it', async () => {
  for (const [content, what] of [
    ['root:x:0:0:root:/root:/bin/bash\n', 'it is text'],
    ['<!DOCTYPE html><title>sign in</title>', 'a web page'],
    ['version https://git-lfs.github.com/spec/v1\noid sha256:00', 'a Git LFS pointer'],
    ['<?xml version="1.0"?>\n<svg/>', 'SVG'],
    ['%PDF-1.7', 'PDF'],
    ['\u0001\u0002\u0003\u0004key', 'the bytes 01 02 03 04'],
  ] as const) {
    const error = (await decodeImage(Buffer.from(content)).catch((e: Error) => e)) as Error;
    expect(error).toMatchObject({code: 'image-format', message: expect.stringContaining(what)});
    expect(error.message).not.toMatch(/root|sign in|sha256|xml|1\.7|key|6b/);
  }
});

test('openDataset: after stopping early, another iteration starts from the beginning', async () => {
  // More than a chunk of the stream.
  const file = write('many.jsonl', '{"image": "a.jpg"}\n'.repeat(20_000));
  const dataset = openDataset(file, {task: 'caption'});
  for (let i = 0; i < 2; i++) {
    for await (const {line} of dataset) {
      expect(line).toBe(1);
      break;
    }
  }
  expect((await collect(dataset)).length).toBe(20_000);
});
