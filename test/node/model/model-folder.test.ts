import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {type FolderWriter, writeFolder} from '../../../src/node/model/model-folder.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-folder-'));
afterAll(() => fs.rmSync(root, {recursive: true}));

/** A place of its own for a model folder `m`. */
function place(name: string): {folder: string; content(): Record<string, string[]>} {
  const parent = path.join(root, name);
  fs.mkdirSync(parent);
  const content = (): Record<string, string[]> =>
    Object.fromEntries(
      fs.readdirSync(parent).map((entry) => [entry, fs.readdirSync(path.join(parent, entry)).sort()] as const),
    );
  return {folder: path.join(parent, 'm'), content};
}
const model = (file: string) => (writer: FolderWriter) => {
  writer.add('manifest.json', '{}');
  writer.add(file, file);
  return Promise.resolve(file);
};
/** What a process leaves that is killed: a folder with one file. */
const leave = (folder: string, file: string): void => {
  fs.mkdirSync(folder);
  fs.writeFileSync(path.join(folder, 'manifest.json'), '{}');
  fs.writeFileSync(path.join(folder, file), file);
};

test('writeFolder: replaces a model by force, and leaves nothing beside it', async () => {
  const {folder, content} = place('force');
  await writeFolder(folder, {}, model('first'));
  await expect(writeFolder(folder, {}, model('second'))).rejects.toMatchObject({code: 'output-exists'});
  expect(content()).toEqual({m: ['first', 'manifest.json']});
  await writeFolder(folder, {force: true}, model('second'));
  expect(content()).toEqual({m: ['manifest.json', 'second']});
});

test('writeFolder: killed between the two steps of a replacement, the next run finds the old model again', async () => {
  const {folder, content} = place('between');
  leave(path.join(path.dirname(folder), '.m.replaced'), 'old');
  leave(path.join(path.dirname(folder), '.m.partial-0123abcd'), 'new');
  const failing = writeFolder(folder, {force: true}, () => Promise.reject(new Error('no')));
  await expect(failing).rejects.toThrow('no');
  expect(content()).toEqual({m: ['manifest.json', 'old']});
});

test('writeFolder: killed after the replacement or while writing, the next run removes what was left', async () => {
  const {folder, content} = place('after');
  leave(folder, 'new');
  leave(path.join(path.dirname(folder), '.m.replaced'), 'old');
  leave(path.join(path.dirname(folder), '.m.partial-0123abcd'), 'half');
  leave(path.join(path.dirname(folder), '.mother.partial-0123abcd'), 'of another folder');
  await writeFolder(folder, {force: true}, model('newest'));
  expect(content()).toEqual({
    m: ['manifest.json', 'newest'],
    '.mother.partial-0123abcd': ['manifest.json', 'of another folder'],
  });
});

test('writeFolder: a second writer is refused, and the first is not disturbed', async () => {
  const {folder, content} = place('two');
  await writeFolder(folder, {}, async (writer) => {
    await expect(writeFolder(folder, {}, model('second'))).rejects.toMatchObject({code: 'folder-in-use'});
    return model('first')(writer);
  });
  expect(content()).toEqual({m: ['first', 'manifest.json']});
});
