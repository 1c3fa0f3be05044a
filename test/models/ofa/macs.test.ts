import {OfaMacs} from '../../../src/models/ofa/macs.js';
import {ofaConfigOfSize} from '../../../src/models/ofa/config.js';

// Expected numbers: docs/reference/ofa-mue.md 13, in the digits that it gives; the scenes' from the reference
// evaluation of the trained models.

const base = new OfaMacs(ofaConfigOfSize('base'));
const PATCHES = 900;
const G = 1e9;
const M = 1e6;
/** Whether a number, rounded to the digits of `wanted`, is it. */
const expectDigits = (value: number, wanted: string, unit: number): void => {
  expect((value / unit).toFixed(wanted.split('.')[1]!.length)).toBe(wanted);
};

test.each([
  ['tiny', 480, '15.05'],
  ['base', 480, '32.10'],
  ['base', 384, '20.54'],
  ['base', 256, '9.13'],
  ['base', 512, '36.52'],
  ['large', 480, '49.14'],
] as const)('ResNet of OFA-%s at %d pixels: %s G', (size, side, wanted) => {
  expectDigits(new OfaMacs(ofaConfigOfSize(size)).stem(side, side), wanted, G);
});

test('a ResNet of pictures that are not square, or of odd sides', () => {
  expect(base.stem(64, 96)).toBe(base.stem(96, 64));
  // One pixel: every convolution runs once.
  const blocks = ofaConfigOfSize('base').resnet_layers;
  const bottleneck = (inputs: number, planes: number): number => inputs * planes + 13 * planes ** 2;
  const stages = blocks.flatMap((count, s) =>
    Array.from({length: count}, (_, b) => {
      const planes = 64 << s;
      const inputs = b > 0 ? 4 * planes : s === 0 ? 64 : 2 * planes;
      return bottleneck(inputs, planes) + (b === 0 ? inputs * 4 * planes : 0);
    }),
  );
  expect(base.stem(1, 1)).toBe(49 * 3 * 64 + stages.reduce((a, b) => a + b, 0));
});

test('the blocks at the end of the ResNet, as a stack: 22 of 1.003 G in OFA-Base', () => {
  const all = base.patchStack(PATCHES, {exitLayer: 22, depth: 22, scores: []});
  expectDigits(all.full, '22.06', G);
  expect(all.run).toBe(all.full);
  const layer = all.full / 22;
  expect(layer).toBe(PATCHES * (2 * 1024 * 256 + 9 * 256 ** 2));
  const looked = base.patchStack(PATCHES, {exitLayer: 5, depth: 22, scores: [null, 0.5, 0.6, null, 0.9]});
  expect(looked).toEqual({full: all.full, run: 5 * layer + 3 * base.exitTest(PATCHES * 1024)});
});

test.each([
  ['patch projection', base.patchProjection(PATCHES), '0.708', G],
  ['position bias, image', base.encoderPositions(PATCHES), '1.684', G],
  ['position bias, 8 words', base.encoderPositions(8), '9.5', M],
  ['position bias, joint', base.encoderPositions(908), '1.704', G],
  ['encoder layer, image', base.encoderLayer(PATCHES), '7.614', G],
  ['encoder layer, 8 words', base.encoderLayer(8), '0.0567', G],
  ['encoder layer, 25 words', base.encoderLayer(25), '0.178', G],
  ['encoder layer, joint 908', base.encoderLayer(908), '7.693', G],
  ['encoder layer, joint 925', base.encoderLayer(925), '7.861', G],
  ['six layers, joint', 6 * base.encoderLayer(908), '46.16', G],
  ['six layers, two streams', 6 * (base.encoderLayer(PATCHES) + base.encoderLayer(8)), '46.03', G],
  ['keys and values of the memory', base.crossAttentionKv(908), '1.071', G],
  ['position keys of the memory', base.crossPositions(908), '0.536', G],
  ['decoder layer, step 12', base.decoderLayer(1, 12, 908), '9.67', M],
  ['position terms of a step', base.targetPositions(1, 12, 908), '2.5', M],
  ['keys and values of a skipped layer', base.projectedKv(), '1.18', M],
  ['scores of all words', base.logits(59457), '45.66', M],
] as const)('%s', (_name, value, wanted, unit) => expectDigits(value, wanted, unit));

test('a teacher-forced decoder layer: 14TD² + 2T²D + 2TMD, its memory apart', () => {
  const [t, m, d] = [24, 924, 768];
  expect(base.decoderLayer(t, t, m)).toBe(14 * t * d * d + 2 * t * t * d + 2 * t * m * d);
});

describe('the scenes models', () => {
  const cost = new OfaMacs({
    ...ofaConfigOfSize('tiny'),
    encoder_layers: 6,
    decoder_layers: 6,
    resnet_layers: [1, 2, 2],
    vocab_size: 608,
  });
  // reference_results.json, cost_model_gmacs
  test('ResNet', () => expectDigits(cost.stem(256, 256), '1.9996', G));
  test.each([
    ['image_proj', cost.patchProjection(256), 0.067108864],
    ['image_position_bias', cost.encoderPositions(256), 0.050331648],
    ['encoder_layer_image', cost.encoderLayer(256), 0.234881024],
    ['encoder_layer_text_20_tokens', cost.encoderLayer(20), 0.01593344],
    ['encoder_layer_joint_276_tokens', cost.encoderLayer(276), 0.256057344],
  ])('%s', (_name, value, wanted) => expect(value / G).toBe(wanted));
});
