import {createHash} from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type {Checkpoint} from '../../../src/checkpoint/checkpoint.js';
import {convertCheckpoint, type ConvertOptions} from '../../../src/node/model/convert.js';
import {ADAPTERS_FILE} from '../../../src/node/model/exit-adapters.js';
import {exportModel, formatExport} from '../../../src/node/model/export.js';
import {openCheckpoint} from '../../../src/node/model/open-checkpoint.js';
import {golden, type GoldenArray, goldenBytes} from '../../support/golden/golden.js';
import {cocaGoldenBytes, describeCoca} from '../../support/golden/golden-coca.js';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-export-'));
afterAll(() => fs.rmSync(root, {recursive: true, force: true}));
const at = (...parts: string[]): string => path.join(root, ...parts);
const put = (file: string, bytes: Uint8Array | string): string => {
  fs.mkdirSync(path.dirname(at(file)), {recursive: true});
  fs.writeFileSync(at(file), bytes);
  return at(file);
};
const sha256 = (file: string): string => createHash('sha256').update(fs.readFileSync(file)).digest('hex');
/** Every file of a model folder but the manifest, which names the checkpoint it came from. */
const contents = (folder: string): Record<string, string> => {
  const names = fs.readdirSync(folder).filter((name) => !['manifest.json', ADAPTERS_FILE].includes(name));
  return Object.fromEntries(names.map((name) => [name, sha256(path.join(folder, name))]));
};
const back = async (name: string, options: Partial<ConvertOptions> = {}): Promise<Record<string, string>> => {
  await convertCheckpoint({input: at(name), output: at(`${name}-back`), ...options});
  return contents(at(`${name}-back`));
};

const TIED = ['encoder.embed_tokens.weight', 'decoder.embed_tokens.weight', 'decoder.output_projection.weight'];
/** Buffers that the authors' code makes for itself. */
const MADE = /rp_bucket$|image_position_idx$/;

describe('exportModel, OFA', () => {
  const original = golden('ofa_micro.safetensors');
  beforeAll(async () => {
    const vocab = put('source/dict.txt', goldenBytes('dict_micro.txt'));
    const input = put('source/ofa_micro.pt', goldenBytes('ofa_micro.pt'));
    await convertCheckpoint({input, vocab, output: at('mue')});
    // The other one is plain OFA in float32.
    const full = put('source/full.pt', goldenBytes('ofa_micro_fp32_full.pt'));
    await convertCheckpoint({input: full, vocab, output: at('plain')});
  });

  /** Tensors that are missing, or are not the original's in name, type, shape or value. */
  async function differences(checkpoint: Checkpoint): Promise<string[]> {
    const wrong: string[] = [];
    for (const [name, {shape, data}] of Object.entries(original) as [string, GoldenArray][]) {
      if (MADE.test(name) || (checkpoint.format === 'safetensors' && TIED.slice(1).includes(name))) continue;
      if (!checkpoint.has(name) || checkpoint.entry(name).shape.join() !== shape.join()) wrong.push(name);
      else if (!name.endsWith('num_batches_tracked')) {
        const values = await checkpoint.read(name);
        if (values.length !== data.length || values.some((value, i) => value !== data[i])) wrong.push(name);
      }
    }
    return wrong;
  }

  test("pt: the trainer's dictionary, the original's tensors with unfolded batch norms, tied ones on one storage", async () => {
    const report = await exportModel({input: at('mue'), output: at('mue-pt'), to: 'pt'});
    expect(report.files.map(({name}) => name)).toEqual([
      'checkpoint.pt',
      'dict.txt',
      'encoder.json',
      'vocab.bpe',
      'manifest.json',
    ]);
    using source = await openCheckpoint(at('mue-pt'));
    expect(source.cfg).toMatchObject({
      model: {
        _name: 'ofa_base',
        encoder_embed_dim: 32,
        train_mue: true,
        resnet_layers: [2, 1, 1],
        share_all_embeddings: true,
      },
      task: {_name: 'caption', patch_image_size: 64, code_dict_size: 16, num_bins: 32},
    });
    expect(report.notes.join()).toContain('one of 2, 1, 1 blocks needs a change there');
    expect(source.checkpoint.placeholders).toEqual([]);
    expect(await differences(source.checkpoint)).toEqual([]);
    expect(source.checkpoint.names().filter((name) => !(name in original))).toEqual([]);
    for (const copy of TIED.slice(1)) expect(source.checkpoint.sameStorage(TIED[0]!, copy)).toBe(true);
    expect(source.checkpoint.entry('encoder.embed_images.bn1.num_batches_tracked')).toEqual({dtype: 'I64', shape: []});
  });

  test('pt and safetensors: a conversion gives the model folder back, byte for byte', async () => {
    for (const [model, to] of [
      ['mue', 'pt'],
      ['mue', 'safetensors'],
      ['plain', 'pt'],
    ] as const) {
      const name = `${model}-${to}`;
      await exportModel({input: at(model), output: at(name), to, force: true});
      expect([name, await back(name)]).toEqual([name, contents(at(model))]);
    }
  });

  test("safetensors: the tied matrix once, its other names in the metadata, fairseq's settings beside it", async () => {
    using source = await openCheckpoint(at('mue-safetensors'));
    expect(await differences(source.checkpoint)).toEqual([]);
    expect(source.checkpoint).toMatchObject({
      metadata: {format: 'pt', [TIED[1]!]: TIED[0], [TIED[2]!]: TIED[0]},
    });
    expect(source.cfg).toMatchObject({model: {train_mue: true}, task: {_name: 'caption'}});
  });

  test('hf: refuses what the port to transformers does not compute', async () => {
    const refused = (input: string): Promise<unknown> => exportModel({input: at(input), output: at('no'), to: 'hf'});
    for (const [input, why] of Object.entries({mue: 'no MuE', plain: 'no ResNet of 2, 1, 1 blocks'}))
      await expect(refused(input)).rejects.toMatchObject({
        code: 'cannot-export',
        message: expect.stringContaining(why),
      });
    expect(fs.existsSync(at('no'))).toBe(false);
  });

  test('exit adapters are a second file beside safetensors, and said to be left out of a .pt', async () => {
    fs.cpSync(at('plain'), at('adapted'), {recursive: true});
    put(`adapted/${ADAPTERS_FILE}`, 'adapters');
    const safe = await exportModel({input: at('adapted'), output: at('adapted-safe'), to: 'safetensors'});
    expect(fs.readFileSync(at('adapted-safe', ADAPTERS_FILE), 'utf8')).toBe('adapters');
    expect(safe.notes.join()).toContain(`exit adapters are in ${ADAPTERS_FILE}`);
    const torch = await exportModel({input: at('adapted'), output: at('adapted-pt'), to: 'pt'});
    expect(fs.existsSync(at('adapted-pt', ADAPTERS_FILE))).toBe(false);
    expect(torch.notes.join()).toContain('exit adapters are left out');
  });

  test('replaces an export only when told to, and leaves nothing when it is aborted', async () => {
    const again = {input: at('plain'), output: at('plain-pt'), to: 'pt'} as const;
    await expect(exportModel(again)).rejects.toMatchObject({code: 'output-exists'});
    const before = fs.readdirSync(root);
    const controller = new AbortController();
    const aborted = exportModel({
      ...again,
      output: at('aborted'),
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(aborted).rejects.toMatchObject({code: 'aborted'});
    expect(fs.readdirSync(root)).toEqual(before);
    const report = await exportModel({...again, force: true});
    expect(formatExport(report)).toMatch(/checkpoint\.pt +[\d,]+ bytes\n/);
  });

  test('refuses a checkpoint, and a folder whose weights are not those of its configuration', async () => {
    const refused = (input: string): Promise<unknown> => exportModel({input, output: at('no'), to: 'pt'});
    await expect(refused(at('source/ofa_micro.pt'))).rejects.toMatchObject({code: 'not-a-model'});
    fs.cpSync(at('mue'), at('shallow'), {recursive: true});
    const config = JSON.parse(fs.readFileSync(at('mue', 'config.json'), 'utf8')) as object;
    put('shallow/config.json', JSON.stringify({...config, d_model: 64}));
    await expect(refused(at('shallow'))).rejects.toMatchObject({code: 'weights-mismatch'});
    expect(fs.existsSync(at('no'))).toBe(false);
  });
});

describeCoca('exportModel, CoCa', ['micro/open_clip_pytorch_model.bin', 'micro/open_clip_config.json'], () => {
  beforeAll(async () => {
    put('coca-source/open_clip_config.json', cocaGoldenBytes('micro/open_clip_config.json'));
    put('coca-source/open_clip_pytorch_model.bin', cocaGoldenBytes('micro/open_clip_pytorch_model.bin'));
    await convertCheckpoint({input: at('coca-source'), output: at('coca')});
  });

  test.each(['pt', 'safetensors'] as const)(
    "%s: open_clip's tensors and settings, and back byte for byte",
    async (to) => {
      const name = `coca-${to}`;
      const {notes} = await exportModel({input: at('coca'), output: at(name), to});
      expect(notes).toEqual([]);
      using source = await openCheckpoint(at(name));
      using original = await openCheckpoint(at('coca-source'));
      expect([...source.checkpoint.names()].sort()).toEqual([...original.checkpoint.names()].sort());
      for (const tensor of original.checkpoint.names()) {
        expect([tensor, source.checkpoint.entry(tensor).shape]).toEqual([
          tensor,
          original.checkpoint.entry(tensor).shape,
        ]);
        const [values, wanted] = [await source.checkpoint.read(tensor), await original.checkpoint.read(tensor)];
        expect([tensor, values.findIndex((value, i) => value !== wanted[i])]).toEqual([tensor, -1]);
      }
      expect(await back(name)).toEqual(contents(at('coca')));
    },
  );

  test("says which settings have no place in open_clip's, and refuses hf", async () => {
    fs.cpSync(at('coca'), at('tuned'), {recursive: true});
    const config = JSON.parse(fs.readFileSync(at('coca', 'config.json'), 'utf8')) as {generation: object};
    put('tuned/config.json', JSON.stringify({...config, generation: {...config.generation, num_beams: 3}}));
    const {notes} = await exportModel({input: at('tuned'), output: at('tuned-pt'), to: 'pt'});
    expect(notes).toEqual(['settings that the format has no place for: generation']);
    const refused = exportModel({input: at('coca'), output: at('no'), to: 'hf'});
    await expect(refused).rejects.toMatchObject({code: 'cannot-export'});
  });
});
