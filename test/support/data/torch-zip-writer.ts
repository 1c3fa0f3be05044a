import zlib from 'node:zlib';
import {type Pickled, pickle, Tensor} from '../../../src/checkpoint/pickle-writer.js';

// Torch and zip files held in memory, sound ones and such as nothing sound writes, for tests of the readers.

export interface ZipItem {
  readonly name: string;
  readonly data: Buffer;
  readonly deflate?: boolean;
  /** Overrides what the headers say; for lies. */
  readonly says?: {
    readonly bytes?: number;
    readonly compressed?: number;
    readonly offset?: number;
    readonly localBytes?: number;
  };
}

/** A zip file; with `zip64`, its directory record is a zip64 one and offsets and sizes stand in extra fields. */
export function zip(items: readonly ZipItem[], options: {readonly zip64?: boolean} = {}): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const item of items) {
    const name = Buffer.from(item.name);
    const packed = item.deflate ? zlib.deflateRawSync(item.data) : item.data;
    const bytes = item.says?.bytes ?? item.data.length;
    const compressed = item.says?.compressed ?? packed.length;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(item.deflate ? 8 : 0, 8);
    local.writeUInt32LE(compressed, 18);
    local.writeUInt32LE(item.says?.localBytes ?? bytes, 22);
    local.writeUInt16LE(name.length, 26);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(item.deflate ? 8 : 0, 10);
    central.writeUInt16LE(name.length, 28);
    const extra = Buffer.alloc(options.zip64 ? 28 : 0);
    if (options.zip64) {
      for (const field of [20, 24, 42]) central.writeUInt32LE(0xffffffff, field);
      extra.writeUInt16LE(1, 0);
      extra.writeUInt16LE(24, 2);
      [bytes, compressed, item.says?.offset ?? at].forEach((n, i) => void extra.writeBigUInt64LE(BigInt(n), 4 + 8 * i));
      central.writeUInt16LE(extra.length, 30);
    } else {
      central.writeUInt32LE(compressed, 20);
      central.writeUInt32LE(bytes, 24);
      central.writeUInt32LE(item.says?.offset ?? at, 42);
    }
    parts.push(local, name, packed);
    directory.push(central, name, extra);
    at += 30 + name.length + packed.length;
  }
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(options.zip64 ? 0xffff : items.length, 10);
  end.writeUInt32LE(options.zip64 ? 0xffffffff : list.length, 12);
  end.writeUInt32LE(options.zip64 ? 0xffffffff : at, 16);
  if (!options.zip64) return Buffer.concat([...parts, list, end]);
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(44n, 4);
  record.writeBigUInt64LE(BigInt(items.length), 32);
  record.writeBigUInt64LE(BigInt(list.length), 40);
  record.writeBigUInt64LE(BigInt(at), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(at + list.length), 8);
  return Buffer.concat([...parts, list, record, locator, end]);
}

/** A torch file: the pickle of `top`, and the bytes of its storages by key. */
export function torchZip(
  top: Pickled,
  storages: ReadonlyMap<string, Buffer>,
  options: {readonly zip64?: boolean; readonly deflatePickle?: boolean; readonly deflateData?: boolean} = {},
): Buffer {
  const data = [...storages].map(
    ([key, bytes]): ZipItem => ({
      name: `archive/data/${key}`,
      data: bytes,
      deflate: options.deflateData ?? false,
    }),
  );
  return zip(
    [{name: 'archive/data.pkl', data: Buffer.from(pickle(top)), deflate: options.deflatePickle ?? false}, ...data],
    options,
  );
}

/** A storage and a tensor over the whole of it, by name: what a bare state dict needs. */
export function stateDict(
  tensors: ReadonlyMap<string, {readonly shape: readonly number[]; readonly data: Float32Array}>,
): {
  readonly state: Map<string, Tensor>;
  readonly storages: Map<string, Buffer>;
} {
  const storages = new Map<string, Buffer>();
  const state = new Map<string, Tensor>();
  for (const [name, {shape, data}] of tensors) {
    const key = String(storages.size);
    storages.set(key, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    state.set(name, new Tensor({key, dtype: 'F32', length: data.length}, shape));
  }
  return {state, storages};
}
