import {MemoryAccess} from '../support/data/memory-access.js';
import {openModelWeights} from '../../src/checkpoint/model-weights.js';
import {bytesOf, SafetensorsFile, type TensorPlan, writeSafetensors} from '../../src/checkpoint/safetensors.js';
import {indexedFiles, planShards, shardIndex, shardName} from '../../src/checkpoint/shards.js';
import {golden, goldenBytes} from '../support/golden/golden.js';

const open = (bytes: Uint8Array): Promise<SafetensorsFile> =>
  SafetensorsFile.open(new MemoryAccess('test.safetensors', bytes));

async function write(tensors: readonly TensorPlan[], data: Readonly<Record<string, Uint8Array>>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  await writeSafetensors(
    tensors,
    {format: 'test'},
    async ({name}) => data[name]!,
    async (piece) => void pieces.push(piece),
  );
  return new Uint8Array(Buffer.concat(pieces));
}

/** A file with any header, however wrong. */
function crafted(header: unknown, dataBytes: number): Uint8Array {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return new Uint8Array(Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
}

const TENSORS: readonly TensorPlan[] = [
  {name: 'a', dtype: 'F32', shape: [2, 2]},
  {name: 'b', dtype: 'F16', shape: [3]},
  {name: 'c', dtype: 'I64', shape: []},
  {name: '__proto__', dtype: 'U8', shape: [0]},
];
const DATA: Readonly<Record<string, Uint8Array>> = Object.fromEntries([
  ['a', bytesOf(Float32Array.of(1, 2, 3, 4))],
  ['b', bytesOf(Uint16Array.of(0x3c00, 0xc000, 0x3800))],
  ['c', bytesOf(BigInt64Array.of(-5n))],
  ['__proto__', new Uint8Array()],
]);

test('writeSafetensors: is read back, and makes equal bytes of equal input', async () => {
  const bytes = await write(TENSORS, DATA);
  expect(await write(TENSORS, DATA)).toEqual(bytes);
  const file = await open(bytes);
  expect(file.names()).toEqual(TENSORS.map(({name}) => name));
  expect(new TextDecoder().decode(bytes.subarray(8, 60))).toContain('{"__metadata__":{"format":"test"}');
  expect([...((await file.read('a')) as Float32Array)]).toEqual([1, 2, 3, 4]);
  expect([...((await file.read('b')) as Float32Array)]).toEqual([1, -2, 0.5]);
  expect(await file.read('c')).toEqual(BigInt64Array.of(-5n));
  expect(file.entry('b')).toEqual({dtype: 'F16', shape: [3]});
  expect((8 + Number(new DataView(bytes.buffer).getBigUint64(0, true))) % 64).toBe(0);
});

test('SafetensorsFile: reads the golden file as an independent reader does', async () => {
  const file = await open(goldenBytes('ofa_micro.safetensors'));
  const expected = golden('ofa_micro.safetensors');
  expect(file.names()).toEqual(Object.keys(expected));
  for (const [name, {shape, data}] of Object.entries(expected)) {
    expect(file.entry(name).shape).toEqual(shape);
    expect(Buffer.compare(bytesOf(await file.read(name)), bytesOf(data))).toBe(0);
  }
});

const ok = {dtype: 'F32', shape: [2], data_offsets: [0, 8]};
test.each<[string, Uint8Array, RegExp]>([
  ['an empty file', new Uint8Array(), /an empty file/],
  ['a header longer than the file', crafted({}, 0).fill(0xff, 0, 7), /header of/],
  ['a header that is no JSON', new Uint8Array([4, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]), /no JSON/],
  ['a header that is a list', crafted([], 0), /no JSON object/],
  ['data behind the end', crafted({a: {...ok, data_offsets: [8, 16]}}, 8), /not in the 8 bytes/],
  ['a length that is not the shape', crafted({a: {...ok, shape: [3]}}, 8), /takes 12 bytes, but 8/],
  ['overlapping tensors', crafted({a: ok, b: {...ok, data_offsets: [4, 12]}}, 12), /overlap/],
  ['an unknown type', crafted({a: {...ok, dtype: 'F13'}}, 8), /F13/],
  ['a negative size', crafted({a: {...ok, shape: [-2]}}, 8), /no list of sizes/],
  ['a size beyond counting', crafted({a: {...ok, shape: [2 ** 31, 2 ** 31]}}, 8), /takes/],
  ['offsets in the wrong order', crafted({a: {...ok, data_offsets: [8, 0]}}, 8), /not in the/],
  ['a tensor that is a number', crafted({a: 1}, 8), /no object/],
])('%s is a WeightsError', async (_, bytes, message) => {
  await expect(open(bytes)).rejects.toMatchObject({
    name: 'WeightsError',
    code: 'damaged-safetensors',
    message: expect.stringMatching(message),
  });
});

test('SafetensorsFile: refuses a file that is cut off anywhere', async () => {
  const bytes = await write(TENSORS, DATA);
  for (let length = 0; length < bytes.length; length++)
    await expect(open(bytes.slice(0, length))).rejects.toMatchObject({name: 'WeightsError'});
});

test('planShards: keeps the order and the limit; a larger tensor gets its own', () => {
  const tensors = [8, 8, 40, 4, 4].map((bytes, i): TensorPlan => ({name: `t${i}`, dtype: 'U8', shape: [bytes]}));
  const shards = planShards(tensors, 16);
  expect(shards.map((shard) => shard.map(({name}) => name))).toEqual([['t0', 't1'], ['t2'], ['t3', 't4']]);
  expect(shardIndex(shards)).toMatchObject({
    metadata: {total_size: 64},
    weight_map: {t2: 'model-00002-of-00003.safetensors'},
  });
  expect(shardName(0, 1)).toBe('model.safetensors');
});

test('indexedFiles: an index names files beside it and nothing else', () => {
  const index = (file: unknown): string => JSON.stringify({weight_map: {a: file}});
  expect(indexedFiles('i', index('model-1.safetensors'))).toEqual(['model-1.safetensors']);
  for (const file of ['../a', '/etc/passwd', 'x/y', '..', '', 5, 'a\\b'])
    expect(() => indexedFiles('i', index(file))).toThrow(/no file beside the index/);
  expect(() => indexedFiles('i', '{}')).toThrow(/weight_map/);
  expect(() => indexedFiles('i', '{')).toThrow(/no JSON/);
});

describe('openModelWeights', () => {
  class Counted extends MemoryAccess {
    static open = 0;
    constructor(name: string, bytes: Uint8Array) {
      super(name, bytes);
      Counted.open++;
    }
    override [Symbol.dispose](): void {
      Counted.open--;
    }
  }
  const folder = (files: Readonly<Record<string, Uint8Array>>): ReturnType<typeof openModelWeights> =>
    openModelWeights(async (name) => new Counted(name, files[name]!), Object.keys(files));
  const two = async (): Promise<Record<string, Uint8Array>> => {
    const shards = [TENSORS.slice(0, 1), TENSORS.slice(1, 3)];
    return {
      [shardName(0, 2)]: await write(shards[0]!, DATA),
      [shardName(1, 2)]: await write(shards[1]!, DATA),
      'model.safetensors.index.json': Buffer.from(JSON.stringify(shardIndex(shards))),
    };
  };
  afterEach(() => expect(Counted.open).toBe(0));

  test('reads one file', async () => {
    using weights = await folder({'model.safetensors': await write(TENSORS, DATA)});
    expect(weights.names()).toEqual(['a', 'b', 'c', '__proto__']);
    expect(weights.shape('a')).toEqual([2, 2]);
    expect(await weights.read('b')).toEqual(Float32Array.of(1, -2, 0.5));
    expect(() => weights.shape('x')).toThrow(/no tensor 'x'/);
  });

  test('reads shards', async () => {
    using weights = await folder(await two());
    expect(weights.names()).toEqual(['a', 'b', 'c']);
    expect(await weights.read('a')).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(await weights.read('c')).toEqual(Float32Array.of(-5));
  });

  test('refuses a shard that is missing, holds something else, or a name twice, and leaves nothing open', async () => {
    const files = await two();
    const {[shardName(1, 2)]: second, ...rest} = files;
    await expect(folder(rest)).rejects.toMatchObject({code: 'missing-file'});
    await expect(folder({...files, [shardName(1, 2)]: second!.slice(0, 20)})).rejects.toMatchObject({
      code: 'damaged-safetensors',
    });
    await expect(folder({...files, [shardName(1, 2)]: await write(TENSORS.slice(2, 3), DATA)})).rejects.toThrow(
      /'b' should be in/,
    );
    await expect(folder({...files, [shardName(1, 2)]: await write(TENSORS, DATA)})).rejects.toThrow(/'a' is in/);
    await expect(folder({'other.txt': new Uint8Array()})).rejects.toMatchObject({code: 'not-a-model'});
  });
});

test('SafetensorsFile: types that no model needs are listed, and only reading them is an error', async () => {
  const header = {
    a: {dtype: 'F32', shape: [2], data_offsets: [0, 8]},
    b: {dtype: 'U32', shape: [2], data_offsets: [8, 16]},
    c: {dtype: 'F8_E4M3', shape: [4], data_offsets: [16, 20]},
    d: {dtype: 'F4', shape: [2, 4], data_offsets: [20, 24]},
  };
  const file = await open(crafted(header, 24));
  expect(file.names().map((name) => file.entry(name).dtype)).toEqual(['F32', 'U32', 'F8_E4M3', 'F4']);
  expect(await file.read('a')).toEqual(Float32Array.of(0, 0));
  for (const name of ['b', 'c', 'd'])
    await expect(file.read(name)).rejects.toMatchObject({code: 'unsupported-dtype', exitCode: 3});
});
