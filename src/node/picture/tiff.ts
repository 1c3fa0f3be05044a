import zlib from 'node:zlib';
import type {RgbImage} from '../../data/image.js';
import {applyOrientation, type Orientation, orientationOf} from './exif.js';
import {corrupt, type PictureCost, type PictureFormat, type PictureHeader, unsupported} from './format.js';
import {lzwLength} from './tiff-lzw.js';
import {dropAlpha} from './wasm-codec.js';

/** The tags of a directory that matter, by their numbers. */
const TAG = {
  width: 256,
  height: 257,
  bits: 258,
  compression: 259,
  photometric: 262,
  fillOrder: 266,
  offsets: 273,
  samples: 277,
  rowsPerStrip: 278,
  byteCounts: 279,
  planar: 284,
  predictor: 317,
  colors: 320,
  tileWidth: 322,
  extraSamples: 338,
  sampleFormat: 339,
  xmp: 700,
} as const;
const [STORED, LZW, DEFLATE, PACK_BITS, OLD_DEFLATE] = [1, 5, 8, 32773, 32946];
const COMPRESSIONS: readonly number[] = [STORED, LZW, DEFLATE, PACK_BITS, OLD_DEFLATE];
/** The bytes of a value by its type: bytes, shorts and longs. */
const VALUE_BYTES: Readonly<Record<number, number>> = {1: 1, 3: 2, 4: 4, 7: 1};

/**
 * The kinds of pixels that become the bytes that Pillow has: by photometric interpretation, samples a pixel and what the
 * last one is (0 nothing, 2 alpha), the bits of a sample.
 */
const KINDS: Readonly<Record<string, readonly number[]>> = {
  '0,1': [1, 8],
  '1,1': [1, 8],
  '1,2,2': [8],
  '2,3': [8],
  '2,4,0': [8],
  '2,4,2': [8],
  '3,1': [4, 8],
};

interface TiffHeader extends PictureHeader {
  /** As the pixels are stored, before they are turned. */
  readonly stored: {readonly width: number; readonly height: number};
  /** The orientation tag. Pillow turns a TIFF by it when it is opened, whatever is done later. */
  readonly turn: Orientation;
  readonly bits: number;
  readonly samples: number;
  readonly photometric: number;
  readonly compression: number;
  readonly predictor: number;
  readonly rowBytes: number;
  readonly rowsPerStrip: number;
  readonly colors: readonly number[];
  /** The strips' first bytes and lengths. */
  readonly strips: readonly {readonly at: number; readonly length: number}[];
}

/**
 * The first page of a TIFF by jimp, in the modes in which it equals Pillow: bilevel, gray and RGB of 8 bits, palettes;
 * stored, LZW, deflate or PackBits, in strips. Others are refused.
 */
export const tiff: PictureFormat<TiffHeader> = {name: 'TIFF', inspect, cost, decode};

function inspect(bytes: Uint8Array): TiffHeader {
  const directory = new Directory(bytes);
  const one = (tag: number, missing: number): number => directory.values(tag)[0] ?? missing;
  const [width, height] = [one(TAG.width, 0), one(TAG.height, 0)];
  if (width === 0 || height === 0) throw corrupt('TIFF', `its size is ${width} × ${height}`);
  const compression = one(TAG.compression, STORED!);
  if (!COMPRESSIONS.includes(compression)) throw unsupported('TIFF', `is compressed by method ${compression}`);
  if (directory.values(TAG.tileWidth).length > 0) throw unsupported('TIFF', 'is made of tiles');
  const samples = one(TAG.samples, 1);
  const bits = directory.values(TAG.bits);
  const depth = bits[0] ?? 1;
  const photometric = one(TAG.photometric, -1);
  const kind = [photometric, samples, ...directory.values(TAG.extraSamples)].join();
  const depths = Object.hasOwn(KINDS, kind) ? KINDS[kind]! : [];
  const predictor = one(TAG.predictor, 1);
  const odd =
    bits.some((other) => other !== depth) ||
    (samples > 1 && one(TAG.planar, 1) !== 1) ||
    one(TAG.fillOrder, 1) !== 1 ||
    directory.values(TAG.sampleFormat).some((format) => format !== 1) ||
    (predictor !== 1 && (predictor !== 2 || depth !== 8));
  if (odd || !depths.includes(depth))
    throw unsupported('TIFF', `has ${samples} samples of ${depth} bits in a layout that is not read`);
  const colors = directory.values(TAG.colors);
  if (photometric === 3 && colors.length !== 3 << depth) throw corrupt('TIFF', `it has ${colors.length} colours`);
  const rowsPerStrip = Math.min(one(TAG.rowsPerStrip, height), height);
  const [offsets, lengths] = [directory.values(TAG.offsets), directory.values(TAG.byteCounts)];
  const wanted = rowsPerStrip === 0 ? 0 : Math.ceil(height / rowsPerStrip);
  if (wanted === 0 || offsets.length !== wanted || lengths.length !== wanted)
    throw corrupt('TIFF', `it has ${offsets.length} strips of pixels, wanted are ${wanted}`);
  const strips = offsets.map((at, i) => ({at, length: lengths[i]!}));
  if (strips.some(({at, length}) => at + length > bytes.length)) throw corrupt('TIFF', 'it is cut off');
  const turn = orientationOf({exif: bytes});
  return {
    ...(turn >= 5 ? {width: height, height: width} : {width, height}),
    stored: {width, height},
    turn,
    orientation: turn === 1 ? orientationOf({exif: bytes, xmp: directory.raw(TAG.xmp)}) : 1,
    bits: depth,
    samples,
    photometric,
    compression,
    predictor,
    rowBytes: Math.ceil((width * samples * depth) / 8),
    rowsPerStrip,
    colors,
    strips,
  };
}

/** Strips are unpacked or copied into a plain file, which jimp reads to samples and RGBA. */
function cost({stored: {width, height}, rowBytes, strips, compression}: TiffHeader, bytes: Uint8Array): PictureCost {
  const pixels = width * height;
  const packed = strips.reduce((sum, {length}) => sum + length, 0);
  const unpacked = rowBytes * height;
  return {
    work: 30 * pixels + 5 * unpacked + (compression === LZW ? 30 : 12) * packed + 4 * bytes.length,
    memory: 15 * pixels + 3 * unpacked + 2 * packed + bytes.length,
  };
}

async function decode(bytes: Uint8Array, header: TiffHeader): Promise<RgbImage> {
  const {stored, turn} = header;
  const file = plainFile(header, unpackStrips(bytes, header));
  const {Jimp} = await import('jimp');
  try {
    const {bitmap} = await Jimp.fromBuffer(file);
    return applyOrientation({...stored, data: dropAlpha(bitmap.data)}, turn);
  } catch (cause) {
    throw corrupt('TIFF', 'the decoder refuses it', cause);
  }
}

/** Strips that unpack to what their rows take: deflated ones unpacked, others measured. @throws InputError */
function unpackStrips(bytes: Uint8Array, header: TiffHeader): Uint8Array[] {
  const {compression, rowsPerStrip, rowBytes, strips} = header;
  const {height} = header.stored;
  return strips.map(({at, length}, i) => {
    const wanted = Math.min(rowsPerStrip, height - i * rowsPerStrip) * rowBytes;
    const packed = bytes.subarray(at, at + length);
    const short = (got: number) => corrupt('TIFF', `a strip of pixels has ${got} bytes, wanted are ${wanted}`);
    if (compression === DEFLATE || compression === OLD_DEFLATE) {
      const strip = inflated(packed, wanted);
      if (strip.length < wanted) throw short(strip.length);
      return strip.subarray(0, wanted);
    }
    const got = compression === LZW ? lzwLength(packed) : compression === STORED ? length : packBitsLength(packed);
    // Writers pad strips to whole words.
    if (got < wanted || got > wanted + 4096) throw short(got);
    return packed;
  });
}

function inflated(packed: Uint8Array, wanted: number): Uint8Array {
  try {
    return zlib.inflateSync(packed, {maxOutputLength: wanted + 4096});
  } catch (cause) {
    throw corrupt('TIFF', 'its pixels cannot be unpacked', cause);
  }
}

/** The number of bytes that PackBits unpacks to. */
function packBitsLength(packed: Uint8Array): number {
  let length = 0;
  for (let at = 0; at < packed.length; ) {
    const count = packed[at]!;
    if (count < 128) length += count + 1;
    else if (count > 128) length += 257 - count;
    at += count < 128 ? count + 2 : count > 128 ? 2 : 1;
  }
  return length;
}

/** A little-endian file of one page with nothing in it but these strips: other pages and tags never reach jimp. */
function plainFile(header: TiffHeader, strips: readonly Uint8Array[]): Buffer {
  const {bits, samples, photometric, compression, predictor, colors, rowsPerStrip} = header;
  const {width, height} = header.stored;
  let at = 8;
  const offsets = strips.map((strip) => {
    at += strip.length;
    return at - strip.length;
  });
  const stored = compression === LZW || compression === PACK_BITS ? compression : STORED!;
  const tags: readonly (readonly [tag: number, values: readonly number[]])[] = [
    [TAG.width, [width]],
    [TAG.height, [height]],
    [TAG.bits, Array.from({length: samples}, () => bits)],
    [TAG.compression, [stored]],
    [TAG.photometric, [photometric]],
    [TAG.offsets, offsets],
    [TAG.samples, [samples]],
    [TAG.rowsPerStrip, [rowsPerStrip]],
    [TAG.byteCounts, strips.map(({length}) => length)],
    [TAG.predictor, [predictor]],
    ...(photometric === 3 ? [[TAG.colors, colors] as const] : []),
  ];
  const table = Buffer.alloc(2 + tags.length * 12 + 4);
  table.writeUInt16LE(tags.length, 0);
  const tail: Buffer[] = [table];
  let end = at + table.length;
  for (const [i, [tag, values]] of tags.entries()) {
    // Colours are shorts by the format; everything else may be long.
    const short = tag === TAG.colors;
    const data = Buffer.alloc(values.length * (short ? 2 : 4));
    for (const [k, value] of values.entries())
      short ? data.writeUInt16LE(value, 2 * k) : data.writeUInt32LE(value, 4 * k);
    const entry = 2 + i * 12;
    table.writeUInt16LE(tag, entry);
    table.writeUInt16LE(short ? 3 : 4, entry + 2);
    table.writeUInt32LE(values.length, entry + 4);
    if (data.length <= 4) data.copy(table, entry + 8);
    else {
      table.writeUInt32LE(end, entry + 8);
      tail.push(data);
      end += data.length;
    }
  }
  const head = Buffer.from([0x49, 0x49, 42, 0, 0, 0, 0, 0]);
  head.writeUInt32LE(at, 4);
  return Buffer.concat([head, ...strips, ...tail]);
}

/** The first directory of a TIFF file. */
class Directory {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #little: boolean;
  /** By tag: its type, the number of its values, and where they are. */
  readonly #entries = new Map<number, {readonly type: number; readonly count: number; readonly at: number}>();

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#little = bytes[0] === 0x49;
    const start = bytes.length < 8 ? bytes.length : this.#view.getUint32(4, this.#little);
    if (start + 2 > bytes.length) throw corrupt('TIFF', 'it is cut off: its directory is missing');
    const count = this.#view.getUint16(start, this.#little);
    if (start + 2 + count * 12 > bytes.length) throw corrupt('TIFF', 'its directory is cut off');
    for (let at = start + 2; at < start + 2 + count * 12; at += 12) {
      const type = this.#view.getUint16(at + 2, this.#little);
      const values = this.#view.getUint32(at + 4, this.#little);
      const size = (VALUE_BYTES[type] ?? 0) * values;
      if (size === 0) continue;
      const from = size > 4 ? this.#view.getUint32(at + 8, this.#little) : at + 8;
      if (from + size > bytes.length) throw corrupt('TIFF', 'a value of its directory is cut off');
      this.#entries.set(this.#view.getUint16(at, this.#little), {type, count: values, at: from});
    }
  }

  /** The values of a tag; none where it is missing. */
  values(tag: number): number[] {
    const entry = this.#entries.get(tag);
    if (entry === undefined) return [];
    const size = VALUE_BYTES[entry.type]!;
    return Array.from({length: entry.count}, (_, i) => {
      const at = entry.at + i * size;
      if (size === 1) return this.#bytes[at]!;
      return size === 2 ? this.#view.getUint16(at, this.#little) : this.#view.getUint32(at, this.#little);
    });
  }

  /** The bytes of a tag. */
  raw(tag: number): Uint8Array | undefined {
    const entry = this.#entries.get(tag);
    return entry && this.#bytes.subarray(entry.at, entry.at + entry.count * VALUE_BYTES[entry.type]!);
  }
}
