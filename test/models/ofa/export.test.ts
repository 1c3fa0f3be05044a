import type {ModelExport} from '../../../src/models/export.js';
import type {ExportFormat} from '../../../src/models/export-formats.js';
import {OFA_SIZES, type OfaConfig, ofaConfigOfSize} from '../../../src/models/ofa/config.js';
import {exportOfa} from '../../../src/models/ofa/export.js';
import {importConfig} from '../../../src/models/ofa/import/config.js';
import {toFairseqName} from '../../../src/models/ofa/import/names.js';
import {OfaSettings} from '../../../src/models/ofa/import/settings.js';
import {checkpointShape} from '../../../src/models/weights.js';
import {toHuggingFaceName} from '../../support/models/micro-hugging-face.js';

/** The configuration that the importer makes of an export's settings and tensors. */
function importedAgain({tensors, settings}: ModelExport): OfaConfig {
  const shapes = new Map(
    tensors.map(({name, content}) => [
      toFairseqName(name),
      'value' in content ? content.shape : checkpointShape(content[0]!),
    ]),
  );
  const named = {names: [...shapes.keys()], shape: (name: string) => shapes.get(name)};
  return importConfig(OfaSettings.from(settings!.json), named, []);
}

describe('exportOfa', () => {
  const tiny = ofaConfigOfSize('tiny');

  test.each<[string, ExportFormat, OfaConfig]>([
    ...OFA_SIZES.map((size): [string, ExportFormat, OfaConfig] => [size, 'hf', ofaConfigOfSize(size)]),
    ['tiny with MuE', 'safetensors', ofaConfigOfSize('tiny', {train_mue: true})],
    ['synchronised batch norm', 'safetensors', {...tiny, batch_norm_epsilon: 1e-3}],
    [
      "ImageNet's normalisation",
      'safetensors',
      {...tiny, image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225]},
    ],
    [
      'values without a name of the authors',
      'safetensors',
      {...tiny, batch_norm_epsilon: 1e-4, image_mean: [0.1, 0.2, 0.3]},
    ],
    ['answers without a prompt', 'safetensors', {...tiny, prompt_type: 'none', add_caption: true, max_src_length: 60}],
  ])('%s, %s: the importer reads the configuration back', (_, to, config) => {
    expect(importedAgain(exportOfa(config, to))).toEqual(config);
  });

  test("hf: names and settings of the authors' port to transformers", () => {
    const {tensors, settings, file} = exportOfa(tiny, 'hf');
    expect(file).toBe('pytorch_model.bin');
    const fairseq = exportOfa(tiny, 'safetensors').tensors.map(({name}) => name);
    const weights = fairseq.filter((name) => !/num_batches_tracked$|\.version$/.test(name));
    expect(tensors.map(({name}) => name)).toEqual(weights.map(toHuggingFaceName));
    expect(tensors.map(({name}) => name)).toContain('decoder.layers.3.cross_attn_mid_layer_norm.weight');
    expect(settings).toMatchObject({
      file: 'config.json',
      json: {model_type: 'ofa', d_model: 256, encoder_ffn_dim: 1024, normformer: true, resnet_type: 'resnet50'},
    });
  });

  test.each<[string, Partial<OfaConfig>]>([
    ['no MuE', {train_mue: true}],
    ['no ResNet of 1, 2, 2 blocks', {resnet_layers: [1, 2, 2]}],
    ['together or not at all', {scale_fc: false}],
    ['together or not at all', {scale_resids: true}],
    ['one number of positions', {max_target_positions: 512}],
  ])('hf: refuses a model that the port does not compute: %s', (why, change) => {
    const refused = (): unknown => exportOfa({...tiny, ...change}, 'hf');
    expect(refused).toThrow(expect.objectContaining({code: 'cannot-export', message: expect.stringContaining(why)}));
  });
});
