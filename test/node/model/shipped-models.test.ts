import {createHash} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {openModelWeights} from '../../../src/checkpoint/model-weights.js';
import {cocaConfigSchema} from '../../../src/models/coca/config.js';
import {cocaWeights} from '../../../src/models/coca/model.js';
import {ofaConfigSchema} from '../../../src/models/ofa/config.js';
import {ofaWeights} from '../../../src/models/ofa/model.js';
import {parameterCount} from '../../../src/models/weights.js';
import type {StoredWeight} from '../../../src/nn/block.js';
import {FileAccess} from '../../../src/node/model/file-access.js';
import {modelFolder, SHIPPED_MODELS} from '../../../src/node/model/shipped-models.js';

const weightsFolder = path.join(import.meta.dirname, '..', '..', '..', 'weights');
const read = (model: string, name: string): Buffer => fs.readFileSync(path.join(weightsFolder, model, name));

test('modelFolder: a shipped model by its name, any folder as it is', () => {
  for (const name of SHIPPED_MODELS) expect(fs.realpathSync(modelFolder(name))).toBe(path.join(weightsFolder, name));
  expect(modelFolder('models/scenes-mue')).toBe('models/scenes-mue');
  expect(modelFolder('scenes-clip')).toBe('scenes-clip');
});

test.each([
  ['scenes-mue', 17_069_464],
  ['scenes-coca', 5_991_297],
])('weights/%s: every file is the one that the manifest lists', (model, count) => {
  const {files, parameters} = JSON.parse(read(model, 'manifest.json').toString()) as {
    files: {name: string; bytes: number; sha256: string}[];
    parameters: number;
  };
  expect(files.map(({name}) => name)).toContain('model.safetensors');
  for (const {name, bytes, sha256} of files) {
    expect([name, read(model, name).length]).toEqual([name, bytes]);
    expect([name, createHash('sha256').update(read(model, name)).digest('hex')]).toEqual([name, sha256]);
  }
  expect(parameters).toBe(count);
});

async function expectWeights(model: string, wanted: readonly StoredWeight[]): Promise<void> {
  const folder = path.join(weightsFolder, model);
  using weights = await openModelWeights(
    async (file) => FileAccess.open(path.join(folder, file)),
    fs.readdirSync(folder),
  );
  expect(weights.names().map((name) => [name, weights.shape(name)])).toEqual(
    wanted.map(({name, shape}) => [name, shape]),
  );
}

test('weights/scenes-mue: the weights are those that the configuration asks for', async () => {
  const config = ofaConfigSchema.parse(JSON.parse(read('scenes-mue', 'config.json').toString()));
  expect(config).toMatchObject({
    train_mue: true,
    mue_image_rel_bias: true,
    resnet_layers: [1, 2, 2],
    patch_image_size: 256,
    vocab_size: 608,
  });
  expect(config.generation.caption).toMatchObject({num_beams: 5, max_new_tokens: 24, no_repeat_ngram_size: 3});
  const wanted = ofaWeights(config);
  expect(parameterCount(wanted)).toBe(17_069_464);
  await expectWeights('scenes-mue', wanted);
});

test('weights/scenes-coca: the weights are those that the configuration asks for', async () => {
  const config = cocaConfigSchema.parse(JSON.parse(read('scenes-coca', 'config.json').toString()));
  expect(config).toMatchObject({
    vision: {layers: 6, width: 192, image_size: 256, patch_size: 16, pooler: {queries: 64}},
    text: {layers: 4, width: 128, context_length: 39, vocab_size: 2400},
    multimodal: {layers: 4},
    end_id: 2399,
  });
  const wanted = cocaWeights(config);
  expect(parameterCount(wanted)).toBe(5_991_297);
  await expectWeights('scenes-coca', wanted);
});
