import {toFairseqName} from '../../../../src/models/ofa/import/names.js';
import {ofaWeights} from '../../../../src/models/ofa/model.js';
import {toHuggingFaceName} from '../../../support/models/micro-hugging-face.js';
import {checkpointShape, parameterCount} from '../../../../src/models/weights.js';
import {OFA_SIZES, type OfaSize, ofaConfigOfSize} from '../../../../src/models/ofa/config.js';

// Sizes of docs/reference/ofa-mue.md 1.1.
const COUNTS: Readonly<Record<OfaSize, readonly [parameters: number, resnet: number, entries: number]>> = {
  tiny: [33_488_336, 8_543_296, 543],
  medium: [92_892_000, 27_535_424, 849],
  base: [182_238_536, 27_535_424, 967],
  large: [472_977_152, 43_179_072, 1627],
  huge: [929_486_848, 43_179_072, 1903],
};

test.each(OFA_SIZES)('%s: parameters, ResNet parameters and state-dict entries are those of the authors', (size) => {
  const weights = ofaWeights(ofaConfigOfSize(size));
  const [parameters, resnet, entries] = COUNTS[size];
  expect(parameterCount(weights)).toBe(parameters);
  expect(parameterCount(weights.filter(({name}) => name.startsWith('encoder.embed_images.')))).toBe(resnet);
  const batchNorms = weights.filter(({name}) => name.endsWith('running_mean')).length;
  // A state dict has, beside the weights: num_batches_tracked, two tied copies, two versions, four bucket tables,
  // image_position_idx.
  expect(weights.length + batchNorms + 2 + 2 + 4 + 1).toBe(entries);
  expect(new Set(weights.map(({name}) => name)).size).toBe(weights.length);
});

test('flags decide which weights there are', () => {
  const config = {
    ...ofaConfigOfSize('tiny'),
    scale_attn: false,
    scale_fc: false,
    scale_heads: false,
    scale_resids: true,
  };
  const names = ofaWeights(config).map(({name}) => name);
  expect(names.filter((name) => /c_attn|attn_ln|ffn_layernorm/.test(name))).toEqual([]);
  expect(names.filter((name) => name.endsWith('w_resid'))).toHaveLength(8);
});

test('layouts: stored shapes and the shapes of the checkpoint', () => {
  const weights = new Map(ofaWeights(ofaConfigOfSize('base')).map((w) => [w.name, w]));
  const shapes = (name: string): unknown => [
    weights.get(name)?.layout,
    weights.get(name)?.shape,
    checkpointShape(weights.get(name)!),
  ];
  expect(shapes('encoder.embed_tokens.weight')).toEqual(['embedding-transposed', [768, 59457], [59457, 768]]);
  expect(shapes('encoder.layers.0.fc1.weight')).toEqual(['linear', [768, 3072], [3072, 768]]);
  expect(shapes('encoder.image_proj.weight')).toEqual(['linear', [1024, 768], [768, 1024]]);
  expect(shapes('encoder.embed_images.layer2.0.conv2.weight')).toEqual(['conv', [3, 3, 128, 128], [128, 128, 3, 3]]);
  expect(shapes('encoder.embed_images.layer2.0.downsample.0.weight')).toEqual([
    'conv',
    [1, 1, 256, 512],
    [512, 256, 1, 1],
  ]);
  expect(shapes('decoder.image_rel_pos_table_list.5.weight')).toEqual(['plain', [6892, 12], [6892, 12]]);
});

test('Hugging Face names go there and back, and none collide', () => {
  const names = ofaWeights(ofaConfigOfSize('tiny')).map(({name}) => name);
  const renamed = names.map(toHuggingFaceName);
  expect(renamed.map(toFairseqName)).toEqual(names);
  expect(new Set(renamed).size).toBe(names.length);
  expect(toHuggingFaceName('encoder.layers.3.attn_ln.bias')).toBe('encoder.layers.3.self_attn_mid_layer_norm.bias');
  expect(toHuggingFaceName('decoder.layers.0.encoder_attn.q_proj.weight')).toBe(
    'decoder.layers.0.cross_attn.q_proj.weight',
  );
  expect(toHuggingFaceName('decoder.layers.0.encoder_attn_layer_norm.weight')).toBe(
    'decoder.layers.0.cross_attn_layer_norm.weight',
  );
  expect(toHuggingFaceName('decoder.layers.0.cross_attn_ln.weight')).toBe(
    'decoder.layers.0.cross_attn_mid_layer_norm.weight',
  );
});

test('toFairseqName: the numbered norms of early fairseq', () => {
  expect(
    [
      'encoder.layers.2.layer_norms.0.weight',
      'encoder.layers.2.layer_norms.1.bias',
      'encoder.layers.2.layer_norms.2.bias',
      'decoder.layers.0.layer_norms.1.weight',
      'decoder.layers.0.layer_norms.2.weight',
    ].map(toFairseqName),
  ).toEqual([
    'encoder.layers.2.self_attn_layer_norm.weight',
    'encoder.layers.2.final_layer_norm.bias',
    'encoder.layers.2.layer_norms.2.bias',
    'decoder.layers.0.encoder_attn_layer_norm.weight',
    'decoder.layers.0.final_layer_norm.weight',
  ]);
});
