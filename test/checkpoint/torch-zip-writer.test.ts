import zlib from 'node:zlib';
import {namespace, orderedDict, type Pickled, type Storage, Tensor} from '../../src/checkpoint/pickle-writer.js';
import {bytesOf} from '../../src/checkpoint/safetensors.js';
import {writeTorchFile} from '../../src/checkpoint/torch-zip-writer.js';
import {TorchFile} from '../../src/checkpoint/torch-zip.js';
import {ZipFile} from '../../src/checkpoint/zip.js';
import {MemoryAccess} from '../support/data/memory-access.js';

const STORAGES: readonly Storage[] = [
  {key: '0', dtype: 'F32', length: 4},
  {key: '1', dtype: 'F16', length: 3},
  {key: '2', dtype: 'I64', length: 1},
  {key: '3', dtype: 'F32', length: 0},
];
const DATA: Readonly<Record<string, Uint8Array>> = {
  0: bytesOf(Float32Array.of(1, 2, 3, 4)),
  1: bytesOf(Uint16Array.of(0x3c00, 0xc000, 0x3800)),
  2: bytesOf(BigInt64Array.of(-5n)),
  3: new Uint8Array(),
};
const TOP = new Map<string, Pickled>([
  ['cfg', new Map([['model', namespace({arch: 'ofa_tiny', depths: [1, 2.5], none: null})]])],
  [
    'model',
    orderedDict(
      new Map([
        ['a', new Tensor(STORAGES[0]!, [2, 2])],
        ['tied', new Tensor(STORAGES[0]!, [2, 2])],
        ['b', new Tensor(STORAGES[1]!, [3])],
        ['c', new Tensor(STORAGES[2]!, [])],
        ['empty', new Tensor(STORAGES[3]!, [0, 7])],
      ]),
    ),
  ],
]);

async function write(plainLimit?: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  await writeTorchFile(
    {top: TOP, storages: STORAGES},
    async ({key}) => DATA[key]!,
    async (piece) => void pieces.push(piece),
    plainLimit === undefined ? {} : {plainLimit},
  );
  return new Uint8Array(Buffer.concat(pieces));
}

describe.each([
  ['with plain sizes', undefined],
  ['with every size and position in zip64 fields', 0],
  ['with the positions behind a limit in zip64 fields', 700],
])('writeTorchFile, %s', (_, plainLimit) => {
  test('is read back, tied tensors on one storage, and makes equal bytes of equal input', async () => {
    const bytes = await write(plainLimit);
    expect(await write(plainLimit)).toEqual(bytes);
    using checkpoint = (await TorchFile.open(new MemoryAccess('test.pt', bytes))).checkpoint();
    expect(checkpoint.cfg).toEqual({model: {arch: 'ofa_tiny', depths: [1, 2.5], none: null}});
    expect(checkpoint.placeholders).toEqual([]);
    expect(checkpoint.names()).toEqual(['a', 'tied', 'b', 'c', 'empty']);
    expect(checkpoint.sameStorage('a', 'tied')).toBe(true);
    expect(await checkpoint.read('tied')).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(await checkpoint.read('b')).toEqual(Float32Array.of(1, -2, 0.5));
    expect(await checkpoint.read('c')).toEqual(BigInt64Array.of(-5n));
    expect(checkpoint.entry('empty')).toEqual({dtype: 'F32', shape: [0, 7]});
  });

  test('aligns storages to 64 bytes and gives every entry its checksum', async () => {
    const bytes = await write(plainLimit);
    const zip = await ZipFile.open(new MemoryAccess('test.pt', bytes));
    expect([...zip.entries.keys()]).toEqual([
      'archive/data.pkl',
      'archive/byteorder',
      ...STORAGES.map(({key}) => `archive/data/${key}`),
      'archive/version',
    ]);
    for (const entry of zip.entries.values()) {
      const at = await zip.locate(entry);
      expect([entry.name, at % 64]).toEqual([entry.name, 0]);
      const crc = new DataView(bytes.buffer).getUint32(entry.headerOffset + 14, true);
      expect([entry.name, crc]).toEqual([entry.name, crcOf(bytes.subarray(at, at + entry.bytes))]);
    }
  });
});

/** The checksum that zlib appends to a gzip file. */
function crcOf(bytes: Uint8Array): number {
  const packed = zlib.gzipSync(bytes);
  return packed.readUInt32LE(packed.length - 8);
}

test('writeTorchFile: refuses a storage of another length than announced', async () => {
  const writing = writeTorchFile(
    {top: TOP, storages: STORAGES},
    async () => new Uint8Array(3),
    async () => {},
  );
  await expect(writing).rejects.toThrow('storage 0: 3 bytes instead of 16');
});
