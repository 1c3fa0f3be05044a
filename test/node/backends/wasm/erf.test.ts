import * as tf from '@tensorflow/tfjs';
import {selectBackend} from '../../../../src/node/backends/select.js';

/** 2/√π ∫₀ˣ exp(−t²) dt by Simpson's rule, to 1e-13. */
function erf(x: number): number {
  const n = 4000;
  const h = x / n;
  let sum = 1 + Math.exp(-x * x);
  for (let i = 1; i < n; i++) sum += (i % 2 ? 4 : 2) * Math.exp(-((i * h) ** 2));
  return ((2 / Math.sqrt(Math.PI)) * sum * h) / 3;
}

test('patchWasmErf: exact to 1e-7, odd, and keeps NaN and infinities', async () => {
  await selectBackend('wasm');
  const before = tf.memory().numTensors;
  const points = Array.from({length: 401}, (_, i) => (i - 200) / 40);
  const special = [0, 1e-20, 30, -30, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN];
  const y = tf.tidy(() => tf.erf(tf.tensor1d([...points, ...special])));
  const values = Array.from(await y.data());
  y.dispose();
  const worst = Math.max(...points.map((x, i) => Math.abs(values[i]! - erf(Math.fround(x)))));
  expect(worst).toBeLessThan(1e-7);
  for (let i = 0; i < 200; i++) expect(values[i]).toBe(-values[400 - i]!);
  const [zero, tiny, plus, minus, infinite, negative, nan] = values.slice(401);
  expect(zero).toBe(0);
  expect(tiny! / 1e-20).toBeCloseTo(2 / Math.sqrt(Math.PI), 6);
  for (const one of [plus, infinite]) expect(Math.abs(one! - 1)).toBeLessThan(1e-7);
  for (const one of [minus, negative]) expect(Math.abs(one! + 1)).toBeLessThan(1e-7);
  expect(nan).toBeNaN();
  expect(tf.memory().numTensors).toBe(before);
});
