import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {bytesOf, type TensorPlan, writeSafetensors} from '../../../src/checkpoint/safetensors.js';
import type {AdaptedModel} from '../../../src/node/model/exit-adapters.js';
import {ADAPTERS_FILE, readExitAdapters, writeExitAdapters} from '../../../src/node/model/exit-adapters.js';
import {loadModel} from '../../../src/node/model/load-model.js';
import {weightsHash} from '../../../src/node/model/manifest.js';
import {selectBackend} from '../../../src/node/backends/select.js';
import {withoutLeaks} from '../../support/leaks.js';
import {microFolder} from '../../support/models/micro-folder.js';
import {seededAdapters} from '../../support/models/seeded-adapters.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-adapters-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
const at = (name: string): string => path.join(root, name);
const WEIGHTS = 'ab'.repeat(32);
const model: AdaptedModel = {model: {stacks: {encoder: 3, decoder: 4}, stateSize: 2}, weights: WEIGHTS};

beforeAll(async () => {
  await selectBackend('cpu');
});

const values = (adapters: Awaited<ReturnType<typeof seededAdapters>>): number[][] =>
  adapters.trainableWeights.map((weight) => [...weight.read().dataSync()]);

test('writeExitAdapters, readExitAdapters: every task comes back as it was', async () => {
  const sets = {
    'snli-ve': await seededAdapters({size: 2, kind: 'bottleneck', width: 3, layers: [1, 3]}),
    caption: await seededAdapters({size: 2, kind: 'affine', width: 0, layers: [2]}, 2),
  };
  const learntFrom = {caption: 'ef'.repeat(32)};
  await writeExitAdapters(at('both'), {adapters: sets, weights: WEIGHTS, stack: 'decoder', learntFrom});
  const {adapters, sha256, ...about} = await readExitAdapters(at('both'), model);
  expect(about).toEqual({learntFrom});
  expect(sha256).toMatch(/^[0-9a-f]{64}$/);
  for (const task of ['snli-ve', 'caption'] as const) {
    expect(adapters[task]!.config).toEqual(sets[task].config);
    expect(values(adapters[task]!)).toEqual(values(sets[task]));
    for (const own of [adapters[task]!, sets[task]]) own[Symbol.dispose]();
  }
  expect(fs.readdirSync(root)).toEqual(['both']);
});

interface Crafted {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly set?: object;
  readonly tensors?: Readonly<Record<string, readonly number[]>>;
  readonly value?: number;
}
/** A file of one affine adapter after layer 1, with something wrong. */
async function crafted({metadata, set, tensors, value = 0.5}: Crafted): Promise<string> {
  const shapes = tensors ?? {'caption.layers.1.up.weight': [2, 2], 'caption.layers.1.up.bias': [2]};
  const plans = Object.entries(shapes).map(([name, shape]): TensorPlan => ({name, dtype: 'F32', shape}));
  const tasks = JSON.stringify({caption: {kind: 'affine', size: 2, width: 0, layers: [1], ...set}});
  const about = {format: 'mue-exit-adapters', version: '1', weights: WEIGHTS, stack: 'decoder', tasks, ...metadata};
  const pieces: Uint8Array[] = [];
  await writeSafetensors(
    plans,
    about,
    ({shape}) => Promise.resolve(bytesOf(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value))),
    (piece) => Promise.resolve(void pieces.push(piece)),
  );
  const file = at(`crafted-${Math.random()}`);
  fs.writeFileSync(file, Buffer.concat(pieces));
  return file;
}

test('readExitAdapters: takes the crafted file when nothing is wrong with it', async () => {
  const {adapters} = await readExitAdapters(await crafted({}), model);
  expect(values(adapters.caption!)).toEqual([
    [0.5, 0.5, 0.5, 0.5],
    [0.5, 0.5],
  ]);
  adapters.caption![Symbol.dispose]();
});

test.each<[string, Crafted, string, RegExp]>([
  [
    'of other weights',
    {metadata: {weights: 'cd'.repeat(32)}},
    'adapters-other-weights',
    /cdcdcdcdcdcd…, not with abab/,
  ],
  ['of another format', {metadata: {format: 'pt'}}, 'adapters-invalid', /format/],
  ['of a later version', {metadata: {version: '2'}}, 'adapters-invalid', /version/],
  ['of a stack that does not write', {metadata: {stack: 'encoder'}}, 'adapters-invalid', /'encoder'.*'decoder'/],
  ['with a table that is no JSON', {metadata: {tasks: '{'}}, 'adapters-invalid', /no JSON/],
  ['of an unknown task', {metadata: {tasks: '{"paint":{}}'}}, 'adapters-invalid', /paint/],
  ['of an unknown kind', {set: {kind: 'deep'}}, 'adapters-invalid', /kind/],
  ['of another width of states', {set: {size: 3}}, 'adapters-invalid', /width 3, not 2/],
  ['for the last layer', {set: {layers: [4]}}, 'adapters-invalid', /layers 4; wanted are some of 1 to 3/],
  ['with a layer twice', {set: {layers: [1, 1]}}, 'adapters-invalid', /layers 1, 1/],
  ['too wide', {set: {kind: 'bottleneck', width: 1e9}}, 'adapters-invalid', /width/],
  ['without their tensors', {tensors: {}}, 'weights-mismatch', /missing/],
  [
    'with a tensor of another shape',
    {tensors: {'caption.layers.1.up.weight': [2, 3], 'caption.layers.1.up.bias': [2]}},
    'weights-mismatch',
    /\[2,3\]/,
  ],
  ['with a tensor of no task', {tensors: {'vqa.layers.1.up.bias': [2]}}, 'adapters-invalid', /vqa/],
  ['with what is no number', {value: Number.NaN}, 'adapters-invalid', /no number/],
])('readExitAdapters: refuses a file %s, and leaves no tensor', async (_title, wrong, code, message) => {
  const file = await crafted(wrong);
  const result = await withoutLeaks(() => readExitAdapters(file, model));
  expect(result).toMatchObject({error: {code, message: expect.stringMatching(message) as string, exitCode: 3}});
});

test('readExitAdapters: refuses what is no file, or no safetensors', async () => {
  await expect(readExitAdapters(at('nowhere'), model)).rejects.toMatchObject({code: 'unreadable-file'});
  fs.writeFileSync(at('text'), 'no safetensors');
  await expect(readExitAdapters(at('text'), model)).rejects.toMatchObject({code: 'damaged-safetensors'});
});

test("loadModel: takes the folder's own adapters, none, or others; plans see another model", async () => {
  const folder = await microFolder(root);
  const weights = weightsHash(folder)!;
  const bare = await loadModel(folder, {device: 'cpu'});
  expect([bare.exitAdapters, bare.sha256]).toEqual([{}, weights]);
  const own = await seededAdapters({size: bare.model.stateSize, kind: 'affine', width: 0, layers: [1]});
  bare.dispose();
  for (const place of [path.join(folder, ADAPTERS_FILE), at('others')])
    await writeExitAdapters(place, {adapters: {caption: own}, weights, stack: 'decoder'});
  own[Symbol.dispose]();
  const load = async (adapters?: boolean | string): Promise<readonly [readonly string[], boolean]> => {
    const pipeline = await loadModel(folder, {device: 'cpu', adapters});
    const found = [Object.keys(pipeline.exitAdapters), pipeline.sha256 === weights] as const;
    pipeline.dispose();
    return found;
  };
  expect(await load()).toEqual([['caption'], false]);
  expect(await load(false)).toEqual([[], true]);
  fs.rmSync(path.join(folder, ADAPTERS_FILE));
  expect(await load()).toEqual([[], true]);
  expect(await load(at('others'))).toEqual([['caption'], false]);
  const wrong = await crafted({});
  expect(await withoutLeaks(() => loadModel(folder, {device: 'cpu', adapters: wrong}))).toMatchObject({
    error: {code: 'adapters-other-weights'},
  });
  await expect(loadModel(folder, {device: 'cpu', adapters: at('missing')})).rejects.toMatchObject({
    code: 'unreadable-file',
  });
});
