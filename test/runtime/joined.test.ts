import * as tf from '@tensorflow/tfjs';
import {joined, type Joiner, shapeKey} from '../../src/runtime/joined.js';
import {onBackends} from '../support/backends.js';

const OWNER = {config: {}, weights: [], getClassName: () => 'Square'};

onBackends('joined', () => {
  const asked: string[] = [];
  beforeEach(() => {
    asked.length = 0;
    const joiner: Joiner = {
      run: (_owner, key, _inputs, compute) => {
        asked.push(key);
        return compute();
      },
    };
    (tf.backend() as {joiner?: Joiner}).joiner = joiner;
  });
  afterEach(() => {
    delete (tf.backend() as {joiner?: Joiner}).joiner;
  });
  const square = (x: tf.Tensor): tf.Tensor => joined(OWNER, 'square', [x], () => [x.add(0).mul(x)])[0];

  test('asks the joiner of the backend, and leaves no tensor but the result', () => {
    const x = tf.tensor1d([3]);
    const before = tf.memory().numTensors;
    const y = square(x);
    expect([...y.dataSync()]).toEqual([9]);
    expect(tf.memory().numTensors).toBe(before + 1);
    expect(asked).toEqual(['square']);
    tf.dispose([x, y]);
  });

  test('asks nobody where a gradient is taken', () => {
    tf.tidy(() =>
      expect([
        ...tf
          .grad(square)(tf.tensor1d([3]))
          .dataSync(),
      ]).toEqual([6]),
    );
    expect(asked).toEqual([]);
  });
});

test('shapeKey: free axes are left open', () => {
  const shapes = [tf.zeros([2, 3, 4]), tf.scalar(1)];
  expect(shapeKey(shapes)).toBe('2x3x4 ');
  expect(shapeKey(shapes, [1])).toBe('2x?x4 ');
  tf.dispose(shapes);
});
