import * as tf from '@tensorflow/tfjs';
import type {CocaConfig} from '../../src/models/coca/config.js';
import {CocaMultimodal} from '../../src/models/coca/multimodal.js';
import {AttentionalPooler} from '../../src/models/coca/pooler.js';
import {ResidualBlock} from '../../src/models/coca/residual-block.js';
import {CocaText} from '../../src/models/coca/text.js';
import {CocaVision} from '../../src/models/coca/vision.js';
import {DecoderLayer} from '../../src/models/ofa/decoder.js';
import {EncoderLayer} from '../../src/models/ofa/encoder.js';
import {Bottleneck} from '../../src/models/ofa/resnet.js';
import {Attention, causalMask} from '../../src/nn/attention.js';
import {Embedding, TiedEmbedding} from '../../src/nn/embedding.js';
import {ExitAdapter} from '../../src/nn/exit-adapters.js';
import {FeedForward} from '../../src/nn/feed-forward.js';
import {LayerNorm, unitRows} from '../../src/nn/layer-norm.js';
import {Linear, Projection} from '../../src/nn/linear.js';
import {runToDepths} from '../../src/nn/run-to-depths.js';
import {onBackends} from '../support/backends.js';
import {type Differentiable, slopeErrors} from '../support/finite-differences.js';

// Micro shapes: B 2, T 3, M 4, D 8, H 2.

const ATTENTION = {size: 8, heads: 2, scaleFactor: 1, headScale: true};
const LAYER = {
  ...{size: 8, heads: 2, hidden: 12, scaleFactor: 2},
  ...{scaleAttention: true, scaleFeedForward: true, scaleHeads: true, scaleResiduals: true},
};
const COCA = {
  embed_dim: 6,
  vision: {layers: 1, heads: 2, mlp_width: 12, image_size: 4, patch_size: 2, width: 8, pooler: {queries: 3, heads: 2}},
  text: {layers: 1, heads: 2, mlp_width: 12, context_length: 4, vocab_size: 9, width: 8},
  multimodal: {layers: 1, heads: 2, mlp_width: 12},
  activation: 'gelu',
} as CocaConfig;

const x = [2, 3, 8];
const memory = [2, 4, 8];
const ids = (): tf.Tensor2D =>
  tf.tensor2d(
    [
      [1, 4, 4],
      [0, 8, 2],
    ],
    [2, 3],
    'int32',
  ); // prettier-ignore
const three = (x: tf.Tensor | undefined): tf.Tensor3D => x as tf.Tensor3D;
const of = <B extends Differentiable['block']>(
  block: B,
  inputs: Differentiable['inputs'],
  forward: (block: B, ...inputs: tf.Tensor[]) => tf.Tensor,
  step?: number,
): Differentiable => ({block, inputs, forward: (...given) => forward(block, ...given), step});
/** Where there is a ReLU: few values lie so near to its kink. */
const KINKS = 1e-3;

const CASES: Readonly<Record<string, () => Differentiable>> = {
  Linear: () => of(new Linear({inputSize: 8, units: 5}), [x], (block, y) => block.forward(y!)),
  'Linear with GELU': () => of(new Linear({inputSize: 8, units: 5}), [x], (block, y) => block.forward(y!, 'gelu')),
  Projection: () =>
    of(new Projection({inputSize: 8, units: 5, weight: 'w'}), [[3, 8]], (block, y) => block.forward(y as tf.Tensor2D)),
  'Projection of some columns': () =>
    of(new Projection({inputSize: 8, units: 5, weight: 'w'}), [[3, 8]], (block, y) =>
      block.forward(y as tf.Tensor2D, [4, 1]),
    ),
  Embedding: () => of(new Embedding({rows: 9, size: 8}), [], (block) => block.forward(ids())),
  TiedEmbedding: () =>
    of(new TiedEmbedding({rows: 9, size: 8}), [[2, 8]], (block, y) =>
      tf.concat([block.forward(ids()).flatten(), block.project(y as tf.Tensor2D).flatten()]),
    ),
  LayerNorm: () => of(new LayerNorm({size: 8}), [x], (block, y) => block.forward(y!)),
  'rows of unit length': () =>
    of(new Linear({inputSize: 8, units: 5}), [[3, 8]], (block, y) => unitRows(block.forward(y as tf.Tensor2D))),
  Attention: () =>
    of(new Attention(ATTENTION), [x, [1, 2, 3, 3]], (block, y, bias) =>
      block.forward(three(y), [bias!, causalMask(3, 3)]),
    ),
  FeedForward: () => of(new FeedForward({size: 8, hidden: 12, innerNorm: true}), [x], (block, y) => block.forward(y!)),
  'FeedForward with quick GELU': () =>
    of(new FeedForward({size: 8, hidden: 12, innerNorm: false, activation: 'quick_gelu'}), [x], (block, y) =>
      block.forward(y!),
    ),
  'ExitAdapter, bottleneck': () =>
    of(new ExitAdapter({size: 8, kind: 'bottleneck', width: 4}), [x], (block, y) => block.forward(y!), KINKS),
  'ExitAdapter, affine': () =>
    of(new ExitAdapter({size: 8, kind: 'affine', width: 0}), [x], (block, y) => block.forward(y!)),
  'EncoderLayer of OFA': () =>
    of(new EncoderLayer(LAYER), [x, [1, 2, 3, 3]], (block, y, bias) => block.forward(three(y), [bias!])),
  'DecoderLayer of OFA': () =>
    of(new DecoderLayer(LAYER), [x, memory, [1, 2, 3, 4]], (block, y, states, cross) =>
      block.forwardFrom(three(y), three(states), {self: [causalMask(3, 3)], cross: [cross!]}),
    ),
  'Bottleneck, batch norm folded': () =>
    of(
      new Bottleneck({inputs: 4, planes: 2, stride: 2, epsilon: 1e-5}),
      [[2, 5, 5, 4]],
      (block, y) => block.forward(y as tf.Tensor4D),
      KINKS,
    ),
  'Bottleneck, statistics of the batch': () =>
    of(
      new Bottleneck({inputs: 8, planes: 2, stride: 1, epsilon: 1e-5, unfolded: true}),
      [[2, 4, 4, 8]],
      (block, y) => block.forwardLive(y as tf.Tensor4D, undefined),
      KINKS,
    ),
  'ResidualBlock of CoCa': () =>
    of(
      new ResidualBlock({size: 8, heads: 2, hidden: 12, activation: 'gelu', cross: false}),
      [x, [1, 2, 3, 3]],
      (block, y, bias) => block.forward(three(y), [bias!]),
    ),
  'ResidualBlock of CoCa, cross': () =>
    of(
      new ResidualBlock({size: 8, heads: 2, hidden: 12, activation: 'quick_gelu', cross: true}),
      [[4, 3, 8], memory],
      (block, y, states) => block.forward(three(y), [states!]),
    ),
  'rows cut at their own depths': () =>
    of(new ResidualBlock({size: 8, heads: 2, hidden: 12, activation: 'gelu', cross: false}), [[4, 3, 8]], (block, y) =>
      runToDepths(three(y), [1, 3, 2, 3], 3, (state) => block.forward(state)),
    ),
  AttentionalPooler: () =>
    of(new AttentionalPooler({queries: 3, heads: 2, size: 8, memorySize: 6}), [[2, 4, 6]], (block, y) =>
      block.forward(three(y), block.queries()),
    ),
  'image tower of CoCa, its ends': () =>
    of(new CocaVision(COCA), [[2, 4, 4, 3]], (block, y) => {
      const state = block.layers[0]!.forward(block.embed(y as tf.Tensor4D));
      const pooled = block.pool(state, block.pooler!.queries());
      return tf.concat([block.embedding(pooled).flatten(), block.imageTokens(pooled).flatten()]);
    }),
  'text tower of CoCa': () =>
    of(new CocaText(COCA), [], (block) => block.embedding(block.layers[0]!.forward(block.embedWithCls(ids())))),
  'multimodal half of CoCa': () =>
    of(new CocaMultimodal(COCA), [x, memory], (block, y, tokens) => {
      const {self, cross} = block.layers[0]!;
      return block.forward(cross.forwardCross(self.forward(three(y)), cross.crossKv(three(tokens))));
    }),
};

onBackends('gradients by finite differences', () => {
  test.each(Object.keys(CASES))('%s', (name) => {
    const before = tf.memory().numTensors;
    const errors = slopeErrors(CASES[name]!());
    expect(errors.length).toBeGreaterThan(0);
    for (const {name, error} of errors) expect([name, error < 0.01 ? 'right' : error]).toEqual([name, 'right']);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('slopeErrors: a wrong gradient is seen', () => {
    // y², one factor of which no gradient flows through.
    const halved = (y: tf.Tensor): tf.Tensor => y.mul(tf.tensor(y.dataSync(), y.shape));
    const block = new Linear({inputSize: 8, units: 5});
    const errors = slopeErrors(of(block, [x], (linear, y) => halved(linear.forward(y!))));
    expect(errors.map(({error}) => error > 0.3)).toEqual([true, true, true]);
  });
});
