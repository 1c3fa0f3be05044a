import * as tf from '@tensorflow/tfjs';
import {ConvBatchNorm} from '../../src/models/ofa/conv-batch-norm.js';
import {EncoderLayer} from '../../src/models/ofa/encoder.js';
import {stateAt} from '../../src/models/ofa/encode.js';
import {checkpointed} from '../../src/nn/checkpointed.js';
import {onBackends} from '../support/backends.js';
import {relativeError} from '../support/golden/gradients.js';

const random = (shape: readonly number[], seed: number): tf.Tensor =>
  tf.randomNormal([...shape], 0, 1, 'float32', seed);

const LAYER = {
  ...{size: 8, heads: 2, hidden: 16, scaleFactor: 2},
  ...{scaleAttention: true, scaleFeedForward: true, scaleHeads: true, scaleResiduals: true},
};

onBackends('checkpointed', () => {
  test('gradients by weights, inputs and masks are those of the tape, three times over, and nothing is left', () => {
    const before = tf.memory().numTensors;
    const layers = [new EncoderLayer(LAYER), new EncoderLayer(LAYER)];
    for (const layer of layers) layer.build();
    const weights = layers.flatMap((layer) => layer.trainableWeights);
    const variables = weights.map((weight) => weight.read() as tf.Variable);
    for (const [i, variable] of variables.entries()) {
      const value = random(variable.shape, i + 1);
      variable.assign(value);
      value.dispose();
    }
    const start = tf.tidy(() => tf.variable(random([2, 5, 8], 90)));
    const bias = tf.tidy(() => tf.variable(random([1, 2, 5, 5], 91)));
    const gradients = (run: (layer: EncoderLayer, x: tf.Tensor3D) => tf.Tensor3D): Float32Array[] =>
      tf.tidy(() => {
        const by = [...variables, start, bias];
        const {grads} = tf.variableGrads(
          () =>
            layers
              .reduce((x, l) => run(l, x), start as tf.Tensor3D)
              .square()
              .sum(),
          by,
        );
        return by.map(({name}) => Float32Array.from(grads[name]!.dataSync()));
      });
    const wanted = gradients((layer, x) => layer.forward(x, [bias]));
    // A device may join a computation when it comes again.
    for (let times = 0; times < 3; times++) {
      const got = gradients((layer, x) =>
        checkpointed(layer, 'test', [x, bias], ([of, by]) => [layer.forward(of as tf.Tensor3D, [by!])]),
      );
      for (const [i, want] of wanted.entries()) {
        // The keys' bias shifts all scores of a query alike: its gradient is 0 but for rounding.
        if (!weights[i]?.originalName.endsWith('k_proj.bias')) expect(relativeError(got[i]!, want)).toBeLessThan(1e-5);
      }
    }
    for (const owned of [...layers.map((l) => ({dispose: () => l[Symbol.dispose]()})), start, bias]) owned.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  test('what goes aside is given once, forward, and outside of gradients as well', () => {
    const conv = new ConvBatchNorm({
      ...{conv: 'conv1', norm: 'bn1', inputs: 3, filters: 2, kernel: 3, stride: 2},
      ...{epsilon: 1e-5, relu: true, unfolded: true},
    });
    conv.build();
    const x = random([2, 6, 6, 3], 5) as tf.Tensor4D;
    const given: tf.Tensor[] = [];
    const live = (): tf.Tensor4D =>
      checkpointed(
        conv,
        'live',
        [x],
        ([of]) =>
          tf.tidy(() => {
            const moments: tf.Tensor[] = [];
            return [conv.forwardLive(of as tf.Tensor4D, (each) => moments.push(each)), ...moments];
          }),
        {aside: (tensors) => given.push(...tensors)},
      );
    const y = live();
    tf.dispose(tf.variableGrads(() => live().square().sum()));
    expect(given.map(({shape}) => shape)).toEqual([
      [2, 2],
      [2, 2],
    ]);
    tf.tidy(() => {
      // Normalised: mean 0 and variance 1 of each channel.
      const {mean, variance} = tf.moments(y, [0, 1, 2]);
      for (const value of mean.dataSync()) expect(value).toBeCloseTo(0, 5);
      for (const value of variance.dataSync()) expect(value).toBeCloseTo(1, 3);
    });
    const [mean, variance] = Array.from({length: 2}, (_, i) => [...given[0]!.dataSync()].slice(2 * i, 2 * i + 2));
    conv.follow(given[0] as tf.Tensor2D, 18);
    const [, , , runningMean, runningVariance] = conv.getWeights().map((weight) => [...weight.dataSync()]);
    for (const channel of [0, 1]) {
      expect(runningMean![channel]).toBeCloseTo(0.1 * mean![channel]!, 6);
      expect(runningVariance![channel]).toBeCloseTo(0.9 + (0.1 * variance![channel]! * 18) / 17, 5);
    }
    tf.dispose([x, y, ...given]);
    conv[Symbol.dispose]();
  });

  test('stateAt: each row after a layer of its own', () => {
    tf.tidy(() => {
      const after = [1, 2, 3].map((value) => tf.fill([3, 2, 2], value) as tf.Tensor3D);
      expect([...stateAt(after, [3, 1, 2]).dataSync()]).toEqual([3, 3, 3, 3, 1, 1, 1, 1, 2, 2, 2, 2]);
    });
  });
});
