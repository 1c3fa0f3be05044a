import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {shardFolder} from '../../../src/node/runs/shard-folder.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-shards-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
const others = expect.objectContaining({code: 'other-shards'});
const folderWith = (name: string, inside: readonly string[]): string => {
  const folder = path.join(root, name);
  for (const shard of inside) fs.mkdirSync(path.join(folder, shard), {recursive: true});
  return folder;
};

test('shardFolder: a shard goes beside shards of the same division only', () => {
  const out = folderWith('of-4', ['shard-0-of-4', 'shard-3-of-4']);
  expect(shardFolder(out, {index: 2, count: 4}, 'run.json')).toBe(path.join(out, 'shard-2-of-4'));
  expect(() => shardFolder(out, {index: 0, count: 2}, 'run.json')).toThrow(others);
  // One task of the array again, taken for the whole.
  expect(() => shardFolder(out, {index: 0, count: 1}, 'run.json')).toThrow(others);
  expect(() => shardFolder(out, {index: 0, count: 1}, 'run.json', 3)).toThrow(others);
  expect(shardFolder(out, {index: 0, count: 1}, 'run.json', 4)).toBe(out);
  expect(shardFolder(path.join(root, 'nowhere'), {index: 0, count: 1}, 'run.json')).toBe(path.join(root, 'nowhere'));
});

test('shardFolder: a merged run is gone on with, beside its shards', () => {
  const out = folderWith('merged', ['shard-0-of-2', 'shard-1-of-2']);
  fs.writeFileSync(path.join(out, 'run.json'), '');
  expect(shardFolder(out, {index: 0, count: 1}, 'run.json')).toBe(out);
});

test('shardFolder: workers divide a shard in its own folder', () => {
  const out = folderWith('workers', ['shard-1-of-4/shard-1-of-8']);
  expect(shardFolder(out, {index: 1, count: 4}, 'run.json', 2)).toBe(path.join(out, 'shard-1-of-4'));
  expect(() => shardFolder(out, {index: 1, count: 4}, 'run.json', 3)).toThrow(others);
  expect(() => shardFolder(out, {index: 1, count: 4}, 'run.json')).toThrow(others);
});
