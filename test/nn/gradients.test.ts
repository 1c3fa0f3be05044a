import * as tf from '@tensorflow/tfjs';
import {gelu} from '../../src/nn/activations.js';
import {LayerNorm} from '../../src/nn/layer-norm.js';
import {onBackends} from '../support/backends.js';

// Gradients that are written down here instead of composed by tfjs, against double-sided differences.

const STEP = 1e-2;

function numbers(shape: readonly number[], seed: number): tf.Tensor {
  return tf.randomNormal([...shape], 0, 1, 'float32', seed);
}

/** (f(x + ε) − f(x − ε)) / 2ε of the sum of f·dy, at every element of x. */
function differences(f: (x: tf.Tensor) => tf.Tensor, x: tf.Tensor, dy: tf.Tensor): number[] {
  const [at, weights] = [x, dy].map((t) => Float32Array.from(t.dataSync())) as [Float32Array, Float32Array];
  return Array.from(at, (_, i) => {
    const moved = (step: number): number => {
      const values = Float32Array.from(at, (v, j) => (j === i ? v + step : v));
      const outputs = Float32Array.from(tf.tidy(() => f(tf.tensor(values, x.shape)).dataSync()));
      return outputs.reduce((sum, v, j) => sum + v * weights[j]!, 0);
    };
    return (moved(STEP) - moved(-STEP)) / (2 * STEP);
  });
}

function expectClose(got: tf.Tensor, want: readonly number[]): void {
  const values = got.dataSync();
  expect(values.length).toBe(want.length);
  for (const [i, value] of want.entries()) expect(Math.abs(values[i]! - value)).toBeLessThan(2e-3);
}

onBackends('gradients of blocks', () => {
  test('gelu: the gradient is the difference quotient, from −3 to 3', () => {
    tf.tidy(() => {
      const x = tf.linspace(-3, 3, 13);
      const dy = numbers([13], 1);
      expectClose(tf.grad((t) => gelu(t))(x, dy), differences(gelu, x, dy));
    });
  });

  test.each([[[3, 6]], [[2, 3, 6]]])('LayerNorm: gradients by input, gain and bias of %j', (shape) => {
    const norm = new LayerNorm({size: 6});
    norm.build();
    tf.tidy(() => {
      norm.setWeights([numbers([6], 2), numbers([6], 3)]);
      const [gain, bias] = norm.getWeights() as [tf.Tensor, tf.Tensor];
      const [x, dy] = [numbers(shape, 4), numbers(shape, 5)];
      expectClose(
        tf.grad((t) => norm.forward(t))(x, dy),
        differences((t) => norm.forward(t), x, dy),
      );
      const {grads} = tf.variableGrads(
        () => norm.forward(x).mul(dy).sum(),
        norm.trainableWeights.map((w) => w.read() as tf.Variable),
      );
      const withWeights = (weights: tf.Tensor[]): tf.Tensor => {
        norm.setWeights(weights);
        return norm.forward(x);
      };
      const [ofGain, ofBias] = Object.values(grads) as [tf.Tensor, tf.Tensor];
      expectClose(
        ofGain,
        differences((t) => withWeights([t, bias]), gain, dy),
      );
      expectClose(
        ofBias,
        differences((t) => withWeights([gain, t]), bias, dy),
      );
    });
    norm[Symbol.dispose]();
  });

  test('LayerNorm and gelu: the same values whether or not a gradient is taken', () => {
    const norm = new LayerNorm({size: 8});
    norm.build();
    tf.tidy(() => {
      const x = numbers([2, 8], 6);
      const want = gelu(norm.forward(x)).sum().dataSync()[0]!;
      const {value} = tf.valueAndGrad((t) => gelu(norm.forward(t)).sum() as tf.Scalar)(x);
      expect(value.dataSync()[0]).toBeCloseTo(want, 5);
    });
    norm[Symbol.dispose]();
  });
});
