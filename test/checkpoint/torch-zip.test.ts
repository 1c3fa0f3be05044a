import fc from 'fast-check';
import {type Checkpoint, elementCount} from '../../src/checkpoint/checkpoint.js';
import type {TensorData} from '../../src/checkpoint/dtype.js';
import {MemoryAccess} from '../support/data/memory-access.js';
import type {RandomAccess} from '../../src/checkpoint/random-access.js';
import {bytesOf} from '../../src/checkpoint/safetensors.js';
import {TorchFile} from '../../src/checkpoint/torch-zip.js';
import {golden, goldenBytes} from '../support/golden/golden.js';
import {Call, Global, type Pickled, Tensor} from '../../src/checkpoint/pickle-writer.js';
import {stateDict, torchZip, zip} from '../support/data/torch-zip-writer.js';

interface Micro {
  readonly entries: Readonly<Record<string, readonly [shape: readonly number[], dtype: string]>>;
  readonly checksums: Readonly<Record<string, readonly [sum: number, absolute: number]>>;
  readonly checksums_fp32_full: Readonly<Record<string, readonly [sum: number, absolute: number]>>;
}
const micro = golden<Micro>('ofa_micro.json');
const fp16 = goldenBytes('ofa_micro.pt');
const fp32 = goldenBytes('ofa_micro_fp32_full.pt');

const openFile = (bytes: Uint8Array): Promise<TorchFile> => TorchFile.open(new MemoryAccess('test.pt', bytes));
const open = async (bytes: Uint8Array, which: 'model' | 'ema' = 'model'): Promise<Checkpoint> =>
  (await openFile(bytes)).checkpoint(which);

/**
 * Integers of these files are small. Halves of 64-bit integers are read as 32-bit ones: converting millions of BigInts
 * takes seconds.
 */
function toFloat64(data: TensorData): ArrayLike<number> {
  if (!(data instanceof BigInt64Array)) return data;
  return new Int32Array(data.buffer).filter((_, i) => i % 2 === 0);
}

async function checksums(checkpoint: Checkpoint, name: string): Promise<[number, number]> {
  let [sum, absolute] = [0, 0];
  const data = toFloat64(await checkpoint.read(name));
  for (let i = 0; i < data.length; i++) {
    sum += data[i]!;
    absolute += data[i]! < 0 ? -data[i]! : data[i]!;
  }
  return [sum, absolute];
}

describe('TorchFile, ofa_micro.pt', () => {
  test('every entry has the shape, the sum and the sum of magnitudes that PyTorch gives', async () => {
    const checkpoint = await open(fp16);
    expect(checkpoint.names()).toHaveLength(354);
    for (const name of checkpoint.names()) {
      const {shape, dtype} = checkpoint.entry(name);
      expect([name, shape]).toEqual([name, micro.entries[name]![0]]);
      expect(dtype).toBe(micro.entries[name]![1] === 'int64' ? 'I64' : 'F16');
      const expected = micro.checksums[name];
      if (!expected) continue;
      const [sum, absolute] = await checksums(checkpoint, name);
      expect([name, Math.abs(sum - expected[0]) <= 1e-9 * Math.max(1, absolute)]).toEqual([name, true]);
      expect(absolute).toBeCloseTo(expected[1], 6);
    }
  });

  test('the safetensors file holds the same values under the same names', async () => {
    const checkpoint = await open(fp16);
    const twin = golden('ofa_micro.safetensors');
    expect(new Set(checkpoint.names())).toEqual(new Set(Object.keys(twin)));
    for (const name of checkpoint.names()) {
      const same = Buffer.compare(bytesOf(await checkpoint.read(name)), bytesOf(twin[name]!.data)) === 0;
      expect([name, same]).toEqual([name, true]);
    }
  });

  test('the three tied matrices share one storage, and others do not', async () => {
    const checkpoint = await open(fp16);
    for (const copy of ['decoder.embed_tokens.weight', 'decoder.output_projection.weight'])
      expect(checkpoint.sameStorage('encoder.embed_tokens.weight', copy)).toBe(true);
    expect(checkpoint.sameStorage('encoder.pos_ln.weight', 'encoder.pos_ln.bias')).toBe(false);
  });

  test('settings: plain data, the namespace of the model included', async () => {
    const {cfg} = await open(fp16);
    expect(cfg).toMatchObject({
      generation: {max_len_b: 200},
      model: {arch: 'ofa_tiny', train_mue: true, encoder_layers: 3},
      task: {patch_image_size: 64, num_bins: 32},
      optimization: {lr: [1e-5]},
    });
  });

  test('there is no moving average in it', async () => {
    await expect(open(fp16, 'ema')).rejects.toMatchObject({code: 'no-ema'});
  });
});

describe('TorchFile, ofa_micro_fp32_full.pt', () => {
  // Element i of floating-point entry k is ((i mod 7) - 3)(1 + k)/512; tied copies as the first; in the average, half
  // of it.
  const expectFormula = async (checkpoint: Checkpoint, factor: number): Promise<void> => {
    const names = checkpoint.names();
    expect(names).toHaveLength(358);
    for (const [k, name] of names.entries()) {
      const {dtype, shape} = checkpoint.entry(name);
      expect([name, shape]).toEqual([name, micro.entries[name]![0]]);
      if (dtype === 'I64' || name.endsWith('.version')) continue;
      const first = /^decoder\.(embed_tokens|output_projection)\.weight$/.test(name)
        ? names.indexOf('encoder.embed_tokens.weight')
        : k;
      const data = await checkpoint.read(name);
      expect(data).toHaveLength(elementCount(shape));
      const wrong = (data as Float32Array).findIndex(
        (value, i) => value !== (((i % 7) - 3) * (1 + first) * factor) / 512,
      );
      expect([name, wrong]).toEqual([name, -1]);
    }
  };

  test('every element of the model', async () => expectFormula(await open(fp32), 1));
  test('every element of the moving average', async () => expectFormula(await open(fp32, 'ema'), 0.5));

  test('checksums, those of the integer tables too', async () => {
    const checkpoint = await open(fp32);
    for (const [name, [sum, absolute]] of Object.entries(micro.checksums_fp32_full)) {
      const [ours, ourAbsolute] = await checksums(checkpoint, name);
      expect([name, ours]).toEqual([name, expect.closeTo(sum, 6)]);
      expect([name, ourAbsolute]).toEqual([name, expect.closeTo(absolute, 6)]);
    }
  });
});

test('TorchFile: opening and reading one tensor touches a small part of the file', async () => {
  class Counting extends MemoryAccess {
    fetched = 0;
    override read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
      this.fetched += length;
      return super.read(offset, length);
    }
  }
  const access: Counting & RandomAccess = new Counting('test.pt', fp16);
  const checkpoint = (await TorchFile.open(access)).checkpoint();
  await checkpoint.read('encoder.layer_norm.weight');
  expect(access.fetched).toBeLessThan(300_000);
  expect(access.size).toBeGreaterThan(5_000_000);
});

describe('TorchFile, tensors in a storage', () => {
  const storage = {key: '0', dtype: 'F32', length: 24} as const;
  const bytes = Buffer.from(Float32Array.from({length: 24}, (_, i) => i).buffer);
  const read = async (tensor: Tensor): Promise<number[]> => {
    const checkpoint = await open(torchZip(new Map([['x', tensor]]), new Map([['0', bytes]])));
    return Array.from(await checkpoint.read('x'), Number);
  };

  test.each<[string, Tensor, number[]]>([
    ['a slice', new Tensor(storage, [2, 3], 5), [5, 6, 7, 8, 9, 10]],
    ['a transposed matrix', new Tensor(storage, [3, 2], 0, [1, 3]), [0, 3, 1, 4, 2, 5]],
    ['every other column', new Tensor(storage, [2, 2], 1, [6, 2]), [1, 3, 7, 9]],
    ['an expanded row', new Tensor(storage, [2, 3], 4, [0, 1]), [4, 5, 6, 4, 5, 6]],
    ['a scalar', new Tensor(storage, [], 7), [7]],
    ['nothing', new Tensor(storage, [0, 5], 24), []],
    ['one row with any stride', new Tensor(storage, [1, 3], 2, [999, 1]), [2, 3, 4]],
  ])('%s', async (_, tensor, expected) => expect(await read(tensor)).toEqual(expected));

  test('a convolution stored channels-last', async () => {
    const [o, i, h, w] = [2, 3, 2, 2];
    const expected = Array.from({length: 24}, (_, n) => {
      const [x, y, c, f] = [n % w, Math.floor(n / w) % h, Math.floor(n / (w * h)) % i, Math.floor(n / (w * h * i))];
      return ((f * h + y) * w + x) * i + c;
    });
    expect(await read(new Tensor(storage, [o, i, h, w], 0, [12, 1, 6, 3]))).toEqual(expected);
  });

  test.each<[string, Tensor, RegExp]>([
    ['beyond the storage', new Tensor(storage, [5, 5]), /25 elements, its storage 24/],
    ['an offset beyond it', new Tensor(storage, [2], 23), /reaches element 24/],
    ['a stride beyond it', new Tensor(storage, [2, 2], 0, [40, 1]), /reaches element 41/],
    ['an endless expansion', new Tensor(storage, [1_000_000, 1_000_000], 0, [0, 0]), /elements, its storage/],
    ['a storage that is not there', new Tensor({...storage, key: '9'}, [1]), /storage 9 is not in the file/],
    [
      'a storage longer than its entry',
      new Tensor({...storage, length: 1000}, [1]),
      /should have 4000 bytes, but has 96/,
    ],
  ])('%s is an error when the file is opened', async (_, tensor, message) => {
    await expect(read(tensor)).rejects.toMatchObject({code: 'damaged-tensor', message: expect.stringMatching(message)});
  });

  test('bfloat16, float64 and int64', async () => {
    const top = new Map<string, Pickled>([
      ['b', new Tensor({key: '0', dtype: 'BF16', length: 2}, [2])],
      ['d', new Tensor({key: '1', dtype: 'F64', length: 1}, [1])],
      ['l', new Tensor({key: '2', dtype: 'I64', length: 1}, [1])],
    ]);
    const storages = new Map([
      ['0', Buffer.from(Uint16Array.of(0x3f80, 0xc000).buffer)],
      ['1', Buffer.from(Float64Array.of(0.1).buffer)],
      ['2', Buffer.from(BigInt64Array.of(-7n).buffer)],
    ]);
    for (const options of [{}, {zip64: true}, {deflatePickle: true}, {deflateData: true}]) {
      const checkpoint = await open(torchZip(top, storages, options));
      expect(await checkpoint.read('b')).toEqual(Float32Array.of(1, -2));
      expect(await checkpoint.read('d')).toEqual(Float64Array.of(0.1));
      expect(await checkpoint.read('l')).toEqual(BigInt64Array.of(-7n));
    }
  });
});

describe('TorchFile, hostile and broken files', () => {
  const {state, storages} = stateDict(new Map([['w', {shape: [2], data: Float32Array.of(1, 2)}]]));
  const system = new Call(new Global('os', 'system'), ['touch hacked']);
  const unknown = new Call(new Global('some.module', 'Thing'), []);
  const hooked = new Call(new Global('torch._utils', '_rebuild_tensor_v2'), [unknown, 0, [2], [1], false, null]);

  test.each<[string, Pickled]>([
    ['as the whole file', system],
    ['as the model', new Map<string, Pickled>([['model', system]])],
    ['among the weights', new Map<string, Pickled>([['model', new Map<string, Pickled>([...state, ['x', system]])]])],
    [
      'beside the weights',
      new Map<string, Pickled>([
        ['model', state],
        ['extra_state', system],
      ]),
    ],
  ])('os.system %s: refused, never called', async (_, top) => {
    await expect(open(torchZip(top, storages))).rejects.toMatchObject({
      code: 'unsafe-pickle',
      message: expect.stringContaining('os.system'),
    });
  });

  test('an unknown class beside the weights is tolerated, and named', async () => {
    const checkpoint = await open(
      torchZip(
        new Map<string, Pickled>([
          ['model', state],
          ['extra_state', unknown],
        ]),
        storages,
      ),
    );
    expect(checkpoint.placeholders).toEqual(['some.module.Thing']);
    expect(await checkpoint.read('w')).toEqual(Float32Array.of(1, 2));
  });

  test.each<[string, Pickled]>([
    ['as the model', unknown],
    ['as a weight', new Map<string, Pickled>([['w', unknown]])],
    ['inside a weight', new Map<string, Pickled>([['w', hooked]])],
  ])('an unknown class %s is not', async (_, model) => {
    await expect(open(torchZip(new Map([['model', model]]), storages))).rejects.toMatchObject({code: 'unsafe-pickle'});
  });

  test.each<[string, Uint8Array, string]>([
    ['an empty file', new Uint8Array(), 'not-a-checkpoint'],
    ['a text file', Buffer.from('a text file, quite long enough to be read as something'), 'not-a-checkpoint'],
    ['a legacy torch file', Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex'), 'legacy-torch-file'],
    ['a zip of something else', zip([{name: 'readme.txt', data: Buffer.from('hi')}]), 'not-a-checkpoint'],
    [
      'two pickles',
      zip(['a/data.pkl', 'b/data.pkl'].map((name) => ({name, data: Buffer.from('N.')}))),
      'not-a-checkpoint',
    ],
    ['a list', torchZip([1, 2], new Map()), 'not-a-checkpoint'],
    ['a number for a weight', torchZip(new Map([['model', new Map([['w', 1]])]]), new Map()), 'not-a-tensor'],
    [
      'a pickle that inflates beyond the limit',
      zip([{name: 'a/data.pkl', data: Buffer.alloc(70 * 2 ** 20), deflate: true}]),
      'zip-too-large',
    ],
  ])('%s', async (_, bytes, code) => {
    await expect(open(bytes)).rejects.toMatchObject({name: 'WeightsError', code});
  });

  test('cut off anywhere, a file is refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({min: 0, max: fp16.length - 1}), async (length) => {
        await expect(open(fp16.subarray(0, length))).rejects.toMatchObject({name: 'WeightsError'});
      }),
      {numRuns: 200},
    );
  });

  test('with any byte changed, a file is read or refused, never worse', async () => {
    const small = torchZip(new Map<string, Pickled>([['model', state]]), storages);
    await fc.assert(
      fc.asyncProperty(fc.nat(small.length - 1), fc.integer({min: 1, max: 255}), async (at, change) => {
        const bytes = Uint8Array.from(small);
        bytes[at] = bytes[at]! ^ change;
        try {
          const checkpoint = await open(bytes);
          for (const name of checkpoint.names()) await checkpoint.read(name);
        } catch (error) {
          expect(error).toMatchObject({name: 'WeightsError'});
        }
      }),
      {numRuns: 2000},
    );
  });
});

describe('TorchFile, where trainers keep the weights', () => {
  const {state, storages} = stateDict(new Map([['w', {shape: [2], data: Float32Array.of(1, 2)}]]));
  const under = (...keys: string[]): Pickled =>
    keys.reduceRight<Map<string, Pickled>>((inner, key) => new Map<string, Pickled>([[key, inner]]), state);
  const beside = (top: Pickled): Pickled =>
    new Map<string, Pickled>([['epoch', 3], ['name', 'run'], ...(top as Map<string, Pickled>)]);
  test.each<[string, Pickled]>([
    ['model_state_dict', beside(under('model_state_dict'))],
    ['module', under('module')],
    ['net', beside(under('net'))],
    ['a key of their own', beside(under('my_weights'))],
    ['model.state_dict', under('model', 'state_dict')],
    [
      'state_dict, beside the name of a model',
      new Map<string, Pickled>([
        ['model', 'ViT'],
        ['state_dict', state],
      ]),
    ],
  ])('%s', async (_, top) => {
    expect((await open(torchZip(top, storages))).names()).toEqual(['w']);
  });
  test('keys that are in the file are named where there are no weights', async () => {
    const top = new Map<string, Pickled>([
      ['epoch', 3],
      ['best', 0.5],
    ]);
    await expect(open(torchZip(top, new Map()))).rejects.toMatchObject({
      code: 'not-a-tensor',
      hint: expect.stringContaining("'epoch', 'best'"),
    });
  });
  test('compressed tensors that unpack to far more than the file has are refused', async () => {
    const length = 20 * 2 ** 20;
    const tensor = new Tensor({key: '0', dtype: 'F32', length}, [length]);
    const bytes = torchZip(new Map([['w', tensor]]), new Map([['0', Buffer.alloc(4 * length)]]), {deflateData: true});
    await expect(open(bytes)).rejects.toMatchObject({code: 'zip-too-large'});
  });
});
