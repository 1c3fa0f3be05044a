import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {WHOLE} from '../../../src/evaluation/shard.js';
import type {Dataset} from '../../../src/data/dataset.js';
import {type EmbedIntoOptions, embedInto, readEmbeddings} from '../../../src/node/runs/embeddings-folder.js';
import {InputError} from '../../../src/runtime/errors.js';

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-embed-'));
});
afterEach(() => {
  fs.rmSync(folder, {recursive: true});
});

/** Pictures 0 … n − 1, each in two rows. */
function pictures(n: number): Dataset {
  return {
    async *[Symbol.asyncIterator]() {
      for (let i = 0; i < 2 * n; i++)
        yield {id: `${i}`, imageId: `p${i >> 1}`, image: {path: `p${i >> 1}`}, line: i + 1};
    },
  };
}

const vectorOf = (id: string): Float32Array => Float32Array.of(Number(id.slice(1)) / 7, 1e-9, -0.5);

function options(
  change: Partial<EmbedIntoOptions> = {},
): EmbedIntoOptions & {readonly asked: string[]; readonly failed: string[]} {
  const asked: string[] = [];
  const failed: string[] = [];
  return {
    asked,
    failed,
    header: {format: 'mue-embeddings', model: 'ab'},
    dataset: pictures(7),
    shard: WHOLE,
    embed: async ({imageId}) => {
      asked.push(imageId);
      if (imageId === 'p3') throw new InputError('image-corrupt', 'damaged');
      return vectorOf(imageId);
    },
    onFailed: ({imageId}) => failed.push(imageId),
    ...change,
  };
}

const names = ['p0', 'p1', 'p2', 'p4', 'p5', 'p6'];

test('embedInto: embeds each picture once, tells failures, writes the same to both files', async () => {
  const given = options();
  expect(await embedInto(folder, given)).toEqual({done: 6, failed: 1});
  expect(given.asked).toEqual(['p0', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6']);
  expect(given.failed).toEqual(['p3']);
  const {images, values, size, count} = await readEmbeddings([folder]);
  expect({images, size, count}).toEqual({images: names, size: 3, count: 6});
  expect(values).toEqual(Float32Array.from(names.flatMap((name) => [...vectorOf(name)])));
  const npy = fs.readFileSync(path.join(folder, 'embeddings.npy'));
  const start = 10 + npy.readUInt16LE(8);
  expect(npy.subarray(0, 8)).toEqual(Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]));
  expect(start % 64).toBe(0);
  expect(npy.toString('latin1', 10, start)).toMatch(
    /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(6, 3\), \} *\n$/,
  );
  expect(Array.from({length: 18}, (_, i) => npy.readFloatLE(start + 4 * i))).toEqual([...values]);
  expect(npy.length).toBe(start + 72);
});

test('embedInto: interrupted and torn, goes on where it stopped, to the same files', async () => {
  const stopping = options();
  const {embed} = stopping;
  const stop = {
    ...stopping,
    embed: (item: Parameters<typeof embed>[0]) => {
      if (stopping.asked.length === 3) throw new Error('killed');
      return embed(item);
    },
  };
  await expect(embedInto(folder, stop)).rejects.toThrow('killed');
  expect(fs.existsSync(path.join(folder, 'embeddings.jsonl'))).toBe(false);
  fs.appendFileSync(path.join(folder, 'rows.jsonl'), '{"index":3,"im');
  const again = options();
  await embedInto(folder, again);
  expect(again.asked).toEqual(['p3', 'p4', 'p5', 'p6']);
  expect((await readEmbeddings([folder])).images).toEqual(names);
});

test('embedInto: shards divide the pictures among them', async () => {
  const folders = [0, 1, 2].map((i) => path.join(folder, `${i}`));
  for (const [index, part] of folders.entries()) await embedInto(part, options({shard: {index, count: 3}}));
  const {images} = await readEmbeddings(folders);
  expect(images.toSorted()).toEqual(names);
});

test('embedInto: refuses the folder of another run', async () => {
  await embedInto(folder, options());
  await expect(embedInto(folder, options({header: {format: 'mue-embeddings', model: 'cd'}}))).rejects.toMatchObject({
    code: 'resume-mismatch',
    exitCode: 2,
  });
});

test.each([
  ['no JSON', '{"image"'],
  ['no embedding', '{"image": "a"}'],
  ['no numbers', '{"image": "a", "embedding": [1, null]}'],
  ['another length', '{"image": "a", "embedding": [1]}\n{"image": "b", "embedding": [1, 2]}'],
  ['nothing', ''],
])('damaged embeddings are refused: %s', async (_, text) => {
  const file = path.join(folder, 'e.jsonl');
  fs.writeFileSync(file, text);
  await expect(readEmbeddings([file])).rejects.toMatchObject({code: 'embeddings-corrupt', exitCode: 1});
  await expect(readEmbeddings([path.join(folder, 'none')])).rejects.toMatchObject({code: 'embeddings-unreadable'});
});
