import * as tf from '@tensorflow/tfjs';
import {Attention} from '../../src/nn/attention.js';
import type {Block, WeightSource} from '../../src/nn/block.js';
import {Embedding, TiedEmbedding} from '../../src/nn/embedding.js';
import {ExitAdapter, ExitAdapters} from '../../src/nn/exit-adapters.js';
import {FeedForward} from '../../src/nn/feed-forward.js';
import {LayerNorm} from '../../src/nn/layer-norm.js';
import {Linear} from '../../src/nn/linear.js';
import {DecoderLayer} from '../../src/models/ofa/decoder.js';
import {EncoderLayer} from '../../src/models/ofa/encoder.js';
import {Bottleneck} from '../../src/models/ofa/resnet.js';
import {selectBackend} from '../../src/node/backends/select.js';

// Blocks as ordinary tfjs layers: in a model, counted, frozen, saved, restored, trained.

const D = 8;
const layer = {
  size: D,
  heads: 2,
  hidden: 16,
  scaleFactor: 2,
  scaleAttention: true,
  scaleFeedForward: true,
  scaleHeads: true,
};
const attention = 4 * (D * D + D) + 2;
const feedForward = 2 * D * 16 + 16 + D + 2 * 16;

interface Kind {
  readonly make: () => Block;
  /** Without the batch axis. */
  readonly inputs: readonly (readonly number[])[];
  readonly output: readonly number[];
  readonly parameters: number;
  /** A few names of weights, as in a checkpoint. */
  readonly names: readonly string[];
  readonly integers?: boolean;
}
const KINDS: Readonly<Record<string, Kind>> = {
  Linear: {
    make: () => new Linear({inputSize: D, units: 3}),
    inputs: [[5, D]],
    output: [5, 3],
    parameters: D * 3 + 3,
    names: ['weight', 'bias'],
  },
  LayerNorm: {
    make: () => new LayerNorm({size: D}),
    inputs: [[5, D]],
    output: [5, D],
    parameters: 2 * D,
    names: ['weight', 'bias'],
  },
  Embedding: {
    make: () => new Embedding({rows: 7, size: D}),
    inputs: [[5]],
    output: [5, D],
    parameters: 7 * D,
    names: ['weight'],
    integers: true,
  },
  TiedEmbedding: {
    make: () => new TiedEmbedding({rows: 7, size: D}),
    inputs: [[5]],
    output: [5, D],
    parameters: 7 * D,
    names: ['weight'],
    integers: true,
  },
  'ExitAdapter, bottleneck': {
    make: () => new ExitAdapter({size: D, kind: 'bottleneck', width: 3}),
    inputs: [[D]],
    output: [D],
    parameters: 2 * 3 * D + 3 + D,
    names: ['down.weight', 'down.bias', 'up.weight', 'up.bias'],
  },
  'ExitAdapter, affine': {
    make: () => new ExitAdapter({size: D, kind: 'affine', width: 0}),
    inputs: [[D]],
    output: [D],
    parameters: D * D + D,
    names: ['up.weight', 'up.bias'],
  },
  ExitAdapters: {
    make: () => new ExitAdapters({size: D, kind: 'bottleneck', width: 3, layers: [1]}),
    inputs: [[D]],
    output: [D],
    parameters: 2 * 3 * D + 3 + D,
    names: ['layers.1.down.weight', 'layers.1.up.bias'],
  },
  FeedForward: {
    make: () => new FeedForward({size: D, hidden: 16, innerNorm: true}),
    inputs: [[5, D]],
    output: [5, D],
    parameters: feedForward,
    names: ['fc1.weight', 'ffn_layernorm.bias'],
  },
  Attention: {
    make: () => new Attention({size: D, heads: 2, scaleFactor: 2, headScale: true}),
    inputs: [[5, D]],
    output: [5, D],
    parameters: attention,
    names: ['q_proj.weight', 'out_proj.bias', 'c_attn'],
  },
  EncoderLayer: {
    make: () => new EncoderLayer({...layer, scaleResiduals: true}),
    inputs: [[5, D]],
    output: [5, D],
    parameters: attention + feedForward + 3 * 2 * D + D,
    names: ['self_attn.k_proj.weight', 'attn_ln.weight', 'fc2.bias', 'final_layer_norm.weight', 'w_resid'],
  },
  DecoderLayer: {
    make: () => new DecoderLayer({...layer, scaleResiduals: true}),
    inputs: [
      [5, D],
      [6, D],
    ],
    output: [5, D],
    parameters: 2 * attention + feedForward + 5 * 2 * D + D,
    names: ['self_attn.c_attn', 'encoder_attn.v_proj.bias', 'cross_attn_ln.weight'],
  },
  Bottleneck: {
    make: () => new Bottleneck({inputs: 4, planes: 2, stride: 2, epsilon: 1e-5}),
    inputs: [[6, 6, 4]],
    output: [3, 3, 8],
    // Norms folded into the convolutions: a bias each.
    parameters: 4 * 2 + 2 + 9 * 4 + 2 + 2 * 8 + 8 + 4 * 8 + 8,
    names: ['conv2.folded_weight', 'downsample.0.folded_bias'],
  },
};

describe.each(Object.entries(KINDS))('%s', (_name, {make, inputs, output, parameters, names, integers}) => {
  let before = 0;
  beforeAll(async () => {
    await selectBackend('cpu');
  });
  beforeEach(() => {
    before = tf.memory().numTensors;
  });
  afterEach(() => expect(tf.memory().numTensors).toBe(before));

  const modelOf = (block: Block): tf.LayersModel => {
    const symbols = inputs.map((shape) => tf.input({shape: [...shape]}));
    return tf.model({
      inputs: symbols,
      outputs: block.apply(symbols.length > 1 ? symbols : symbols[0]!) as tf.SymbolicTensor,
    });
  };
  /** Weights that no initializer gives. */
  const fill = (model: tf.LayersModel): void =>
    tf.tidy(() => {
      model.setWeights(
        model.getWeights().map(({shape, size}, w) =>
          tf.tensor(
            Array.from({length: size}, (_, i) => Math.cos(i * (w + 1))),
            shape,
          ),
        ),
      );
    });
  const example = (): tf.Tensor[] =>
    inputs.map((shape) => {
      const size = 2 * shape.reduce((a, b) => a * b, 1);
      return tf.tensor(
        Array.from({length: size}, (_, i) => (integers ? i % 7 : Math.sin(i))),
        [2, ...shape],
      );
    });
  const predict = async (model: tf.LayersModel): Promise<readonly number[]> => {
    const values = tf.tidy(() => model.predict(inputs.length > 1 ? example() : example()[0]!) as tf.Tensor);
    expect(values.shape).toEqual([2, ...output]);
    const data = [...(await values.data())];
    values.dispose();
    return data;
  };

  test('stands in a model, with its shape, its parameters and their names', async () => {
    const model = modelOf(make());
    expect(model.outputs[0]!.shape).toEqual([null, ...output]);
    expect(model.countParams()).toBe(parameters);
    const paths = model.weights.map(({originalName}) => originalName);
    expect(new Set(paths).size).toBe(paths.length);
    for (const name of names) expect(paths.some((path) => path.endsWith(name))).toBe(true);
    expect((await predict(model)).every(Number.isFinite)).toBe(true);
    model.dispose();
  });

  test('is restored from its configuration and its weights', async () => {
    const block = make();
    const model = modelOf(block);
    fill(model);
    const want = await predict(model);
    const twin = modelOf(
      (block.constructor as tf.serialization.SerializableConstructor<Block>).fromConfig(
        block.constructor as tf.serialization.SerializableConstructor<Block>,
        JSON.parse(JSON.stringify(block.getConfig())),
      ) as Block,
    );
    expect(await predict(twin)).not.toEqual(want);
    twin.setWeights(model.getWeights());
    expect(await predict(twin)).toEqual(want);
    for (const m of [model, twin]) m.dispose();
  });

  test('is saved with its model and loaded again', async () => {
    const model = modelOf(make());
    fill(model);
    const want = await predict(model);
    let saved: tf.io.ModelArtifacts | undefined;
    await model.save(
      tf.io.withSaveHandler((artifacts) => {
        saved = artifacts;
        return Promise.resolve({modelArtifactsInfo: tf.io.getModelArtifactsInfoForJSON(artifacts)});
      }),
    );
    const restored = await tf.loadLayersModel(tf.io.fromMemory(saved!));
    expect(await predict(restored)).toEqual(want);
    for (const m of [model, restored]) m.dispose();
  });

  test('can be frozen, children and all', () => {
    const block = make();
    const model = modelOf(block);
    expect(model.trainableWeights.length).toBe(model.weights.length);
    block.trainable = false;
    expect(block.trainableWeights).toEqual([]);
    expect(block.nonTrainableWeights.length).toBe(model.weights.length);
    model.dispose();
  });

  test('is filled by names, all of them, both ways; a failed load keeps nothing', async () => {
    const block = make();
    const requests = block.storedWeights().map(({name, shape}) => [name, shape] as const);
    const source = (entries: readonly (readonly [string, readonly number[]])[], fail?: string): WeightSource => {
      const shapes = new Map(entries);
      return {
        names: () => [...shapes.keys()],
        shape: (name) => shapes.get(name),
        read: (name) => {
          if (name === fail) return Promise.reject(new Error('unreadable'));
          return Promise.resolve(
            Float32Array.from({length: shapes.get(name)!.reduce((a, b) => a * b, 1)}, (_, i) => 1 + Math.sin(i)),
          );
        },
      };
    };
    const [first, ...others] = requests as [(typeof requests)[number], ...typeof requests];
    const wrong = [[first[0], [...first[1], 2]], ...others, ['stray', [1]]] as const;
    await expect(make().load(source(wrong))).rejects.toMatchObject({
      code: 'weights-mismatch',
      message: expect.stringMatching(/asks for .*'stray' is not a weight/s),
    });
    await expect(make().load(source(others))).rejects.toThrow(`'${first[0]}' is missing`);
    expect(tf.memory().numTensors).toBe(before);
    await expect(make().load(source(requests, requests.at(-1)![0]))).rejects.toThrow('unreadable');
    expect(tf.memory().numTensors).toBe(before);
    await block.load(source(requests));
    expect(block.countParams()).toBe(parameters);
    block[Symbol.dispose]();
  });
});
