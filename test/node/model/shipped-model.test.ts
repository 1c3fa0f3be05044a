import {createHash} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {openModelWeights} from '../../../src/checkpoint/model-weights.js';
import {ofaConfigSchema} from '../../../src/models/ofa/config.js';
import {ofaWeights} from '../../../src/models/ofa/model.js';
import {parameterCount} from '../../../src/models/weights.js';
import {FileAccess} from '../../../src/node/model/file-access.js';

const folder = path.join(import.meta.dirname, '..', '..', '..', 'weights', 'scenes-mue');
const read = (name: string): Buffer => fs.readFileSync(path.join(folder, name));

test('weights/scenes-mue: every file is the one that the manifest lists', () => {
  const {files, parameters} = JSON.parse(read('manifest.json').toString()) as {
    files: {name: string; bytes: number; sha256: string}[];
    parameters: number;
  };
  expect(files.map(({name}) => name)).toContain('model.safetensors');
  for (const {name, bytes, sha256} of files) {
    expect([name, read(name).length]).toEqual([name, bytes]);
    expect([name, createHash('sha256').update(read(name)).digest('hex')]).toEqual([name, sha256]);
  }
  expect(parameters).toBe(17_069_464);
});

test('weights/scenes-mue: the weights are those that the configuration asks for', async () => {
  const config = ofaConfigSchema.parse(JSON.parse(read('config.json').toString()));
  expect(config).toMatchObject({
    train_mue: true,
    mue_image_rel_bias: true,
    resnet_layers: [1, 2, 2],
    patch_image_size: 256,
    vocab_size: 608,
  });
  expect(config.generation.caption).toMatchObject({num_beams: 5, max_new_tokens: 24, no_repeat_ngram_size: 3});
  using weights = await openModelWeights(
    async (file) => FileAccess.open(path.join(folder, file)),
    fs.readdirSync(folder),
  );
  const wanted = ofaWeights(config);
  expect(parameterCount(wanted)).toBe(17_069_464);
  expect(weights.names().map((name) => [name, weights.shape(name)])).toEqual(
    wanted.map(({name, shape}) => [name, shape]),
  );
});
