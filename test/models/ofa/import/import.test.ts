import type {Checkpoint, PlainValue} from '../../../../src/checkpoint/checkpoint.js';
import {MemoryAccess} from '../../../support/data/memory-access.js';
import {TorchFile} from '../../../../src/checkpoint/torch-zip.js';
import {GENERATION_DEFAULTS} from '../../../../src/models/ofa/config.js';
import {checkTied, importOfa} from '../../../../src/models/ofa/import/import.js';
import {parameterCount, readImported, toStored} from '../../../../src/models/weights.js';
import {golden, goldenBytes} from '../../../support/golden/golden.js';
import {MICRO_HUGGING_FACE, toHuggingFaceName} from '../../../support/models/micro-hugging-face.js';

interface Micro {
  readonly V: number;
  readonly parameters: number;
}
const facts = golden<Micro>('ofa_micro.json');
const micro = (await TorchFile.open(new MemoryAccess('micro.pt', goldenBytes('ofa_micro.pt')))).checkpoint();

type Fields = Record<string, PlainValue>;
const cfg = micro.cfg as {readonly model: Fields; readonly task: Fields};
const withModel = (changes: Fields): PlainValue => ({...cfg, model: {...cfg.model, ...changes}});

/** The micro checkpoint with some tensors taken out, put in, or of another shape. */
function changed(options: {
  readonly without?: (name: string) => boolean;
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  readonly extra?: Readonly<Record<string, readonly number[]>>;
  readonly rename?: (name: string) => string;
  readonly values?: Readonly<Record<string, (data: Float32Array) => unknown>>;
}): Checkpoint {
  const {shapes = {}, extra = {}, rename = (name) => name, values = {}} = options;
  const names = new Map(
    micro.names().flatMap((name) => (options.without?.(name) ? [] : [[rename(name), name] as const])),
  );
  for (const name of Object.keys(extra)) names.set(name, name);
  return {
    source: 'changed.pt',
    format: 'torch',
    cfg: micro.cfg,
    placeholders: [],
    names: () => [...names.keys()],
    has: (name) => names.has(name),
    entry: (name) => {
      const shape = shapes[name] ?? extra[name];
      return shape ? {dtype: 'F16', shape} : micro.entry(names.get(name)!);
    },
    read: async (name) => {
      const data = await micro.read(names.get(name)!);
      values[name]?.(data as Float32Array);
      return data;
    },
    sameStorage: () => false,
    [Symbol.dispose]: () => undefined,
  };
}

test('micro: configuration from settings and tensors, all 354 entries accounted for', () => {
  const {config, weights, ignored, notes} = importOfa(micro);
  expect(config).toMatchObject({
    d_model: 32,
    encoder_ffn_dim: 64,
    encoder_layers: 3,
    decoder_layers: 4,
    encoder_attention_heads: 4,
    resnet_layers: [2, 1, 1],
    vocab_size: facts.V,
    code_dict_size: 16,
    num_bins: 32,
    max_source_positions: 1024,
    token_bucket_size: 256,
    image_bucket_size: 42,
    patch_image_size: 64,
    train_mue: true,
    // Not stored: a MuE model runs without it (docs/reference/ofa-mue.md 10.9, Q1).
    mue_image_rel_bias: false,
    scale_heads: true,
    generation: GENERATION_DEFAULTS,
  });
  expect(parameterCount(weights)).toBe(facts.parameters);
  expect(weights.every(({source}) => source !== null)).toBe(true);
  expect(weights.length + ignored.length).toBe(354);
  expect(ignored).toContainEqual({
    name: 'decoder.output_projection.weight',
    reason: 'tied to encoder.embed_tokens.weight',
  });
  expect(notes).toEqual([expect.stringContaining("resnet_type is 'resnet50'")]);
});

test('cfg.model as dict or namespace, flat args of old trainers, and no settings at all', () => {
  const expected = importOfa(micro).config;
  expect(importOfa(micro, {...cfg.task, ...cfg.model}).config).toEqual(expected);
  const bare = importOfa(micro, null);
  expect(bare.config).toMatchObject({
    d_model: 32,
    scale_attn: true,
    train_mue: false,
    mue_image_rel_bias: true,
    patch_image_size: 480,
  });
  expect(bare.notes).toContainEqual(expect.stringContaining('no configuration'));
});

test('search settings of the task become defaults for captions and prompts, not for questions', () => {
  const task = {...cfg.task, beam: 4, max_len_b: 24, no_repeat_ngram_size: 2};
  const {generation} = importOfa(micro, {...cfg, task}).config;
  expect(generation.caption).toMatchObject({
    num_beams: 4,
    max_new_tokens: 24,
    no_repeat_ngram_size: 2,
    min_length: 1,
    normalize_scores: true,
  });
  expect(generation.prompt).toEqual(generation.caption);
  expect(generation.vqa).toMatchObject({
    num_beams: 4,
    max_new_tokens: 200,
    no_repeat_ngram_size: 0,
    normalize_scores: false,
  });
});

test('a stored mue_image_rel_bias wins; sync_bn changes ε; ImageNet statistics are taken', () => {
  expect(importOfa(micro, withModel({mue_image_rel_bias: true})).config.mue_image_rel_bias).toBe(true);
  expect(importOfa(micro, withModel({sync_bn: true})).config.batch_norm_epsilon).toBe(1e-3);
  expect(
    importOfa(micro, {...cfg, task: {...cfg.task, imagenet_default_mean_and_std: true}}).config.image_mean,
  ).toEqual([0.485, 0.456, 0.406]);
});

test('Hugging Face names and settings', () => {
  const checkpoint = changed({rename: toHuggingFaceName});
  const hf: PlainValue = {
    ...MICRO_HUGGING_FACE,
    max_position_embeddings: 1024,
    activation_function: 'gelu',
    scale_embedding: false,
  };
  const {config, weights} = importOfa(checkpoint, hf);
  expect(config).toEqual(importOfa(micro).config);
  expect(weights.find(({name}) => name === 'encoder.layers.0.attn_ln.weight')?.source).toBe(
    'encoder.layers.0.self_attn_mid_layer_norm.weight',
  );
});

test('what is missing and has a neutral value is filled in and reported', async () => {
  const checkpoint = changed({without: (name) => /c_attn|\.ffn_layernorm\./.test(name)});
  const {weights} = importOfa(checkpoint);
  const filled = weights.filter(({source}) => source === null);
  // Three encoder layers (one attention) and four decoder layers (two), and gain and bias of seven norms.
  expect(filled).toHaveLength(3 + 8 + 14);
  for (const weight of filled)
    expect(new Set(await readImported(checkpoint, weight))).toEqual(new Set([weight.name.endsWith('bias') ? 0 : 1]));
});

test('the tied matrix may be under any of its three names', () => {
  const only = (kept: string): Checkpoint =>
    changed({without: (name) => /embed_tokens|output_projection/.test(name) && name !== kept});
  for (const kept of [
    'encoder.embed_tokens.weight',
    'decoder.embed_tokens.weight',
    'decoder.output_projection.weight',
  ]) {
    const {weights, ignored} = importOfa(only(kept));
    expect(weights[0]).toMatchObject({name: 'encoder.embed_tokens.weight', source: kept});
    expect(weights.length + ignored.length).toBeGreaterThanOrEqual(352);
  }
});

test('copies of the tied matrix that differ are an error; equal ones are not', async () => {
  const values = await readImported(micro, importOfa(micro).weights[0]!);
  await checkTied(changed({}), values);
  const differs = changed({values: {'decoder.output_projection.weight': (data) => data.fill(9, 77, 78)}});
  await expect(checkTied(differs, values)).rejects.toMatchObject({
    code: 'untied-embedding',
    message: expect.stringContaining('element 77'),
  });
});

test('all that is missing and all that is unknown stand in one message', () => {
  const checkpoint = changed({
    without: (name) =>
      ['encoder.image_proj.bias', 'decoder.layers.3.fc2.weight', 'encoder.embed_images.bn1.running_var'].includes(name),
    extra: {'encoder.layers.0.adapter.up.weight': [4, 4], 'mystery.weight': [1]},
  });
  expect(() => importOfa(checkpoint)).toThrow(
    expect.objectContaining({
      code: 'missing-weights',
      message: expect.stringMatching(/3 missing: .*running_var.*image_proj\.bias.*fc2\.weight; 2 .*adapter.*mystery/),
    }),
  );
  expect(() => importOfa(changed({extra: {'mystery.weight': [1]}}))).toThrow(
    expect.objectContaining({code: 'unknown-weights'}),
  );
});

test('a file without its last layer is incomplete, not a shallower model', () => {
  const checkpoint = changed({
    without: (name) => name.startsWith('decoder.layers.3.') || name.startsWith('decoder.token_rel_pos_table_list.3.'),
  });
  expect(() => importOfa(checkpoint)).toThrow(expect.objectContaining({code: 'missing-weights'}));
});

test('all wrong shapes stand in one message, with both shapes', () => {
  const checkpoint = changed({
    shapes: {
      'encoder.layers.1.fc1.bias': [63],
      'decoder.output_projection.weight': [388, 32],
      'encoder.type_embedding.weight': [3, 32],
    },
  });
  expect(() => importOfa(checkpoint)).toThrow(
    expect.objectContaining({
      code: 'wrong-shapes',
      message: expect.stringMatching(
        /3 of its tensors.*type_embedding\.weight' is \[3, 32\].*\[2, 32\].*fc1\.bias' is \[63\].*\[64\].*output_projection/,
      ),
    }),
  );
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])(
  'a weight that is %s is an error, named with its place',
  async (value) => {
    const checkpoint = changed({values: {'encoder.image_proj.bias': (data) => data.fill(value, 5, 6)}});
    const weight = importOfa(checkpoint).weights.find(({name}) => name === 'encoder.image_proj.bias')!;
    await expect(readImported(checkpoint, weight)).rejects.toMatchObject({
      code: 'bad-values',
      message: expect.stringMatching(new RegExp(`image_proj\\.bias' holds ${value} at element 5`)),
    });
  },
);

test('a checkpoint of another model says so', () => {
  const clip = changed({without: () => true, extra: {'visual.conv1.weight': [1], 'text_decoder.proj': [1]}});
  expect(() => importOfa(clip)).toThrow(
    expect.objectContaining({
      code: 'other-model',
      message: expect.stringMatching(/not an OFA model.*visual.conv1.*CoCa/),
    }),
  );
  expect(() => importOfa(changed({without: () => true}))).toThrow(expect.objectContaining({code: 'other-model'}));
});

test('unsupported settings are listed, all at once', () => {
  const settings = withModel({
    entangle_position_embedding: true,
    scale_attn: true,
    adaptive_softmax_cutoff: '1,2',
    activation_fn: 'relu',
    use_prompt: true,
  });
  expect(() => importOfa(micro, settings)).toThrow(
    expect.objectContaining({
      code: 'unsupported-architecture',
      message: expect.stringMatching(/entangle_position_embedding.*use_prompt.*'relu'.*adaptive_softmax_cutoff/),
    }),
  );
});

test.each<[string, Fields]>([
  ['a depth of a billion', {encoder_layers: 1e9}],
  ['a depth that is text', {encoder_layers: 'six'}],
  ['a flag that is text', {train_mue: 'yes'}],
  ['a picture of 10^6 pixels', {patch_image_size: 1e6}],
  ['no picture', {patch_image_size: 0}],
  ['an unknown prompt type', {prompt_type: 'sideways'}],
])('%s is a bad configuration', (_, changes) => {
  const {patch_image_size: _size, ...task} = cfg.task;
  expect(() => importOfa(micro, {model: {...cfg.model, ...changes}, task})).toThrow(
    expect.objectContaining({name: 'WeightsError', code: 'bad-config'}),
  );
});

test('layouts: linear and embedding transposed, convolution HWIO, halves exact', () => {
  const of = (
    shape: readonly number[],
    layout: 'plain' | 'linear' | 'conv',
  ): {name: string; shape: readonly number[]; layout: typeof layout} => ({name: 'w', shape, layout});
  const values = Float32Array.from({length: 6}, (_, i) => i);
  // The checkpoint has [out 2, in 3]; stored is [in 3, out 2].
  expect([...toStored(values, of([3, 2], 'linear'), 'F32')]).toEqual([0, 3, 1, 4, 2, 5]);
  expect([...toStored(values, of([6], 'plain'), 'F32')]).toEqual([0, 1, 2, 3, 4, 5]);
  expect([...toStored(Float32Array.of(1, -2), of([2], 'plain'), 'F16')]).toEqual([0x3c00, 0xc000]);
  const [h, w, inputs, outputs] = [2, 3, 2, 2] as const;
  const oihw = Float32Array.from({length: 24}, (_, i) => i);
  const hwio = toStored(oihw, of([h, w, inputs, outputs], 'conv'), 'F32');
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++)
      for (let i = 0; i < inputs; i++)
        for (let o = 0; o < outputs; o++)
          expect(hwio[((y * w + x) * inputs + i) * outputs + o]).toBe(oihw[((o * inputs + i) * h + y) * w + x]);
  // Larger than a tile of the transposition, and no multiple of it.
  const wide = Float32Array.from({length: 70 * 130}, (_, i) => i);
  const turned = toStored(wide, of([130, 70], 'linear'), 'F32');
  expect(turned.every((value, i) => value === wide[(i % 70) * 130 + Math.floor(i / 70)])).toBe(true);
});

test.each(['module.', 'module._orig_mod.', 'anything.'])('names that all begin with %s', (prefix) => {
  const {weights, ignored} = importOfa(changed({rename: (name) => prefix + name}));
  const plain = importOfa(micro);
  expect(weights.map(({source}) => source)).toEqual(plain.weights.map(({source}) => prefix + source!));
  expect(ignored).toHaveLength(plain.ignored.length);
  const unknown = changed({rename: (name) => prefix + name, extra: {[`${prefix}mystery.weight`]: [1]}});
  expect(() => importOfa(unknown)).toThrow(
    expect.objectContaining({message: expect.stringContaining(`${prefix}mystery.weight`)}),
  );
});

test("early fairseq's file: numbered norms, and queries, keys and values in one tensor", async () => {
  const norms: Readonly<Record<string, readonly string[]>> = {
    encoder: ['self_attn_layer_norm', 'final_layer_norm'],
    decoder: ['self_attn_layer_norm', 'encoder_attn_layer_norm', 'final_layer_norm'],
  };
  const fused = /^(.*_attn)\.([qkv])_proj\.(weight|bias)$/;
  const old = changed({
    without: (name) => fused.test(name),
    rename: (name) =>
      name.replace(
        /^(encoder|decoder)(\.layers\.\d+)\.(\w+_layer_norm)\./,
        (whole, stack: string, layer, norm: string) =>
          norms[stack]!.includes(norm) ? `${stack}${layer}.layer_norms.${norms[stack]!.indexOf(norm)}.` : whole,
      ),
  });
  const parts = new Map<string, string[]>();
  for (const name of micro.names()) {
    const [, attention, , kind] = fused.exec(name) ?? [];
    if (attention === undefined) continue;
    const whole = `${attention}.in_proj_${kind}`;
    parts.set(
      whole,
      ['q', 'k', 'v'].map((letter) => `${attention}.${letter}_proj.${kind}`),
    );
  }
  const checkpoint: Checkpoint = {
    ...old,
    names: () => [...old.names(), ...parts.keys()],
    entry: (name) => {
      const one = parts.get(name)?.[0];
      if (one === undefined) return old.entry(name);
      const {dtype, shape} = micro.entry(one);
      return {dtype, shape: [3 * shape[0]!, ...shape.slice(1)]};
    },
    read: async (name) => {
      const three = parts.get(name);
      if (three === undefined) return await old.read(name);
      const values: number[] = [];
      for (const part of three) values.push(...((await micro.read(part)) as Float32Array));
      return Float32Array.from(values);
    },
  };
  const wanted = importOfa(micro).weights;
  const {weights} = importOfa(checkpoint);
  expect(weights.map(({name}) => name)).toEqual(wanted.map(({name}) => name));
  for (const [i, weight] of weights.entries())
    if (/layers\.1\..*(_proj|norm)/.test(weight.name))
      expect([weight.name, await readImported(checkpoint, weight)]).toEqual([
        weight.name,
        await readImported(micro, wanted[i]!),
      ]);
});
