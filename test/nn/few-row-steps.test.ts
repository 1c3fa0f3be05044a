import * as tf from '@tensorflow/tfjs';
import {ResidualBlock} from '../../src/models/coca/residual-block.js';
import {type CachedInputs, DecoderLayer} from '../../src/models/ofa/decoder.js';
import type {CrossAttentionKv} from '../../src/nn/cross-attention-cache.js';
import {KvCache} from '../../src/nn/kv-cache.js';
import {selectBackend} from '../../src/node/backends/select.js';
import type {FusedKernel} from '../../src/runtime/kernels.js';

const STEPS: readonly FusedKernel[] = ['MueSelfAttentionStep', 'MueCrossAttentionStep', 'MueFeedForwardStep'];
const PLAIN = {scaleHeads: false, scaleAttention: false, scaleFeedForward: false, scaleResiduals: false};
const SCALED = {scaleHeads: true, scaleAttention: true, scaleFeedForward: true, scaleResiduals: true};

const normal = (shape: number[], seed: number): tf.Tensor => tf.randomNormal(shape, 0, 1, 'float32', seed);

/** A layer of a decoder, whatever family it is of. */
interface CachedLayer {
  crossKv(states: tf.Tensor3D): CrossAttentionKv;
  forwardCached(x: tf.Tensor3D, inputs: CachedInputs): tf.Tensor3D;
}

/** What a decoder layer gives for four tokens, one after another, and the steps that it called. */
function decode(
  layer: CachedLayer,
  {rows, images, padded}: {rows: number; images: number; padded?: boolean},
): {bytes: Buffer; steps: string[]} {
  const steps: string[] = [];
  const engine = tf.engine();
  const {runKernel} = engine;
  engine.runKernel = (name, ...rest) => {
    if ((STEPS as readonly string[]).includes(name)) steps.push(name);
    return runKernel.call(engine, name, ...rest) as never;
  };
  using cache = new KvCache();
  const bytes = tf.tidy(() => {
    const states = normal([images, 21, 24], 3) as tf.Tensor3D;
    using memory = layer.crossKv(states);
    const cross = [normal([1, 4, 1, 21], 4), normal([images, 1, 1, 21], 5)];
    const parts: Uint8Array[] = [];
    for (let t = 0; t < 4; t++) {
      const bias = {self: [normal([1, 4, 1, t + 1], 6 + t)], cross};
      const x = normal([rows, 1, 24], 20 + t) as tf.Tensor3D;
      const flags = padded ? Array.from({length: rows}, (_, r) => [r === 0 && t === 0]) : undefined;
      // The cache outlives the tidy around.
      const y = layer.forwardCached(x, {cache, memory, bias, padded: flags});
      tf.keep(cache.held!.keys);
      tf.keep(cache.held!.values);
      parts.push(new Uint8Array(y.dataSync().buffer));
    }
    const {keys, values} = cache.held!;
    return Buffer.concat([...parts, ...[keys, values].map((x) => new Uint8Array(x.dataSync().buffer))]);
  });
  engine.runKernel = runKernel;
  return {bytes, steps};
}

/** Runs without the kernels of the steps. */
function withoutSteps<T>(run: () => T): T {
  const kernels = STEPS.map((name) => tf.getKernel(name, 'wasm'));
  for (const name of STEPS) tf.unregisterKernel(name, 'wasm');
  try {
    return run();
  } finally {
    for (const kernel of kernels) tf.registerKernel(kernel);
  }
}

describe.each([
  ['plain', PLAIN],
  ['scaled', SCALED],
])('the steps of a decoder layer for few rows, %s', (_, scales) => {
  let layer: DecoderLayer;
  beforeAll(async () => {
    await selectBackend('wasm', {threads: 1});
    layer = new DecoderLayer({size: 24, heads: 4, hidden: 50, scaleFactor: 2, ...scales});
    layer.build();
  });
  afterAll(() => layer[Symbol.dispose]());

  test.each([
    {rows: 1, images: 1},
    {rows: 5, images: 1},
    {rows: 6, images: 2},
    {rows: 16, images: 4},
  ])('give what the operations give, bit for bit: %j', (size) => {
    const before = tf.memory().numTensors;
    const {bytes, steps} = decode(layer, size);
    expect(steps).toEqual([0, 1, 2, 3].flatMap(() => STEPS));
    const wanted = withoutSteps(() => decode(layer, size));
    expect(wanted.steps).toEqual([]);
    expect(bytes.equals(wanted.bytes)).toBe(true);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('step aside for many rows', () => {
    expect(decode(layer, {rows: 17, images: 1}).steps).toEqual([]);
  });

  test('leave self-attention to the operations where keys are padding', () => {
    const {steps} = decode(layer, {rows: 2, images: 1, padded: true});
    expect(new Set(steps)).toEqual(new Set(['MueCrossAttentionStep', 'MueFeedForwardStep']));
  });
});

test.each([
  {rows: 1, images: 1},
  {rows: 6, images: 2},
])("the steps of a layer of CoCa's decoder give what the operations give, bit for bit: %j", async (size) => {
  await selectBackend('wasm', {threads: 1});
  const config = {size: 24, heads: 4, hidden: 50, activation: 'gelu'} as const;
  const [self, cross] = [new ResidualBlock({...config, cross: false}), new ResidualBlock({...config, cross: true})];
  for (const block of [self, cross]) block.build();
  const layer: CachedLayer = {
    crossKv: (states) => cross.crossKv(states),
    forwardCached: (x, {cache, memory, bias, padded}) =>
      cross.forwardCross(self.forwardCached(x, cache, bias.self, padded), memory),
  };
  const before = tf.memory().numTensors;
  const {bytes, steps} = decode(layer, size);
  const [ofSelf, ofCross, feed] = STEPS;
  expect(steps).toEqual([0, 1, 2, 3].flatMap(() => [ofSelf, feed, ofCross, feed]));
  const wanted = withoutSteps(() => decode(layer, size));
  expect(wanted.steps).toEqual([]);
  expect(bytes.equals(wanted.bytes)).toBe(true);
  expect(tf.memory().numTensors).toBe(before);
  for (const block of [self, cross]) block[Symbol.dispose]();
});
