import {WeightsError} from '../runtime/errors.js';
import type {RandomAccess} from './random-access.js';

export interface ZipEntry {
  readonly name: string;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  readonly compressedBytes: number;
  readonly bytes: number;
  /** The position of the local header. */
  readonly headerOffset: number;
  /** The position of the next entry, or of the directory: this entry ends before it. */
  readonly limit: number;
}

const MAX_DIRECTORY_BYTES = 64 * 2 ** 20;
const MAX_ENTRIES = 200_000;
const decoder = new TextDecoder('utf-8', {fatal: false});

/** A zip file, read by offset: first its directory, then one entry at a time. The source is borrowed. */
export class ZipFile {
  private constructor(
    readonly source: RandomAccess,
    readonly entries: ReadonlyMap<string, ZipEntry>,
  ) {}

  /** @throws WeightsError if the file is no zip, is cut off, or contradicts itself */
  static async open(source: RandomAccess): Promise<ZipFile> {
    const {offset, length, count} = await findDirectory(source);
    if (length > MAX_DIRECTORY_BYTES || count > MAX_ENTRIES)
      throw damaged(source, `its directory has ${count} entries in ${length} bytes; at most ${MAX_ENTRIES} are read`);
    if (offset + length > source.size)
      throw damaged(source, 'its directory would lie behind the end of the file', 'truncated-file');
    const found = parseDirectory(source, await source.read(offset, length), count, offset);
    const ordered = [...found].sort((a, b) => a.headerOffset - b.headerOffset);
    const entries = new Map<string, ZipEntry>();
    ordered.forEach((entry, i) => {
      const limit = ordered[i + 1]?.headerOffset ?? offset;
      if (entry.headerOffset + 30 + entry.compressedBytes > limit)
        throw damaged(
          source,
          `entry '${entry.name}' says ${entry.compressedBytes} bytes, but ${limit - entry.headerOffset} are there: entries overlap`,
        );
      if (entries.has(entry.name)) throw damaged(source, `it has two entries called '${entry.name}'`);
      entries.set(entry.name, {...entry, limit});
    });
    return new ZipFile(source, entries);
  }

  /**
   * The position of the bytes of a stored entry.
   * @throws WeightsError if it is compressed, or its two headers disagree
   */
  async locate(entry: ZipEntry): Promise<number> {
    if (entry.method !== 0)
      throw damaged(this.source, `entry '${entry.name}' is compressed and cannot be read by offset`, 'unsupported-zip');
    return this.dataOffset(entry);
  }

  /**
   * Reads a whole entry, and inflates it if need be.
   * @throws WeightsError if it is larger than `maxBytes`, or than it says
   */
  async readAll(entry: ZipEntry, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    if (entry.bytes > maxBytes || entry.compressedBytes > maxBytes)
      throw damaged(
        this.source,
        `entry '${entry.name}' has ${Math.max(entry.bytes, entry.compressedBytes)} bytes; at most ${maxBytes} are read`,
        'zip-too-large',
      );
    const offset = await this.dataOffset(entry);
    const packed = await this.source.read(offset, entry.compressedBytes);
    return entry.method === 0 ? packed : inflate(this.source, entry, packed);
  }

  private async dataOffset(entry: ZipEntry): Promise<number> {
    const header = view(await this.source.read(entry.headerOffset, 30));
    if (header.getUint32(0, true) !== 0x04034b50)
      throw damaged(this.source, `entry '${entry.name}' does not begin with a file header`);
    const nameBytes = header.getUint16(26, true);
    const offset = entry.headerOffset + 30 + nameBytes + header.getUint16(28, true);
    const streamed = header.getUint16(6, true) & 8;
    const [packed, bytes] = [header.getUint32(18, true), header.getUint32(22, true)];
    const disagrees = (here: number, there: number): boolean => !streamed && here !== 0xffffffff && here !== there;
    if (
      header.getUint16(8, true) !== entry.method ||
      disagrees(packed, entry.compressedBytes) ||
      disagrees(bytes, entry.bytes)
    )
      throw damaged(
        this.source,
        `entry '${entry.name}' says ${bytes} bytes at the front and ${entry.bytes} in the directory`,
      );
    if (offset + entry.compressedBytes > entry.limit)
      throw damaged(
        this.source,
        `entry '${entry.name}' says ${entry.compressedBytes} bytes, but runs into what follows: entries overlap`,
      );
    const name = decoder.decode(await this.source.read(entry.headerOffset + 30, nameBytes));
    if (name !== entry.name) throw damaged(this.source, `entry '${entry.name}' is called '${name}' in its own header`);
    return offset;
  }
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function damaged(source: RandomAccess, what: string, code = 'damaged-zip'): WeightsError {
  return new WeightsError(code, `${source.name}: not a usable zip file: ${what}.`, {
    hint: 'The file is damaged or was made to mislead: get it again.',
  });
}

/** Reads a 64-bit count, which must be a safe integer. */
function uint64(source: RandomAccess, data: DataView, at: number): number {
  const value = data.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(source, `it has an offset of ${value}`);
  return Number(value);
}

async function findDirectory(source: RandomAccess): Promise<{offset: number; length: number; count: number}> {
  // The end record is 22 bytes and a comment of at most 65,535; a zip64 locator of 20 bytes stands before it.
  const tailBytes = Math.min(source.size, 22 + 65535 + 20);
  const tail = view(await source.read(source.size - tailBytes, tailBytes));
  let end = tailBytes - 22;
  while (
    end >= 0 &&
    !(tail.getUint32(end, true) === 0x06054b50 && end + 22 + tail.getUint16(end + 20, true) === tailBytes)
  )
    end--;
  if (end < 0) throw damaged(source, 'its end record is missing, so the file is cut off', 'truncated-file');
  let count = tail.getUint16(end + 10, true);
  let length = tail.getUint32(end + 12, true);
  let offset = tail.getUint32(end + 16, true);
  if (end >= 20 && tail.getUint32(end - 20, true) === 0x07064b50) {
    const at = uint64(source, tail, end - 20 + 8);
    if (at + 56 > source.size)
      throw damaged(source, 'its zip64 record would lie behind the end of the file', 'truncated-file');
    const record = view(await source.read(at, 56));
    if (record.getUint32(0, true) !== 0x06064b50) throw damaged(source, 'its zip64 record is missing');
    count = uint64(source, record, 32);
    length = uint64(source, record, 40);
    offset = uint64(source, record, 48);
  }
  return {offset, length, count};
}

function parseDirectory(
  source: RandomAccess,
  bytes: Uint8Array,
  count: number,
  end: number,
): Omit<ZipEntry, 'limit'>[] {
  const data = view(bytes);
  const entries: Omit<ZipEntry, 'limit'>[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.length || data.getUint32(at, true) !== 0x02014b50)
      throw damaged(source, `entry ${i} of ${count} of its directory is missing`);
    const [nameBytes, extraBytes, commentBytes] = [
      data.getUint16(at + 28, true),
      data.getUint16(at + 30, true),
      data.getUint16(at + 32, true),
    ];
    const next = at + 46 + nameBytes + extraBytes + commentBytes;
    if (next > bytes.length) throw damaged(source, `entry ${i} of its directory is cut off`);
    const name = decoder.decode(bytes.subarray(at + 46, at + 46 + nameBytes));
    const method = data.getUint16(at + 10, true);
    if (data.getUint16(at + 8, true) & 1) throw damaged(source, `entry '${name}' is encrypted`, 'unsupported-zip');
    if (method !== 0 && method !== 8)
      throw damaged(source, `entry '${name}' is compressed by method ${method}`, 'unsupported-zip');
    const sizes = {
      bytes: data.getUint32(at + 24, true),
      compressedBytes: data.getUint32(at + 20, true),
      headerOffset: data.getUint32(at + 42, true),
    };
    readZip64(source, data, at + 46 + nameBytes, extraBytes, sizes);
    if (method === 0 && sizes.bytes !== sizes.compressedBytes)
      throw damaged(
        source,
        `entry '${name}' is stored, yet says ${sizes.compressedBytes} bytes in the file and ${sizes.bytes} outside`,
      );
    if (sizes.headerOffset + 30 > end) throw damaged(source, `entry '${name}' would begin behind the directory`);
    entries.push({name, method, ...sizes});
    at = next;
  }
  return entries;
}

/** Reads the zip64 extra field, which holds, in this order, those of the three numbers that did not fit. */
function readZip64(
  source: RandomAccess,
  data: DataView,
  start: number,
  length: number,
  sizes: {bytes: number; compressedBytes: number; headerOffset: number},
): void {
  for (let at = start; at + 4 <= start + length; at += 4 + data.getUint16(at + 2, true)) {
    if (data.getUint16(at, true) !== 1) continue;
    let field = at + 4;
    const fieldEnd = Math.min(field + data.getUint16(at + 2, true), start + length);
    for (const key of ['bytes', 'compressedBytes', 'headerOffset'] as const) {
      if (sizes[key] !== 0xffffffff) continue;
      if (field + 8 > fieldEnd) throw damaged(source, 'a zip64 field is cut off');
      sizes[key] = uint64(source, data, field);
      field += 8;
    }
  }
}

/** Inflates at most as many bytes as the entry announces: a zip bomb is noticed at its first byte too many. */
async function inflate(
  source: RandomAccess,
  entry: ZipEntry,
  packed: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const out = new Uint8Array(entry.bytes);
  let filled = 0;
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw')).getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (filled + part.value.length > out.length)
        throw damaged(source, `entry '${entry.name}' inflates to more than the ${out.length} bytes it says`);
      out.set(part.value, filled);
      filled += part.value.length;
    }
  } catch (error) {
    await reader.cancel().catch(() => undefined);
    if (error instanceof WeightsError) throw error;
    throw new WeightsError('damaged-zip', `${source.name}: entry '${entry.name}' cannot be inflated.`, {cause: error});
  }
  if (filled !== out.length)
    throw damaged(source, `entry '${entry.name}' inflates to ${filled} bytes and says ${out.length}`);
  return out;
}
