import type * as tf from '@tensorflow/tfjs';
import {cosine} from '../../src/exit/policies/cosine.js';
import {layerConfig, type OfaConfig, ofaConfigOfSize} from '../../src/models/ofa/config.js';
import {DecoderLayer} from '../../src/models/ofa/decoder.js';
import {EncoderLayer} from '../../src/models/ofa/encoder.js';
import {OfaMacs} from '../../src/models/ofa/macs.js';
import {KvCache} from '../../src/nn/kv-cache.js';
import type {TensorScope} from '../../src/runtime/tensor-scope.js';
import {type Case, numbers} from '../measure/cases.js';

const BASE = ofaConfigOfSize('base', {train_mue: true});

/** A case of an encoder layer over a stream of `tokens`. */
function encoderLayer(name: string, config: OfaConfig, tokens: number): Case {
  return {
    group: 'layer',
    name,
    macs: new OfaMacs(config).encoderLayer(tokens),
    prepare: (scope) => {
      const layer = scope.hold(new EncoderLayer(layerConfig(config, 'encoder')));
      layer.build();
      const x = numbers(scope, [1, tokens, config.d_model]) as tf.Tensor3D;
      const bias = numbers(scope, [1, config.encoder_attention_heads, tokens, tokens]);
      return () => layer.forward(x, [bias]);
    },
  };
}

/** A case of a decoder layer for the newest token of every beam; the cache has `keys` with it. */
function decoderLayer(
  name: string,
  config: OfaConfig,
  {beams, keys, memory}: {beams: number; keys: number; memory: number},
): Case {
  return {
    group: 'layer',
    name,
    macs: beams * new OfaMacs(config).decoderLayer(1, keys, memory),
    prepare: (scope) => {
      const heads = config.decoder_attention_heads;
      const layer = scope.hold(new DecoderLayer(layerConfig(config, 'decoder')));
      layer.build();
      const x = numbers(scope, [beams, 1, config.d_model]) as tf.Tensor3D;
      const kv = scope.hold(layer.crossKv(numbers(scope, [1, memory, config.d_model]) as tf.Tensor3D));
      const past = layerPast(scope, config, beams, keys - 1);
      const bias = {self: [numbers(scope, [1, heads, 1, keys])], cross: [numbers(scope, [1, heads, 1, memory])]};
      return () => {
        using cache = new KvCache();
        cache.append(past);
        return layer.forwardCached(x, {cache, memory: kv, bias});
      };
    },
  };
}

function layerPast(
  scope: TensorScope,
  config: OfaConfig,
  beams: number,
  keys: number,
): {keys: tf.Tensor4D; values: tf.Tensor4D} {
  const heads = config.decoder_attention_heads;
  const size = config.d_model / heads;
  return {
    keys: numbers(scope, [beams, heads, size, keys]) as tf.Tensor4D,
    values: numbers(scope, [beams, heads, keys, size]) as tf.Tensor4D,
  };
}

/**
 * The number of states that a run meets one after the other, each for the first time: more than a pass has executions.
 */
const STATES = 48;

/**
 * A case of similarity and readback, once a layer: between its output and its input, which was the output of the layer
 * before and was read then.
 */
function deciding(name: string, shape: number[]): Case {
  return {
    group: 'layer',
    name,
    macs: new OfaMacs(BASE).exitTest(shape.reduce((size, n) => size * n, 1)),
    prepare: (scope) => {
      const states = Array.from({length: STATES}, (_, i) => numbers(scope, shape, 1, i + 1));
      let layer = 0;
      return async () => {
        await cosine(states[layer % STATES]!, states[++layer % STATES]!);
        return [];
      };
    },
  };
}

/** The cases: layers of OFA-Base at 480 px, and of the shipped model. */
export function layerCases(shipped: OfaConfig): readonly Case[] {
  const patches = (shipped.patch_image_size / 16) ** 2;
  return [
    encoderLayer('Base encoder, 900 tokens', BASE, 900),
    encoderLayer('Base encoder, 8 tokens', BASE, 8),
    decoderLayer('Base decoder, a step of 5 beams', BASE, {beams: 5, keys: 8, memory: 908}),
    deciding('Base deciding, 900 tokens', [1, 900, BASE.d_model]),
    deciding('Base deciding, a step of 5 beams', [5, 1, BASE.d_model]),
    encoderLayer(`shipped encoder, ${patches} tokens`, shipped, patches),
    decoderLayer('shipped decoder, a step of 5 beams', shipped, {beams: 5, keys: 8, memory: patches + 8}),
    deciding(`shipped deciding, ${patches} tokens`, [1, patches, shipped.d_model]),
  ];
}
