import {DTYPE_BYTES} from './dtype.js';
import {type Pickled, pickle, type Storage} from './pickle-writer.js';

/** Takes the pieces of a file in order, each its own from then on. */
export type Sink = (piece: Uint8Array) => Promise<void>;

/** Storages begin at multiples of this many bytes, as torch.save has them, so that they can be mapped into memory. */
const ALIGNMENT = 64;
/** The largest count or position that the fields of a plain zip file can say. */
const PLAIN_LIMIT = 0xffffffff;
const PLAIN_ENTRIES = 0xffff;
/** 1 January 1980, the first day that zip files know: equal input gives equal files. */
const DATE = 0x21;
const STORED = 0;

/** A torch file to be written. */
export interface TorchFileContent {
  /** What `torch.load` returns; its tensors are views of the storages. */
  readonly top: Pickled;
  /** The order of the storages in the file. */
  readonly storages: readonly Storage[];
}

/**
 * Writes what torch.save writes: a zip file with the pickle first and then one stored entry for each storage, front to
 * back, one storage in memory at a time. Equal input gives equal bytes.
 * @param produce gives the little-endian bytes of one storage
 * @param options `plainLimit`: the size from which numbers stand in zip64 fields
 */
export async function writeTorchFile(
  {top, storages}: TorchFileContent,
  produce: (storage: Storage) => Promise<Uint8Array>,
  sink: Sink,
  options: {readonly plainLimit?: number} = {},
): Promise<void> {
  const zip = new ZipWriter(sink, options.plainLimit ?? PLAIN_LIMIT);
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  await zip.add('archive/data.pkl', pickle(top));
  await zip.add('archive/byteorder', text('little'));
  for (const storage of storages) {
    const bytes = await produce(storage);
    const wanted = storage.length * DTYPE_BYTES[storage.dtype];
    if (bytes.length !== wanted)
      throw new RangeError(`storage ${storage.key}: ${bytes.length} bytes instead of ${wanted}`);
    await zip.add(`archive/data/${storage.key}`, bytes);
  }
  await zip.add('archive/version', text('3\n'));
  await zip.end();
}

interface Written {
  readonly name: Uint8Array;
  readonly bytes: number;
  readonly crc: number;
  readonly at: number;
}

/** A zip file of stored entries, written front to back. */
class ZipWriter {
  readonly #entries: Written[] = [];
  #at = 0;

  constructor(
    private readonly sink: Sink,
    private readonly plainLimit: number,
  ) {}

  async add(path: string, data: Uint8Array): Promise<void> {
    const name = new TextEncoder().encode(path);
    const entry: Written = {name, bytes: data.length, crc: crc32(data), at: this.#at};
    const wide = data.length >= this.plainLimit;
    const long = wide ? wideField([data.length, data.length]) : new Uint8Array();
    const padding = paddingField(this.#at + 30 + name.length + long.length);
    const header = new Fields(30)
      .u32(0x04034b50)
      .u16(wide ? 45 : 20)
      .u16(0)
      .u16(STORED)
      .u16(0)
      .u16(DATE)
      .u32(entry.crc)
      .u32(wide ? PLAIN_LIMIT : data.length)
      .u32(wide ? PLAIN_LIMIT : data.length)
      .u16(name.length)
      .u16(long.length + padding.length);
    await this.#put(header.bytes, name, long, padding, data);
    this.#entries.push(entry);
  }

  async end(): Promise<void> {
    const start = this.#at;
    for (const entry of this.#entries) await this.#put(...this.#directoryEntry(entry));
    const [count, length] = [this.#entries.length, this.#at - start];
    const wide = start >= this.plainLimit || length >= this.plainLimit || count >= PLAIN_ENTRIES;
    if (wide) {
      const record = new Fields(56).u32(0x06064b50).u64(44).u16(45).u16(45).u32(0).u32(0);
      record.u64(count).u64(count).u64(length).u64(start);
      const locator = new Fields(20).u32(0x07064b50).u32(0).u64(this.#at).u32(1);
      await this.#put(record.bytes, locator.bytes);
    }
    const end = new Fields(22).u32(0x06054b50).u16(0).u16(0);
    const plain = (n: number, limit: number): number => (wide ? limit : n);
    end.u16(plain(count, PLAIN_ENTRIES)).u16(plain(count, PLAIN_ENTRIES));
    end.u32(plain(length, PLAIN_LIMIT)).u32(plain(start, PLAIN_LIMIT)).u16(0);
    await this.#put(end.bytes);
  }

  #directoryEntry({name, bytes, crc, at}: Written): readonly Uint8Array[] {
    const [long, far] = [bytes >= this.plainLimit, at >= this.plainLimit];
    const extra = wideField([...(long ? [bytes, bytes] : []), ...(far ? [at] : [])]);
    const header = new Fields(46)
      .u32(0x02014b50)
      .u16(long || far ? 45 : 20)
      .u16(long || far ? 45 : 20)
      .u16(0)
      .u16(STORED)
      .u16(0)
      .u16(DATE)
      .u32(crc)
      .u32(long ? PLAIN_LIMIT : bytes)
      .u32(long ? PLAIN_LIMIT : bytes)
      .u16(name.length)
      .u16(extra.length)
      .u16(0)
      .u16(0)
      .u16(0)
      .u32(0)
      .u32(far ? PLAIN_LIMIT : at);
    return [header.bytes, name, extra];
  }

  async #put(...pieces: readonly Uint8Array[]): Promise<void> {
    for (const piece of pieces) {
      if (piece.length === 0) continue;
      this.#at += piece.length;
      await this.sink(piece);
    }
  }
}

/** The zip64 extra field with these numbers; nothing without any. */
function wideField(numbers: readonly number[]): Uint8Array {
  if (numbers.length === 0) return new Uint8Array();
  const field = new Fields(4 + 8 * numbers.length).u16(1).u16(8 * numbers.length);
  for (const n of numbers) field.u64(n);
  return field.bytes;
}

/** torch's extra field 'FB', as long as the data behind it needs to be aligned. @param at position of the field */
function paddingField(at: number): Uint8Array {
  const room = (ALIGNMENT - ((at + 4) % ALIGNMENT)) % ALIGNMENT;
  const field = new Fields(4 + room).u16(0x4246).u16(room).bytes;
  field.fill(0x5a, 4);
  return field;
}

/** Little-endian numbers, one after another. */
class Fields {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
    this.#view = new DataView(this.bytes.buffer);
  }

  u16(value: number): this {
    this.#view.setUint16(this.#at, value, true);
    this.#at += 2;
    return this;
  }
  u32(value: number): this {
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
    return this;
  }
  u64(value: number): this {
    this.#view.setBigUint64(this.#at, BigInt(value), true);
    this.#at += 8;
    return this;
  }
}

const CRC_TABLE = Uint32Array.from({length: 256}, (_, i) => {
  let crc = i;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});

/** The checksum of a zip entry. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
