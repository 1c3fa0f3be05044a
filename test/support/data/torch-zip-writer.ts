import zlib from 'node:zlib';

// Writes what torch.save writes, and what it never would: small pickles (protocol 2) and zip files, for tests of the
// readers.

/** Anything to pickle. Maps become dicts, arrays lists. */
export type Pickled =
  | null
  | boolean
  | number
  | string
  | Pickled[]
  | Map<string, Pickled>
  | Tuple
  | Global
  | Call
  | Tensor;
export class Tuple {
  constructor(readonly items: readonly Pickled[]) {}
}
export class Global {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {}
}
/** A call of a class or function when the pickle is loaded by Python. */
export class Call {
  constructor(
    readonly callee: Global,
    readonly args: readonly Pickled[],
    readonly state?: Pickled | undefined,
  ) {}
}
export type TorchType = 'HalfStorage' | 'BFloat16Storage' | 'FloatStorage' | 'DoubleStorage' | 'LongStorage';
export class Tensor {
  constructor(
    readonly storage: {readonly key: string; readonly type: TorchType; readonly length: number},
    readonly shape: readonly number[],
    readonly offset = 0,
    readonly stride: readonly number[] = contiguous(shape),
  ) {}
}

function contiguous(shape: readonly number[]): number[] {
  return shape.map((_, d) => shape.slice(d + 1).reduce((product, n) => product * n, 1));
}

export function pickle(value: Pickled): Buffer {
  const parts: Buffer[] = [Buffer.from([0x80, 2])];
  const put = (...bytes: (number | Buffer)[]): void =>
    void parts.push(...bytes.map((b) => (typeof b === 'number' ? Buffer.from([b]) : b)));
  const u32 = (n: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(n);
    return bytes;
  };
  const tuple = (items: readonly Pickled[]): void => {
    put(0x28);
    items.forEach(write);
    put(0x74);
  };
  const write = (v: Pickled): void => {
    if (v === null) put(0x4e);
    else if (typeof v === 'boolean') put(v ? 0x88 : 0x89);
    else if (typeof v === 'string') put(0x58, u32(Buffer.byteLength(v)), Buffer.from(v));
    else if (typeof v === 'number') {
      const double = Buffer.alloc(8);
      double.writeDoubleBE(v);
      if (Number.isInteger(v) && Math.abs(v) < 2 ** 31) put(0x4a, u32(v));
      else put(0x47, double);
    } else if (Array.isArray(v)) {
      put(0x5d, 0x28);
      v.forEach(write);
      put(0x65);
    } else if (v instanceof Map) {
      put(0x7d, 0x28);
      for (const [key, item] of v) {
        write(key);
        write(item);
      }
      put(0x75);
    } else if (v instanceof Tuple) tuple(v.items);
    else if (v instanceof Global) put(0x63, Buffer.from(`${v.module}\n${v.name}\n`));
    else if (v instanceof Call) {
      write(v.callee);
      tuple(v.args);
      put(0x52);
      if (v.state !== undefined) {
        write(v.state);
        put(0x62);
      }
    } else {
      const {key, type, length} = v.storage;
      put(0x63, Buffer.from('torch._utils\n_rebuild_tensor_v2\n'), 0x28);
      tuple(['storage', new Global('torch', type), key, 'cpu', length]);
      put(0x51);
      write(v.offset);
      tuple([...v.shape]);
      tuple([...v.stride]);
      write(false);
      write(new Call(new Global('collections', 'OrderedDict'), []));
      put(0x74, 0x52);
    }
  };
  write(value);
  put(0x2e);
  return Buffer.concat(parts);
}

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
    [{name: 'archive/data.pkl', data: pickle(top), deflate: options.deflatePickle ?? false}, ...data],
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
    state.set(name, new Tensor({key, type: 'FloatStorage', length: data.length}, shape));
  }
  return {state, storages};
}
