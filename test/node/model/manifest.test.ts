import {jest} from '@jest/globals';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {ADAPTERS_FILE, writeExitAdapters} from '../../../src/node/model/exit-adapters.js';
import {loadModel} from '../../../src/node/model/load-model.js';
import {verifyFolder, weightsHash} from '../../../src/node/model/manifest.js';
import {withoutLeaks} from '../../support/leaks.js';
import {microFolder} from '../../support/models/micro-folder.js';
import {seededAdapters} from '../../support/models/seeded-adapters.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-manifest-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
let folder: string;
beforeAll(async () => {
  folder = await microFolder(root);
});

/** Inverts four bytes at the end of a file of the model, for the time of `during`, and gives it old times. */
async function changed(name: string, during: () => Promise<void>): Promise<void> {
  const file = path.join(folder, name);
  const before = fs.readFileSync(file);
  const other = Buffer.from(before);
  for (let i = 1; i <= 4; i++) other[other.length - i] = ~other[other.length - i]!;
  fs.writeFileSync(file, other);
  fs.utimesSync(file, 1, 1);
  try {
    await during();
  } finally {
    fs.writeFileSync(file, before);
  }
}

const refused = (name: string) => ({code: 'file-changed', exitCode: 3, message: expect.stringContaining(name)});

test.each(['model.safetensors', 'dict.txt', 'config.json'])('verifyFolder: four bytes changed in %s', async (name) => {
  await verifyFolder(folder);
  await changed(name, () => expect(verifyFolder(folder)).rejects.toMatchObject(refused(name)));
  await verifyFolder(folder);
});

test('verifyFolder: a file that was compared is not read again, until it is written to', async () => {
  const file = path.join(folder, 'model.safetensors');
  const now = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 10_000);
  await verifyFolder(folder);
  const opened = jest.spyOn(fs, 'createReadStream');
  await verifyFolder(folder);
  expect(opened).not.toHaveBeenCalled();
  fs.writeFileSync(file, fs.readFileSync(file));
  await verifyFolder(folder);
  expect(opened.mock.calls.map(([name]) => name)).toEqual([file]);
  opened.mockRestore();
  now.mockRestore();
});

test('verifyFolder: compares only files beside the manifest, of a manifest that is one', async () => {
  const other = path.join(root, 'other');
  fs.mkdirSync(other);
  const manifest = (files: unknown): void =>
    fs.writeFileSync(path.join(other, 'manifest.json'), JSON.stringify({files}));
  manifest([
    {name: '../dict.txt', sha256: 'ab'},
    {name: 'dict\0.txt', sha256: 'ab'},
    {name: 'missing.txt', sha256: 'ab'},
  ]);
  await verifyFolder(other);
  manifest('files');
  await expect(verifyFolder(other)).rejects.toMatchObject({code: 'config-invalid'});
  manifest(undefined);
  expect(weightsHash(other)).toBeUndefined();
});

test('loadModel: refuses changed weights and changed exit adapters, unless it is told not to compare', () =>
  withoutLeaks(async () => {
    const options = {device: 'cpu'} as const;
    await changed('model.safetensors', async () => {
      await expect(loadModel(folder, options)).rejects.toMatchObject(refused('model.safetensors'));
      (await loadModel(folder, {...options, verify: false})).dispose();
    });
    using model = await loadModel(folder, options);
    const layers = [1];
    using adapters = await seededAdapters({size: model.model.stateSize, kind: 'affine', width: 0, layers});
    const content = {adapters: {caption: adapters}, weights: weightsHash(folder)!, stack: 'decoder'};
    await writeExitAdapters(path.join(folder, ADAPTERS_FILE), content);
    (await loadModel(folder, options)).dispose();
    await changed(ADAPTERS_FILE, async () => {
      await expect(loadModel(folder, options)).rejects.toMatchObject(refused(ADAPTERS_FILE));
      (await loadModel(folder, {...options, verify: false})).dispose();
    });
  }));
