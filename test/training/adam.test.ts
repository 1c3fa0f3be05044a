import {Adam} from '../../src/training/adam.js';

test('Adam: the first updates follow the formulas of the paper', () => {
  const adam = new Adam([2]);
  const [a] = [Float32Array.of(1, -2)];
  // Bias-corrected moments of a first gradient are the gradient and its square: a step of the learning rate.
  adam.update([a], [Float32Array.of(0.5, -4)], 0.1);
  expect([...a]).toEqual([expect.closeTo(0.9, 6), expect.closeTo(-1.9, 6)]);
  adam.update([a], [Float32Array.of(-0.5, -4)], 0.1);
  const m = (0.9 * 0.1 * 0.5 - 0.1 * 0.5) / (1 - 0.9 ** 2);
  expect([...a]).toEqual([expect.closeTo(0.9 - (0.1 * m) / 0.5, 6), expect.closeTo(-1.8, 6)]);
});

test('Adam: decay shrinks the parameters of its own array, apart from the gradient', () => {
  const adam = new Adam([1, 1], {decay: [2]});
  const [a, b] = [Float32Array.of(10), Float32Array.of(10)];
  adam.update([a, b], [Float32Array.of(0), Float32Array.of(0)], 0.1);
  expect([a[0], b[0]]).toEqual([8, 10]);
});
