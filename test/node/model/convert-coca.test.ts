import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {SafetensorsFile} from '../../../src/checkpoint/safetensors.js';
import {MemoryAccess} from '../../support/data/memory-access.js';
import {convertCheckpoint} from '../../../src/node/model/convert.js';
import {formatReport} from '../../../src/node/model/convert-report.js';
import {formatInspection, inspect} from '../../../src/node/model/inspect.js';
import {cocaGoldenBytes, describeCoca} from '../../support/golden/golden-coca.js';

interface Settings {
  readonly model_cfg: Record<string, Record<string, unknown>>;
  readonly preprocess_cfg: Record<string, unknown>;
}

describeCoca(
  'conversion of open_clip checkpoints',
  ['micro/open_clip_pytorch_model.bin', 'micro/wrapped_checkpoint.pt'],
  () => {
    let root: string;
    const at = (...names: string[]): string => path.join(root, ...names);
    const put = (file: string, name: string = file): string => {
      fs.mkdirSync(path.dirname(at(name)), {recursive: true});
      fs.writeFileSync(at(name), cocaGoldenBytes(`micro/${file}`));
      return at(name);
    };
    const changed = (name: string, change: (config: Settings) => void): string => {
      const config = JSON.parse(new TextDecoder().decode(cocaGoldenBytes('micro/open_clip_config.json'))) as Settings;
      change(config);
      put('open_clip_model.safetensors', `${name}/open_clip_model.safetensors`);
      fs.writeFileSync(at(name, 'open_clip_config.json'), JSON.stringify(config));
      return at(name);
    };
    beforeAll(() => {
      root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-coca-'));
      put('open_clip_config.json', 'torch/open_clip_config.json');
      put('open_clip_pytorch_model.bin', 'torch/open_clip_pytorch_model.bin');
      put('open_clip_config.json', 'safe/open_clip_config.json');
      put('open_clip_model.safetensors', 'safe/open_clip_model.safetensors');
    });
    afterAll(() => {
      fs.rmSync(root, {recursive: true, force: true});
    });

    test('makes the same model of a torch file and a safetensors file', async () => {
      const torch = await convertCheckpoint({input: at('torch'), output: at('from-torch')});
      const safe = await convertCheckpoint({input: at('safe'), output: at('from-safe')});
      // Weights are exact in halves, whatever they were stored as.
      expect([torch.dtype, safe.dtype]).toEqual(['float16', 'float16']);
      const weights = ({files}: typeof torch): unknown => files.find(({name}) => name === 'model.safetensors')?.sha256;
      expect(weights(torch)).toBe(weights(safe));
      expect(torch.config).toMatchObject({
        family: 'coca',
        embed_dim: 48,
        start_id: 510,
        end_id: 511,
        vision: {heads: 4, pooler: {queries: 16, heads: 4}},
      });
      expect(torch.ignored).toEqual([]);
      expect(torch.filled).toEqual([]);
      expect(formatReport(torch)).toContain('CoCa; vision width 64');
      expect(fs.readdirSync(at('from-torch')).sort()).toEqual([
        'bpe_simple_vocab_16e6.txt.gz',
        'config.json',
        'manifest.json',
        'model.safetensors',
      ]);
      expect(JSON.parse(fs.readFileSync(at('from-torch', 'manifest.json'), 'utf8'))).toMatchObject({
        family: 'coca',
        parameters: torch.parameters,
      });
      const stored = await inspect(at('from-torch'));
      expect(stored).toMatchObject({kind: 'model', problem: null, parameters: torch.parameters});
      expect(await inspect(at('torch'))).toMatchObject({
        kind: 'checkpoint',
        problem: null,
        parameters: torch.parameters,
        parts: stored.parts,
      });
      expect(formatInspection(stored)).toContain('text.context_length = 20');
    });

    test('splits fused projections by rows, and transposes linear weights', async () => {
      await convertCheckpoint({input: at('torch'), output: at('split'), dtype: 'float32'});
      using model = await SafetensorsFile.open(
        new MemoryAccess('model', new Uint8Array(fs.readFileSync(at('split', 'model.safetensors')))),
      );
      using source = await SafetensorsFile.open(
        new MemoryAccess('source', cocaGoldenBytes('micro/open_clip_model.safetensors')),
      );
      const block = 'text_decoder.cross_attn.1.attn';
      const fused = await source.read(`${block}.in_proj_weight`);
      const values = await model.read(`${block}.v_proj.weight`);
      expect(model.entry(`${block}.v_proj.weight`).shape).toEqual([48, 48]);
      for (const [i, o] of [
        [0, 0],
        [3, 5],
        [47, 46],
      ] as const)
        expect(values[i * 48 + o]).toBe(fused[(2 * 48 + o) * 48 + i]);
      const bias = await source.read(`${block}.in_proj_bias`);
      expect([...(await model.read(`${block}.k_proj.bias`))]).toEqual([...bias.slice(48, 96)]);
    });

    test('finds the weights of a training checkpoint, and drops their prefix', async () => {
      put('open_clip_config.json', 'trained/open_clip_config.json');
      const file = put('wrapped_checkpoint.pt', 'trained/epoch_3.pt');
      // It holds small tensors alone: the missing ones are named, without the prefix; those that it has are not.
      const failed = convertCheckpoint({input: file, output: at('never')});
      await expect(failed).rejects.toMatchObject({code: 'missing-weights', exitCode: 3});
      const {message} = (await failed.catch((error: unknown) => error)) as Error;
      expect(message).toContain('visual.positional_embedding');
      expect(message).not.toContain('module.');
      expect(message).not.toContain('logit_scale');
      expect(fs.existsSync(at('never'))).toBe(false);
    });

    describe('refuses what does not fit', () => {
      const refused = (name: string, change: Parameters<typeof changed>[1], code: string, words: string) =>
        test(name, async () => {
          const error: unknown = await convertCheckpoint({
            input: changed(name.replaceAll(' ', '-'), change),
            output: at('refused'),
          }).catch((e: unknown) => e);
          expect(error).toMatchObject({code, exitCode: 3});
          expect((error as Error).message).toContain(words);
          expect(fs.existsSync(at('refused'))).toBe(false);
        });
      refused(
        'another width',
        ({model_cfg}) => Object.assign(model_cfg['vision_cfg']!, {width: 96}),
        'wrong-shapes',
        'visual.conv1.weight',
      );
      refused(
        'more layers',
        ({model_cfg}) => Object.assign(model_cfg['text_cfg']!, {layers: 5}),
        'missing-weights',
        'text.transformer.resblocks.4',
      );
      refused(
        'fewer layers',
        ({model_cfg}) => Object.assign(model_cfg['multimodal_cfg']!, {layers: 3}),
        'unknown-weights',
        'text_decoder.resblocks.3',
      );
      refused(
        'another pooler',
        ({model_cfg}) => Object.assign(model_cfg['vision_cfg']!, {attentional_pool: 'cascade'}),
        'unsupported-architecture',
        'cascade',
      );
      refused(
        'heads that do not divide',
        ({model_cfg}) => Object.assign(model_cfg['text_cfg']!, {heads: 5}),
        'bad-config',
        '48 in 5 heads',
      );
      refused(
        'no caption decoder',
        ({model_cfg}) => delete model_cfg['multimodal_cfg'],
        'other-model',
        'multimodal_cfg',
      );
      refused(
        'sizes that are none',
        ({model_cfg}) => Object.assign(model_cfg['vision_cfg']!, {layers: 1e9}),
        'bad-config',
        'vision_cfg.layers',
      );
      refused(
        'a grid without end',
        ({preprocess_cfg}) => Object.assign(preprocess_cfg, {size: 4096}),
        'bad-config',
        '4096 px in patches of 16',
      );
    });

    test('accepts unknown settings', async () => {
      const input = changed('unknown', ({model_cfg}) =>
        Object.assign(model_cfg['multimodal_cfg']!, {n_queries: 7, latent_dim: 3, brand_new: true}),
      );
      expect((await convertCheckpoint({input, output: at('unknown-out')})).config).toMatchObject({family: 'coca'});
    });

    test('without a configuration, takes an architecture by name, or says what is missing', async () => {
      const file = put('open_clip_model.safetensors', 'bare/weights.safetensors');
      await expect(convertCheckpoint({input: file, output: at('x')})).rejects.toMatchObject({code: 'no-config'});
      await expect(
        convertCheckpoint({input: file, output: at('x'), architecture: 'coca_ViT-B-32'}),
      ).rejects.toMatchObject({
        code: 'missing-weights',
      });
      await expect(convertCheckpoint({input: file, output: at('x'), architecture: 'ViT'})).rejects.toMatchObject({
        code: 'unknown-architecture',
        exitCode: 2,
      });
    });
  },
);
