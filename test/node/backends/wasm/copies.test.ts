import * as tf from '@tensorflow/tfjs';
import fc from 'fast-check';
import {selectBackend} from '../../../../src/node/backends/select.js';

beforeAll(async () => {
  await selectBackend('wasm');
});

const iota = (shape: readonly number[]): Float32Array =>
  Float32Array.from({length: shape.reduce((a, b) => a * b, 1)}, (_, i) => i);

/**
 * Compares an operation on numbers that are their own places with index arithmetic.
 * @param at an index of the result → the index of the same number in x
 */
async function expectSame(
  operation: (x: tf.Tensor) => tf.Tensor,
  shape: number[],
  at: (index: number[]) => number[],
): Promise<void> {
  const x = tf.tensor(iota(shape), shape);
  const y = operation(x);
  const strides = [...shape.keys()].map((axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const values = await y.data();
  const index = y.shape.map(() => 0);
  let wrong: object | undefined;
  for (const value of values) {
    const wanted = at(index).reduce((sum, i, axis) => sum + i * strides[axis]!, 0);
    if (value !== wanted) wrong ??= {index: [...index], value, wanted};
    for (let axis = index.length - 1; axis >= 0 && ++index[axis]! === y.shape[axis]; axis--) index[axis] = 0;
  }
  expect(values.length).toBe(tf.util.sizeFromShape(y.shape));
  expect(wrong).toBeUndefined();
  x.dispose();
  y.dispose();
}

const shapes = fc.array(fc.integer({min: 1, max: 20}), {minLength: 1, maxLength: 4});

test('patchWasmCopies: slice takes the numbers that index arithmetic takes', async () => {
  await fc.assert(
    fc.asyncProperty(shapes, fc.array(fc.nat(), {minLength: 8, maxLength: 8}), async (shape, random) => {
      const begin = shape.map((n, i) => random[i]! % n);
      const size = shape.map((n, i) => 1 + (random[4 + i]! % (n - begin[i]!)));
      await expectSame(
        (x) => tf.slice(x, begin, size),
        shape,
        (index) => index.map((i, axis) => i + begin[axis]!),
      );
    }),
    {numRuns: 60},
  );
});

test('patchWasmCopies: gather takes the numbers that index arithmetic takes, and refuses an index out of range', async () => {
  await fc.assert(
    fc.asyncProperty(
      shapes,
      fc.nat(),
      fc.array(fc.nat(), {minLength: 1, maxLength: 7}),
      async (shape, axisSeed, picks) => {
        const axis = axisSeed % shape.length;
        const which = picks.map((p) => p % shape[axis]!);
        await expectSame(
          (x) => tf.tidy(() => tf.gather(x, tf.tensor1d(which, 'int32'), axis)),
          shape,
          (index) => index.map((i, a) => (a === axis ? which[i]! : i)),
        );
      },
    ),
    {numRuns: 60},
  );
  expect(() => tf.tidy(() => tf.gather(tf.tensor1d([1, 2]), tf.tensor1d([2], 'int32')))).toThrow(/index value 2/);
});

test('patchWasmCopies: unstack and split cut along any axis', async () => {
  for (const axis of [0, 1, 2, -1]) {
    const shape = [3, 4, 20];
    const real = axis < 0 ? 2 : axis;
    for (let part = 0; part < shape[real]!; part++) {
      await expectSame(
        (x) => tf.tidy(() => tf.unstack(x, axis)[part]!.clone()),
        shape,
        (index) => [...index.slice(0, real), part, ...index.slice(real)],
      );
    }
  }
  await expectSame(
    (x) => tf.tidy(() => tf.split(x, [1, 3], 1)[1]!.clone()),
    [2, 4, 17],
    ([a, b, c]) => [a!, b! + 1, c!],
  );
});

test('patchWasmCopies: a concatenation along any axis gives back its parts, and refuses shapes that differ', async () => {
  await fc.assert(
    fc.asyncProperty(
      shapes,
      fc.nat(),
      fc.array(fc.nat({max: 3}), {minLength: 2, maxLength: 4}),
      async (shape, a, cuts) => {
        const axis = a % shape.length;
        const sizes = cuts.map((cut, i) => (i === 0 ? cut + 1 : cut * 40));
        const whole = shape.map((n, i) => (i === axis ? sizes.reduce((sum, size) => sum + size, 0) : n));
        let at = 0;
        await expectSame(
          (x) =>
            tf.tidy(() => {
              const parts = sizes.map((size) => {
                const begin = shape.map((_, i) => (i === axis ? at : 0));
                at += size;
                return tf.slice(
                  x,
                  begin,
                  whole.map((n, i) => (i === axis ? size : n)),
                );
              });
              return tf.concat(parts, axis);
            }),
          whole,
          (index) => index,
        );
      },
    ),
    {numRuns: 40},
  );
  const [x, y] = [tf.ones([2, 3]), tf.ones([3, 2])];
  expect(() => tf.concat([x, y], 0)).toThrow();
  tf.dispose([x, y]);
});
