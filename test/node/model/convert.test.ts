import {createHash} from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';
import {openModelWeights} from '../../../src/checkpoint/model-weights.js';
import {bytesOf, type TensorPlan, writeSafetensors} from '../../../src/checkpoint/safetensors.js';
import {planShards, shardIndex} from '../../../src/checkpoint/shards.js';
import {parseConfig} from '../../../src/models/families.js';
import {type OfaConfig, ofaConfigOfSize} from '../../../src/models/ofa/config.js';
import {type ConvertReport, formatReport} from '../../../src/node/model/convert-report.js';
import {convertCheckpoint, type ConvertOptions, type ConvertProgress} from '../../../src/node/model/convert.js';
import {FileAccess} from '../../../src/node/model/file-access.js';
import {formatInspection, inspect} from '../../../src/node/model/inspect.js';
import {openCheckpoint} from '../../../src/node/model/open-checkpoint.js';
import {writeRandomModel} from '../../../src/node/model/random-model.js';
import {golden, type GoldenArray, goldenBytes} from '../../support/golden/golden.js';
import {MICRO_HUGGING_FACE, toHuggingFaceName} from '../../support/models/micro-hugging-face.js';
import {Call, Global, type Pickled} from '../../../src/checkpoint/pickle-writer.js';
import {stateDict, torchZip} from '../../support/data/torch-zip-writer.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-convert-'));
afterAll(() => fs.rmSync(root, {recursive: true, force: true}));
const at = (...parts: string[]): string => path.join(root, ...parts);
const put = (file: string, content: Uint8Array | string): string => {
  fs.mkdirSync(path.dirname(at(file)), {recursive: true});
  fs.writeFileSync(at(file), content);
  return at(file);
};

const microPt = put('source/ofa_micro.pt', goldenBytes('ofa_micro.pt'));
const fullPt = put('source/ofa_micro_fp32_full.pt', goldenBytes('ofa_micro_fp32_full.pt'));
const dict = put('source/dict_micro.txt', goldenBytes('dict_micro.txt'));
const tensors = golden('ofa_micro.safetensors');
const floats = Object.entries(tensors).filter(([, {dtype}]) => dtype === 'F16') as [
  string,
  GoldenArray & {readonly data: Float32Array},
][];

const convert = (options: Partial<ConvertOptions> & Pick<ConvertOptions, 'output'>): Promise<ConvertReport> =>
  convertCheckpoint({input: microPt, vocab: dict, ...options});
const sha256 = (file: string): string => createHash('sha256').update(fs.readFileSync(file)).digest('hex');
const json = (file: string): Record<string, unknown> =>
  JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, unknown>;
/** Everything in the folder of outputs, hidden files too. */
const listing = (): string[] => fs.readdirSync(at('out'));
fs.mkdirSync(at('out'));

async function weightsOf(folder: string): Promise<Record<string, {shape: number[]; data: Float32Array}>> {
  using weights = await openModelWeights(
    async (file) => FileAccess.open(path.join(folder, file)),
    fs.readdirSync(folder),
  );
  const all: Record<string, {shape: number[]; data: Float32Array}> = {};
  for (const name of weights.names()) all[name] = {shape: weights.shape(name), data: await weights.read(name)};
  return all;
}
const digest = (weights: Awaited<ReturnType<typeof weightsOf>>): string[] =>
  Object.entries(weights).map(
    ([name, {shape, data}]) => `${name} ${shape} ${createHash('sha256').update(bytesOf(data)).digest('hex')}`,
  );

describe('convertCheckpoint, the micro checkpoint', () => {
  const output = at('out', 'micro');
  let report: ConvertReport;
  const events: ConvertProgress[] = [];
  beforeAll(async () => {
    report = await convert({output, onProgress: (event) => events.push(event)});
  });

  test('writes the model, its vocabulary and a manifest whose checksums are right', () => {
    expect(fs.readdirSync(output).sort()).toEqual([
      'config.json',
      'dict.txt',
      'encoder.json.gz',
      'manifest.json',
      'model.safetensors',
      'vocab.bpe.gz',
    ]);
    const manifest = json(path.join(output, 'manifest.json')) as {
      source: {files: {sha256: string}[]};
      files: {name: string; bytes: number; sha256: string}[];
    };
    expect(manifest).toMatchObject({
      format: 'mue-tfjs',
      version: 1,
      family: 'ofa',
      dtype: 'float16',
      parameters: 2_563_584,
      source: {name: 'ofa_micro.pt', weights: 'model'},
    });
    expect(manifest.source.files[0]!.sha256).toBe(sha256(microPt));
    expect(manifest.files).toHaveLength(5);
    for (const {name, bytes, sha256: sum} of manifest.files) {
      expect(sha256(path.join(output, name))).toBe(sum);
      expect(fs.statSync(path.join(output, name)).size).toBe(bytes);
    }
    expect(parseConfig(json(path.join(output, 'config.json')), 'config.json').config).toEqual(report.config);
    expect(listing()).toEqual(['micro']);
  });

  test('stores every weight of the checkpoint, in the layout of converted models', async () => {
    const weights = await weightsOf(output);
    expect(Object.keys(weights)).toHaveLength(report.used.length);
    for (const {name, source} of report.used) {
      const [{shape, data}, {shape: from, data: original}] = [weights[name]!, tensors[source]!];
      const [a, b] = [from[0] ?? 1, from.slice(1).reduce((product, n) => product * n, 1)];
      const moved = shape.join() !== from.join() || /(_proj|_linear|fc[12])\.weight$/.test(name);
      if (!moved || from.length !== 2) continue;
      expect([name, shape]).toEqual([name, [...from].reverse()]);
      const wrong = data.findIndex((value, i) => value !== original[(i % a) * b + (i - (i % a)) / a]);
      expect([name, wrong]).toEqual([name, -1]);
    }
    // Sums do not depend on the layout: all weights, convolutions too.
    const {checksums} = golden<{checksums: Record<string, [number, number]>}>('ofa_micro.json');
    for (const {name, source} of report.used) {
      const absolute = weights[name]!.data.reduce((sum, value) => sum + (value < 0 ? -value : value), 0);
      expect([name, absolute]).toEqual([name, expect.closeTo(checksums[source]![1], 6)]);
    }
    expect(weights['encoder.embed_images.conv1.weight']!.shape).toEqual([7, 7, 3, 64]);
    expect(weights['encoder.embed_tokens.weight']!.shape).toEqual([32, 389]);
  });

  test('reports both sides, as data and as text', () => {
    expect(report.used.length + report.ignored.length).toBe(354);
    expect(report.filled).toEqual([]);
    expect(report.vocabulary).toMatchObject({lines: 336, ids: 389, bpeOrigin: 'built-in'});
    const text = formatReport(report);
    for (const part of [
      '2,563,584',
      '333 tensors',
      '21 tensors',
      'training statistic',
      'missing     none',
      '336 lines, 389 ids',
      'resnet50',
    ])
      expect(text).toContain(part);
  });

  test('tells its progress: a beginning, an event for each tensor, an end', () => {
    expect(events[0]).toEqual({status: 'initiate', file: 'model.safetensors', loaded: 0, total: 333});
    expect(events.filter(({status}) => status === 'progress').map(({loaded}) => loaded)).toEqual(
      Array.from({length: 333}, (_, i) => i + 1),
    );
    expect(events.at(-1)).toMatchObject({status: 'done', loaded: 333});
  });

  test('makes equal files of equal input', async () => {
    await convert({output: at('out', 'again')});
    for (const name of fs.readdirSync(output))
      expect([name, sha256(at('out', 'again', name))]).toEqual([name, sha256(path.join(output, name))]);
  });

  test('writes the same weights in shards', async () => {
    const {files} = await convert({output: at('out', 'shards'), maxShardBytes: 1e6});
    const shards = files.filter(({name}) => /^model-0000\d-of-0000\d\.safetensors$/.test(name));
    expect(shards.length).toBeGreaterThan(3);
    expect(files.map(({name}) => name)).toContain('model.safetensors.index.json');
    expect(digest(await weightsOf(at('out', 'shards'))).sort()).toEqual(digest(await weightsOf(output)).sort());
  });

  test('writes float32 on request: the same values in twice the bytes', async () => {
    const {files, dtype} = await convert({output: at('out', 'wide'), dtype: 'float32'});
    expect(dtype).toBe('float32');
    expect(files.find(({name}) => name === 'model.safetensors')!.bytes).toBeGreaterThan(10_000_000);
    expect(digest(await weightsOf(at('out', 'wide')))).toEqual(digest(await weightsOf(output)));
  });

  test('makes the same model of a Hugging Face folder: safetensors, .bin, and shards of both', async () => {
    const {config} = report;
    const renamed = floats.map(([name, {shape, data}]): [string, {shape: readonly number[]; data: Float32Array}] => [
      toHuggingFaceName(name),
      {shape, data},
    ]);
    const data = new Map(renamed);
    const plans = renamed.map(([name, {shape}]): TensorPlan => ({name, shape, dtype: 'F32'}));
    const safetensors = async (part: readonly TensorPlan[]): Promise<Uint8Array> => {
      const pieces: Uint8Array[] = [];
      await writeSafetensors(
        part,
        {format: 'pt'},
        async ({name}) => bytesOf(data.get(name)!.data),
        async (piece) => void pieces.push(piece),
      );
      return Buffer.concat(pieces);
    };
    const bin = (part: readonly TensorPlan[]): Uint8Array => {
      const {state, storages} = stateDict(new Map(part.map(({name}) => [name, data.get(name)!])));
      return torchZip(state as Map<string, Pickled>, storages);
    };
    const halves = planShards(plans, 6e6);
    const index = (names: readonly string[]): string =>
      JSON.stringify({
        weight_map: Object.fromEntries(halves.flatMap((part, i) => part.map(({name}) => [name, names[i]!]))),
      });
    const binNames = halves.map((_, i) => `pytorch_model-${i + 1}.bin`);
    const safeNames = Object.values(shardIndex(halves).weight_map).filter((name, i, all) => all.indexOf(name) === i);
    put('hf/safetensors/model.safetensors', await safetensors(plans));
    put('hf/bin/pytorch_model.bin', bin(plans));
    for (const [i, part] of halves.entries()) put(`hf/bins/${binNames[i]}`, bin(part));
    put('hf/bins/pytorch_model.bin.index.json', index(binNames));
    for (const [i, part] of halves.entries()) put(`hf/shards/${safeNames[i]}`, await safetensors(part));
    put('hf/shards/model.safetensors.index.json', index(safeNames));
    const expected = digest(await weightsOf(output));
    for (const kind of ['safetensors', 'bin', 'bins', 'shards']) {
      put(`hf/${kind}/config.json`, JSON.stringify(MICRO_HUGGING_FACE));
      fs.copyFileSync(dict, at('hf', kind, 'dict.txt'));
      // All values fit halves, so 'auto' stores halves although the folder holds float32; the dictionary lies beside
      // the weights.
      const result = await convert({input: at('hf', kind), vocab: undefined, output: at('out', `hf-${kind}`)});
      expect([kind, result.dtype, result.config]).toEqual([kind, 'float16', config]);
      expect(digest(await weightsOf(at('out', `hf-${kind}`)))).toEqual(expected);
    }
  });
});

describe('convertCheckpoint, the full float32 checkpoint', () => {
  test('ema takes the average, exactly half of the model; both are float32 that fits halves', async () => {
    // The tied copies have storages of their own, so they are compared.
    const model = await convert({input: fullPt, output: at('out', 'full')});
    const ema = await convert({input: fullPt, output: at('out', 'ema'), ema: true});
    expect([model.dtype, model.weights, ema.weights]).toEqual(['float16', 'model', 'ema']);
    expect(model.config).toMatchObject({train_mue: false, mue_image_rel_bias: true});
    const [full, half] = [await weightsOf(at('out', 'full')), await weightsOf(at('out', 'ema'))];
    for (const [name, {data}] of Object.entries(half)) {
      const wrong = data.findIndex((value, i) => value !== full[name]!.data[i]! / 2);
      expect([name, wrong]).toEqual([name, -1]);
    }
  });
});

describe('convertCheckpoint, the vocabulary', () => {
  test('refuses a wrong one, and names both numbers', async () => {
    await expect(convert({vocab: undefined, output: at('out', 'v1')})).rejects.toMatchObject({
      code: 'wrong-vocabulary',
      message: expect.stringMatching(/has 50313 ids: 50260 lines .*16 codes and 32 bins; the embedding has 389 rows/),
    });
    await expect(convert({vocab: at('nowhere'), output: at('out', 'v2')})).rejects.toMatchObject({
      code: 'no-vocabulary',
    });
  });

  test('takes a folder, its own BPE files and packed files; looks for bpe_dir beside the file', async () => {
    const vocabulary = path.join(import.meta.dirname, '..', '..', '..', 'vocabulary');
    const text = (name: string): Buffer => zlib.gunzipSync(fs.readFileSync(path.join(vocabulary, `${name}.gz`)));
    // The micro checkpoint's bpe_dir is '../../utils/BPE': not followed, but a folder BPE beside the file is it.
    put('beside/ofa_micro.pt', goldenBytes('ofa_micro.pt'));
    put('beside/BPE/dict.txt.gz', zlib.gzipSync(goldenBytes('dict_micro.txt')));
    put('beside/BPE/encoder.json', text('encoder.json'));
    put('beside/BPE/vocab.bpe', text('vocab.bpe'));
    const report = await convert({input: at('beside', 'ofa_micro.pt'), vocab: undefined, output: at('out', 'beside')});
    expect(report.vocabulary).toMatchObject({lines: 336, origin: at('beside', 'BPE'), bpeOrigin: at('beside', 'BPE')});
    expect(fs.readFileSync(at('out', 'beside', 'dict.txt'))).toEqual(Buffer.from(goldenBytes('dict_micro.txt')));
    expect(zlib.gunzipSync(fs.readFileSync(at('out', 'beside', 'encoder.json.gz'))).equals(text('encoder.json'))).toBe(
      true,
    );
  });
});

describe('convertCheckpoint leaves nothing half-written', () => {
  const {state, storages} = stateDict(new Map(floats.map(([name, {shape, data}]) => [name, {shape, data}])));
  const settings = new Map<string, Pickled>([
    ['num_bins', 32],
    ['code_dict_size', 16],
  ]);
  const file = (
    change: Partial<Record<'model' | 'extra', Pickled>>,
    name: string,
    data: ReadonlyMap<string, Buffer> = storages,
  ): string => {
    const model = change.model ?? (state as Map<string, Pickled>);
    return put(
      name,
      torchZip(
        new Map<string, Pickled>([
          ['cfg', new Map([['model', settings]])],
          ['model', model],
          ['extra_state', change.extra ?? null],
        ]),
        data,
      ),
    );
  };
  const keys = [...state.keys()];
  const storageOf = (name: string): string => String(keys.indexOf(name));
  const withValue = (name: string, value: number): Map<string, Buffer> => {
    const bytes = Buffer.from(storages.get(storageOf(name))!);
    bytes.writeFloatLE(value, 8);
    return new Map([...storages, [storageOf(name), bytes]]);
  };
  const without = (name: string): Map<string, Pickled> => new Map([...state].filter(([key]) => key !== name));
  const system = new Call(new Global('os', 'system'), [`touch ${at('hacked')}`]);
  const last = 'decoder.layer_norm.bias';

  beforeAll(() => {
    put('bad/model.safetensors', goldenBytes('ofa_micro.safetensors'));
    fs.rmSync(at('out'), {recursive: true});
    fs.mkdirSync(at('out'));
  });
  afterEach(() => {
    expect(listing()).toEqual([]);
    expect(fs.existsSync(at('hacked'))).toBe(false);
  });

  test.each<[string, () => string, string]>([
    ['no such file', () => at('nowhere.pt'), 'unreadable-file'],
    ['a folder without weights', () => path.dirname(put('empty/readme.txt', 'hi')), 'not-a-checkpoint'],
    [
      'a truncated checkpoint',
      () => put('cut.pt', goldenBytes('ofa_micro.pt').subarray(0, 4_000_000)),
      'truncated-file',
    ],
    ['an empty file', () => put('empty.pt', ''), 'not-a-checkpoint'],
    ['a text file', () => put('text.pt', 'no checkpoint at all, but text'), 'not-a-checkpoint'],
    [
      'os.system in the model',
      () => file({model: new Map([...(state as Map<string, Pickled>), ['x', system]])}, 'evil1.pt'),
      'unsafe-pickle',
    ],
    ['os.system beside the model', () => file({extra: system}, 'evil2.pt'), 'unsafe-pickle'],
    ['NaN in the last weight', () => file({}, 'nan.pt', withValue(last, Number.NaN)), 'bad-values'],
    ['a missing tensor', () => file({model: without('encoder.image_proj.weight')}, 'missing.pt'), 'missing-weights'],
    [
      'another model',
      () => file({model: new Map([['visual.proj', state.get('encoder.image_proj.bias')!]])}, 'clip.pt'),
      'other-model',
    ],
    ['config.json that is no JSON', () => path.dirname(put('bad/config.json', '{')), 'bad-config'],
  ])('%s', async (_, make, code) => {
    await expect(convert({input: make(), output: at('out', 'x')})).rejects.toMatchObject({name: 'WeightsError', code});
  });

  test('when float16 cannot hold a value: an error on request, float32 by itself', async () => {
    const input = file({}, 'large.pt', withValue(last, 1e6));
    await expect(convert({input, output: at('out', 'x'), dtype: 'float16'})).rejects.toMatchObject({
      code: 'float16-overflow',
      message: expect.stringContaining(last),
    });
    expect((await convert({input, output: at('large')})).dtype).toBe('float32');
    const fine = file({}, 'fine.pt', withValue(last, 0.1));
    expect((await convert({input: fine, output: at('fine')})).dtype).toBe('float32');
    expect((await convert({input: fine, output: at('rounded'), dtype: 'float16'})).dtype).toBe('float16');
  });

  test('after an abort before and while writing', async () => {
    const controller = new AbortController();
    const onProgress = ({loaded}: ConvertProgress): void => (loaded === 100 ? controller.abort() : undefined);
    await expect(convert({output: at('out', 'x'), onProgress, signal: controller.signal})).rejects.toMatchObject({
      name: 'AbortError',
      exitCode: 130,
    });
    await expect(convert({output: at('out', 'x'), signal: controller.signal})).rejects.toMatchObject({code: 'aborted'});
  });

  test('after an error that a caller throws from its progress callback', async () => {
    const onProgress = (): never => {
      throw new TypeError('oops');
    };
    await expect(convert({output: at('out', 'x'), onProgress})).rejects.toThrow('oops');
  });
});

describe('convertCheckpoint, a folder in use', () => {
  test('replaces it only by force, only if it holds a model, and keeps exit.json', async () => {
    const output = at('used');
    put('used/notes.txt', 'mine');
    await expect(convert({output})).rejects.toMatchObject({name: 'UsageError', code: 'output-exists'});
    await expect(convert({output, force: true})).rejects.toMatchObject({
      message: expect.stringContaining('no manifest.json'),
    });
    expect(fs.readdirSync(output)).toEqual(['notes.txt']);
    await expect(convert({output: put('a-file', '')})).rejects.toMatchObject({code: 'output-exists'});
    fs.rmSync(output, {recursive: true});
    fs.mkdirSync(output);
    await convert({output});
    put('used/exit.json', '{}');
    put('used/old.txt', '');
    await expect(convert({input: fullPt, output, force: true, ema: true, vocab: at('nowhere')})).rejects.toMatchObject({
      code: 'no-vocabulary',
    });
    expect(fs.existsSync(at('used', 'old.txt'))).toBe(true);
    await convert({input: fullPt, output, force: true});
    expect(fs.readdirSync(output)).toContain('exit.json');
    expect(fs.readdirSync(output)).not.toContain('old.txt');
    expect(json(at('used', 'manifest.json'))).toMatchObject({source: {name: 'ofa_micro_fp32_full.pt'}});
    await expect(convert({input: output, output: at('twice')})).rejects.toMatchObject({code: 'already-converted'});
  });
});

describe('inspect', () => {
  test('counts the parameters of a checkpoint and of the model made from it, in all and by part', async () => {
    await convert({output: at('seen')});
    for (const [target, kind, count] of [
      [microPt, 'checkpoint', 354],
      [at('seen'), 'model', 333],
    ] as const) {
      const seen = await inspect(target);
      expect(seen).toMatchObject({kind, parameters: 2_563_584, problem: null});
      expect(seen.tensors).toHaveLength(count);
      expect(seen.parts.reduce((sum, {parameters}) => sum + parameters, 0)).toBe(2_563_584);
      const resnet = floats.filter(([name]) => name.startsWith('encoder.embed_images.') && !name.includes('running'));
      expect(seen.parts.find(({part}) => part === 'resnet')?.parameters).toBe(
        resnet.reduce((sum, [, {data}]) => sum + data.length, 0),
      );
      expect(formatInspection(seen)).toMatch(/2,563,584[\s\S]*d_model = 32[\s\S]*encoder\.embed_tokens\.weight {2}F16/);
    }
  });

  test("lists another model's checkpoint, with the reason why it is none of ours", async () => {
    const {state, storages} = stateDict(new Map([['visual.proj', {shape: [2, 3], data: new Float32Array(6)}]]));
    const seen = await inspect(put('clip.bin', torchZip(state as Map<string, Pickled>, storages)));
    expect(seen).toMatchObject({config: null, parameters: 6, parts: [{part: 'visual', parameters: 6}]});
    expect(formatInspection(seen)).toMatch(/problem: .*not an OFA model/);
  });

  test('names the weights that do not fit config.json', async () => {
    await convert({output: at('unfit')});
    const config = json(at('unfit', 'config.json'));
    put('unfit/config.json', JSON.stringify({...config, d_model: 64}));
    expect((await inspect(at('unfit'))).problem).toMatch(/weights are missing or of another shape/);
  });
});

describe('writeRandomModel', () => {
  const config: OfaConfig = {
    ...ofaConfigOfSize('tiny'),
    d_model: 64,
    encoder_ffn_dim: 96,
    decoder_ffn_dim: 160,
    encoder_attention_heads: 2,
    decoder_attention_heads: 4,
    encoder_layers: 1,
    decoder_layers: 2,
    resnet_layers: [1, 1, 1],
  };

  test('writes a checkpoint that converts, or a model, with the distribution asked for', async () => {
    await writeRandomModel({config, output: at('random', 'checkpoint'), kind: 'checkpoint'});
    const report = await convertCheckpoint({input: at('random', 'checkpoint'), output: at('random', 'converted')});
    expect(report.config).toEqual(config);
    expect(report.vocabulary.origin).toBe('built-in');
    await writeRandomModel({config, output: at('random', 'model'), maxShardBytes: 4e6});
    expect(await inspect(at('random', 'model'))).toMatchObject({
      kind: 'model',
      problem: null,
      parameters: report.parameters,
    });
    const {
      'encoder.embed_tokens.weight': table,
      'encoder.layers.0.fc1.bias': bias,
      'encoder.embed_images.bn1.running_var': variance,
    } = await weightsOf(at('random', 'model'));
    const mean = table!.data.reduce((sum, value) => sum + value, 0) / table!.data.length;
    const deviation = Math.sqrt(table!.data.reduce((sum, value) => sum + value * value, 0) / table!.data.length);
    // 3.8 million draws: the standard error of the mean is 1e-5.
    expect(Math.abs(mean)).toBeLessThan(5e-5);
    expect(deviation).toBeCloseTo(0.02, 4);
    expect(new Set(bias!.data)).toEqual(new Set([0]));
    expect(new Set(variance!.data)).toEqual(new Set([1]));
  });
});

test('convertCheckpoint, inspect: no file stays open', async () => {
  const source = await openCheckpoint(microPt);
  source[Symbol.dispose]();
  await expect(source.checkpoint.read('encoder.layer_norm.weight')).rejects.toMatchObject({code: 'file-closed'});
});
