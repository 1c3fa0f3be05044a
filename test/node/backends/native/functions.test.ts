import fs from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import {DecoderLayer} from '../../../../src/models/ofa/decoder.js';
import {EncoderLayer} from '../../../../src/models/ofa/encoder.js';
import {ResidualBlock} from '../../../../src/models/coca/residual-block.js';
import {CrossAttentionKv} from '../../../../src/nn/cross-attention-cache.js';
import {KvCache} from '../../../../src/nn/kv-cache.js';
import {TensorScope} from '../../../../src/runtime/tensor-scope.js';
import {joined} from '../../../../src/runtime/joined.js';
import {cosineSums} from '../../../../src/exit/policies/cosine.js';
import {selectBackend} from '../../../../src/node/backends/select.js';
import {NATIVE_FOLDER} from '../../../../src/node/backends/native/binding.js';
import {Message} from '../../../../src/node/backends/native/functions/protobuf.js';
import {NativeOperations, type Tensorflow} from '../../../../src/node/backends/native/operations.js';
import type {FunctionJoiner} from '../../../../src/node/backends/native/functions/joiner.js';

test('Message: fields as Protocol Buffers write them', () => {
  const message = new Message().integer(1, 150).integer(2, -1).bytes(3, 'ab').float(4, 1);
  message.message(5, new Message().integer(1, 1));
  const minusOne = [...Array<number>(9).fill(0xff), 1];
  const float = [0x25, 0, 0, 0x80, 0x3f];
  expect([...message.finish()]).toEqual([8, 0x96, 1, 16, ...minusOne, 0x1a, 2, 97, 98, ...float, 0x2a, 2, 8, 1]);
});

const device = process.env.MUE_TEST_NATIVE ?? 'native';
const here = fs.existsSync(path.join(NATIVE_FOLDER, device === 'cuda' ? 'gpu' : 'cpu', 'tfjs_binding.node'));
if (!here) process.stderr.write(`native/functions.test: skipped, ${device} is not built (npm run native)\n`);

const SIZES = {size: 32, heads: 4, hidden: 64, scaleFactor: 2};
const LAYER = {...SIZES, scaleAttention: true, scaleFeedForward: true, scaleHeads: true, scaleResiduals: false};
/** Relative to the largest value; measured: at most 6e-7. */
const TOLERANCE = 1e-5;

type Native = {
  joiner?: FunctionJoiner;
  binding: {executeOp(name: string, ...rest: unknown[]): unknown; getNumOfTensors(): number};
};
const backend = (): Native => tf.backend() as unknown as Native;

/** Runs operation by operation. */
function apart<T>(run: () => T): T {
  const {joiner} = backend();
  backend().joiner = undefined;
  try {
    return run();
  } finally {
    backend().joiner = joiner;
  }
}

/** The operations that TensorFlow is asked for. */
function operations(run: () => void): string[] {
  const {binding} = backend();
  const names: string[] = [];
  backend().binding = Object.create(binding, {
    executeOp: {
      value: (name: string, ...rest: unknown[]) => {
        names.push(name);
        return binding.executeOp(name, ...rest);
      },
    },
  }) as Native['binding'];
  try {
    run();
  } finally {
    backend().binding = binding;
  }
  return names;
}

function expectSame(got: tf.Tensor, want: tf.Tensor): void {
  expect(got.shape).toEqual(want.shape);
  const [a, b] = [got, want].map((t) => Float32Array.from(t.dataSync())) as [Float32Array, Float32Array];
  const largest = b.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(a.every((value, i) => Math.abs(value - b[i]!) <= TOLERANCE * largest)).toBe(true);
}

let seed = 0;
const random = <T extends tf.Tensor>(...shape: number[]): T => tf.randomNormal(shape, 0, 1, 'float32', ++seed) as T;

/** Moves every weight away from its first value, since norms start as ones and zeros. */
function shake({weights}: {weights: readonly {read(): tf.Tensor; write(value: tf.Tensor): void}[]}): void {
  for (const weight of weights) tf.tidy(() => weight.write(weight.read().add(random(...weight.read().shape).mul(0.1))));
}

(here ? describe : describe.skip)(`computations joined on ${device}`, () => {
  let before: number;
  beforeAll(async () => {
    await selectBackend(device);
    before = tf.memory().numTensors;
  });
  afterEach(() => expect(tf.memory().numTensors).toBe(before));

  test('decoder steps: caches, states and lengths as apart, from one call a step; layers share functions', () => {
    const layers = [new DecoderLayer(LAYER), new DecoderLayer(LAYER)];
    for (const layer of layers) layer.build();
    for (const layer of layers) shake(layer);
    const registered = backend().joiner!.size;
    for (const rows of [1, 5]) {
      const memory = CrossAttentionKv.from({keys: random(1, 4, 8, 11), values: random(1, 4, 11, 8)});
      const tables = tf.tidy(() => ({self: random<tf.Tensor4D>(1, 4, 8, 8), cross: random<tf.Tensor4D>(1, 4, 8, 11)}));
      const caches = Array.from({length: 4}, () => new KvCache());
      for (let step = 0; step < 8; step++) {
        using scope = new TensorScope(); // no tidy, which would take what the caches hold
        const x = scope.hold(random<tf.Tensor3D>(rows, 1, 32));
        const self = [scope.hold(tables.self.slice([0, 0, step, 0], [1, 4, 1, step + 1]))];
        const cross = [scope.hold(tables.cross.slice([0, 0, step, 0], [1, 4, 1, 11]))];
        for (const [i, layer] of layers.entries()) {
          const run = (cache: KvCache): tf.Tensor =>
            scope.hold(layer.forwardCached(x, {cache, memory, bias: {self, cross}}));
          const wanted = apart(() => run(caches[i]!));
          let got: tf.Tensor | undefined;
          const names = operations(() => (got = run(caches[2 + i]!)));
          // The first two calls of a key are counted and recorded.
          if (step > 1) expect(names).toEqual([expect.stringMatching(/^mue_/)]);
          expectSame(got!, wanted);
          expectSame(caches[2 + i]!.held!.keys, caches[i]!.held!.keys);
          expectSame(caches[2 + i]!.held!.values, caches[i]!.held!.values);
        }
      }
      for (const cache of caches) cache[Symbol.dispose]();
      memory[Symbol.dispose]();
      tf.dispose(tables);
    }
    // For each number of rows, the first token and the others.
    expect(backend().joiner!.size - registered).toBe(4);
    for (const layer of layers) layer[Symbol.dispose]();
  });

  test('blocks over whole sequences: as apart, before and after their weights change', () => {
    const encoder = new EncoderLayer({...LAYER, scaleResiduals: true});
    const tower = new ResidualBlock({size: 32, heads: 4, hidden: 64, activation: 'gelu', cross: false});
    for (const block of [encoder, tower]) {
      block.build();
      for (let round = 0; round < 4; round++) {
        shake(block);
        tf.tidy(() => {
          // Few rows are joined of plain operations, many of oneDNN's.
          for (const rows of [7, 600]) {
            const x = random<tf.Tensor3D>(1, rows, 32);
            const bias = rows < 10 ? [random<tf.Tensor4D>(1, 4, rows, rows)] : [];
            const wanted = apart(() => block.forward(x, bias));
            let got: tf.Tensor | undefined;
            const names = operations(() => (got = block.forward(x, bias)));
            if (round > 1) expect(names).toEqual([expect.stringMatching(/^mue_/)]);
            expectSame(got!, wanted);
          }
        });
      }
      block[Symbol.dispose]();
    }
  });

  test('batches from which rows leave: as apart, by one function for all sizes', () => {
    const layer = new DecoderLayer(LAYER);
    const encoder = new EncoderLayer(LAYER);
    for (const block of [layer, encoder]) block.build();
    for (const block of [layer, encoder]) shake(block);
    const registered = backend().joiner!.size;
    const rows = [6, 6, 4, 2, 8, 10, 12];
    for (const [step, active] of rows.entries()) {
      using scope = new TensorScope();
      const hold = scope.hold.bind(scope) as <T extends tf.Tensor>(x: T) => T;
      const total = 2 * active;
      const caches = Array.from({length: 2}, () => scope.hold(new KvCache()));
      for (const cache of caches)
        cache.append({keys: hold(tf.ones([total, 4, 8, 3])), values: hold(tf.ones([total, 4, 3, 8]))});
      const memory = scope.hold(
        CrossAttentionKv.from({keys: random(active / 2, 4, 8, 11), values: random(active / 2, 4, 11, 8)}),
      );
      const all = hold(random<tf.Tensor3D>(total, 1, 32));
      const index = hold(tf.range(1, total, 2, 'int32')) as tf.Tensor1D;
      const x = hold(tf.gather(all, index));
      const bias = {self: [hold(random(1, 4, 1, 4))], cross: [hold(random(1, 4, 1, 11))]};
      const order = hold(tf.range(total - 1, -1, -1, 'int32')) as tf.Tensor1D;
      const run = (cache: KvCache): tf.Tensor => {
        cache.reorder([...order.dataSync()], order);
        return hold(layer.forwardCached(x, {cache, memory, bias, partial: {all, index, axis: 0}}));
      };
      const wanted = apart(() => run(caches[0]!));
      let got: tf.Tensor | undefined;
      const names = operations(() => (got = run(caches[1]!)));
      expectSame(got!, wanted);
      expectSame(caches[1]!.held!.keys, caches[0]!.held!.keys);
      const images = hold(random<tf.Tensor3D>(active, 7, 32));
      const image = hold(apart(() => encoder.forward(images)));
      let other: tf.Tensor | undefined;
      const more = operations(() => (other = hold(encoder.forward(images))));
      expectSame(other!, image);
      // The second call is recorded, and the third, which tells what is free.
      if (step > 2) expect([names, more]).toEqual([[expect.stringMatching(/^mue_/)], [expect.stringMatching(/^mue_/)]]);
    }
    // For each computation, the first sizes and then all.
    expect(backend().joiner!.size - registered).toBe(4);
    for (const block of [layer, encoder]) block[Symbol.dispose]();
  });

  test('constants of one value, as a layer norm of many rows on a GPU has them, become part of the function', () => {
    const ops = new NativeOperations(tf.backend() as unknown as Tensorflow);
    const gain = random(8);
    const owner = {config: {of: 'test'}, weights: [{read: () => gain}], getClassName: () => 'Norm'};
    tf.tidy(() => {
      const bias = tf.zeros([8]);
      for (let i = 0; i < 4; i++) {
        const x = random(2, 20, 8);
        let got: tf.Tensor | undefined;
        const run = (): tf.Tensor[] => [ops.layerNormGpu(x, gain, bias, 1e-5)];
        const names = operations(() => ([got] = joined(owner, 'norm', [x, bias], run)));
        if (i > 1) expect(names).toEqual([expect.stringMatching(/^mue_/)]);
        expectSame(got!, ops.layerNorm(x, gain, bias, 1e-5));
      }
    });
    gain.dispose();
  });

  test("cosineSums: the sums of a decision are one call, whatever rows are left, and equal a loop's", () => {
    tf.tidy(() => {
      for (const [i, rows] of [6, 6, 4, 2, 5].entries()) {
        const [a, b] = [random<tf.Tensor3D>(rows, 3, 8), random<tf.Tensor3D>(rows, 3, 8)];
        let got: tf.Tensor2D | undefined;
        const names = operations(() => (got = cosineSums(a, b, rows)));
        if (i > 2) expect(names).toEqual([expect.stringMatching(/^mue_/)]);
        const of = (x: tf.Tensor, r: number): number[] => [...x.dataSync()].slice(r * 24, (r + 1) * 24);
        const dot = (x: tf.Tensor, y: tf.Tensor): number[] =>
          Array.from({length: rows}, (_, r) => of(x, r).reduce((sum, n, k) => sum + n * of(y, r)[k]!, 0));
        expectSame(got!, tf.tensor2d([dot(a, b), dot(a, a), dot(b, b)]));
      }
    });
  });

  test('a gradient is taken of operations apart', () => {
    const layer = new EncoderLayer(LAYER);
    layer.build();
    tf.tidy(() => {
      const x = random<tf.Tensor3D>(1, 3, 32);
      for (let i = 0; i < 3; i++) layer.forward(x);
      const names = operations(() => tf.grad((t: tf.Tensor) => layer.forward(t as tf.Tensor3D).sum())(x));
      expect(names.filter((name) => name.startsWith('mue_'))).toEqual([]);
      expect(names.length).toBeGreaterThan(20);
    });
    layer[Symbol.dispose]();
  });

  test('what reads a value, or uses a tensor that is not declared, runs apart and is right', () => {
    const owner = {config: {of: 'test'}, weights: [], getClassName: () => 'Reader'};
    tf.tidy(() => {
      const hidden = random(20);
      for (let i = 1; i <= 4; i++) {
        const x = tf.fill([20], i);
        const [read] = joined(owner, 'read', [x], () => [x.mul(x.dataSync()[0]!)]);
        expect([...read.dataSync()]).toEqual(Array<number>(20).fill(i * i));
        const [sum] = joined(owner, 'undeclared', [x], () => [x.add(hidden)]);
        expectSame(sum, tf.add(hidden, i));
      }
    });
  });

  test('an error keeps its words and leaves nothing', () => {
    const owner = {config: {of: 'test'}, weights: [], getClassName: () => 'Product'};
    tf.tidy(() => {
      const run = (x: tf.Tensor2D): tf.Tensor => joined(owner, 'product', [x], () => [tf.matMul(x, x)])[0];
      for (let i = 0; i < 3; i++) expect(run(tf.ones([3, 3])).shape).toEqual([3, 3]);
      const count = tf.memory().numTensors;
      const wrong = tf.ones([3, 2]) as tf.Tensor2D;
      expect(() => run(wrong)).toThrow(/mue_\w+.*(Matrix size-incompatible|must be equal)/s);
      expect(tf.memory().numTensors).toBe(count + 1);
    });
  });

  test('selectBackend, functions: false: operation by operation, with a note; joined again where nothing is said', async () => {
    const owner = {config: {of: 'test'}, weights: [], getClassName: () => 'Sum'};
    const names = (): string[] =>
      operations(() => tf.tidy(() => void joined(owner, 'sum', [tf.ones([2])], () => [tf.add(1, 2).add(3)])));
    for (let i = 0; i < 2; i++) names();
    const off = await selectBackend(device, {functions: false});
    expect([names().length, off.note]).toEqual([2, expect.stringContaining('layers operation by operation')]);
    const on = await selectBackend(device);
    expect([names(), on.note]).toEqual([
      [expect.stringMatching(/^mue_/)],
      expect.stringContaining('layers as functions'),
    ]);
  });

  test('handles in TensorFlow stay as many', () => {
    const layer = new EncoderLayer(LAYER);
    layer.build();
    const run = (): void => tf.tidy(() => void layer.forward(random<tf.Tensor3D>(1, 3, 32)).dataSync());
    for (let i = 0; i < 3; i++) run();
    const handles = backend().binding.getNumOfTensors();
    for (let i = 0; i < 20; i++) run();
    expect(backend().binding.getNumOfTensors()).toBe(handles);
    layer[Symbol.dispose]();
  });
});
