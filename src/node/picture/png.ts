import zlib from 'node:zlib';
import type {RgbImage} from '../../data/image.js';
import {orientationOf} from './exif.js';
import {readPngText, TEXTS, unhex} from './png-text.js';
import {corrupt, type PictureCost, type PictureFormat, type PictureHeader} from './format.js';

const SIGNATURE = 8;
/** The name of the chunks of pixels as a big-endian number. */
const IDAT = 0x49444154;
/** By colour type: the number of samples a pixel, and the bits a sample that go with it. */
const COLOR_TYPES: Readonly<Record<number, {readonly samples: number; readonly depths: readonly number[]}>> = {
  0: {samples: 1, depths: [1, 2, 4, 8, 16]},
  2: {samples: 3, depths: [8, 16]},
  3: {samples: 1, depths: [1, 2, 4, 8]},
  4: {samples: 2, depths: [8, 16]},
  6: {samples: 4, depths: [8, 16]},
};
/** The passes of Adam7: first column, first row, column step, row step. */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;
const WHOLE = [[0, 0, 1, 1]] as const;

interface PngHeader extends PictureHeader {
  readonly depth: number;
  readonly colorType: number;
  readonly interlaced: boolean;
  readonly palette: Uint8Array;
  /** The bytes of all IDAT chunks together. */
  readonly packed: number;
}

/**
 * PNG in all 15 colour formats, interlaced or not, as Pillow converts them: alpha and transparency dropped, 16-bit
 * colour cut to its high byte, but 16-bit gray clipped at 255 (as Pillow's mode I;16 is); the default picture of an
 * APNG. The end chunk may be missing, as with PIL; pixel data may not.
 */
export const png: PictureFormat<PngHeader> = {name: 'PNG', inspect, cost, decode, decodeOpened};

function inspect(bytes: Uint8Array): PngHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header: Omit<PngHeader, 'palette' | 'packed' | 'orientation'> | undefined;
  let palette: Uint8Array = new Uint8Array();
  let exif: Uint8Array | undefined;
  let profile: Uint8Array | undefined;
  let xmp: Uint8Array | undefined;
  let packed = 0;
  for (let at = SIGNATURE; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const data = bytes.subarray(at + 8, at + 8 + length);
    const cut = data.length < length;
    if (header === undefined && type !== 'IHDR') throw corrupt('PNG', `its first chunk is not IHDR`);
    if (type === 'IHDR' || type === 'PLTE') {
      if (cut || at + 12 + length > bytes.length) throw corrupt('PNG', `the ${type} chunk is cut off`);
      if (zlib.crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length)) {
        throw corrupt('PNG', `the checksum of the ${type} chunk is wrong`);
      }
    }
    if (type === 'IHDR') header = readHeader(data);
    else if (type === 'PLTE') palette = data;
    else if (type === 'IDAT') packed += data.length;
    else if (type === 'eXIf' && !cut) exif = data;
    else if (TEXTS.has(type) && !cut) {
      profile = readPngText(type, data, 'Raw profile type exif') ?? profile;
      xmp = readPngText(type, data, 'XML:com.adobe.xmp') ?? xmp;
    } else if (type === 'IEND') break;
    at += 12 + length;
  }
  if (header === undefined) throw corrupt('PNG', 'the header is cut off');
  return {...header, palette, packed, orientation: orientationOf({exif: exif ?? unhex(profile), xmp})};
}

function readHeader(data: Uint8Array): Omit<PngHeader, 'palette' | 'packed' | 'orientation'> {
  if (data.length !== 13) throw corrupt('PNG', `the header has ${data.length} bytes, wanted 13`);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, colorType, compression, filter, interlace] = data.subarray(8) as unknown as [
    number,
    number,
    number,
    number,
    number,
  ];
  if (width === 0 || height === 0) throw corrupt('PNG', `its size is ${width} × ${height}`);
  if (!COLOR_TYPES[colorType]?.depths.includes(depth))
    throw corrupt('PNG', `there is no colour type ${colorType} with ${depth} bits`);
  if (compression !== 0 || filter !== 0 || interlace > 1) throw corrupt('PNG', 'the header names an unknown method');
  return {width, height, depth, colorType, interlaced: interlace === 1};
}

/** Everything is unpacked twice where alpha is kept. A row takes as long as 32 bytes beside its own. */
function cost(header: PngHeader, bytes: Uint8Array): PictureCost {
  const {width, height, packed} = header;
  const passes = passesOf(header);
  const unpacked = unpackedSize(passes);
  const rows = passes.reduce((sum, pass) => sum + pass.rows, 0);
  const alpha = keepsAlpha(header) ? 2 : 1;
  return {
    work: alpha * 7 * (unpacked + 3 * width * height + 32 * rows) + 10 * bytes.length,
    memory: unpacked + (alpha + 2) * width * height + packed + bytes.length,
  };
}

async function decode(bytes: Uint8Array, header: PngHeader): Promise<RgbImage> {
  const {width, height} = header;
  return {width, height, data: await read(bytes, header, rowConverter(header), 3)};
}

/**
 * Notes the modes that resize otherwise: P and 1 (a table, bilevel) are not mixed; RGBA and LA have alpha, the last
 * sample.
 */
async function decodeOpened(bytes: Uint8Array, header: PngHeader): Promise<RgbImage> {
  const image = await decode(bytes, header);
  const {depth, colorType} = header;
  if (colorType === 3 || (colorType === 0 && depth === 1)) return {...image, opened: 'table'};
  if (!keepsAlpha(header)) return image;
  const stride = (COLOR_TYPES[colorType]!.samples * depth) / 8;
  const last = stride - depth / 8;
  const toAlpha: RowConverter = (row, columns, out, at, step) => {
    for (let x = 0; x < columns; x++) out[at + x * step] = row[x * stride + last]!;
  };
  return {...image, opened: {alpha: await read(bytes, header, toAlpha, 1)}};
}

function keepsAlpha({colorType}: PngHeader): boolean {
  return colorType === 4 || colorType === 6;
}

/** A pass over some of the pixels: first column and row, steps, and how much it has. */
interface Pass {
  readonly x0: number;
  readonly y0: number;
  readonly dx: number;
  readonly dy: number;
  readonly columns: number;
  readonly rows: number;
  readonly rowBytes: number;
}

function passesOf({width, height, depth, colorType, interlaced}: PngHeader): readonly Pass[] {
  const bits = depth * COLOR_TYPES[colorType]!.samples;
  return (interlaced ? PASSES : WHOLE)
    .map(([x0, y0, dx, dy]) => {
      const columns = Math.ceil((width - x0) / dx);
      const rows = Math.ceil((height - y0) / dy);
      return {x0, y0, dx, dy, columns, rows, rowBytes: Math.ceil((columns * bits) / 8)};
    })
    .filter(({columns, rows}) => columns > 0 && rows > 0);
}

/** The bytes of all rows, each with the number of its filter. */
function unpackedSize(passes: readonly Pass[]): number {
  return passes.reduce((sum, {rows, rowBytes}) => sum + rows * (rowBytes + 1), 0);
}

/**
 * Unpacks the pixels, and converts them row by row.
 * @param channels the number of bytes that `convert` writes a pixel
 * @returns height · width · channels bytes
 */
async function read(
  bytes: Uint8Array,
  header: PngHeader,
  convert: RowConverter,
  channels: number,
): Promise<Uint8Array> {
  const {width, height, depth, colorType} = header;
  const bits = depth * COLOR_TYPES[colorType]!.samples;
  const passes = passesOf(header);
  const raw = await inflatePixels(packedPixels(bytes, header.packed), unpackedSize(passes));
  const data = new Uint8Array(width * height * channels);
  let at = 0;
  for (const {x0, y0, dx, dy, columns, rows, rowBytes} of passes) {
    let above: Uint8Array = new Uint8Array(rowBytes);
    for (let row = 0; row < rows; row++) {
      const current = raw.subarray(at + 1, at + 1 + rowBytes);
      unfilter(raw[at]!, current, above, Math.max(1, bits >> 3));
      convert(current, columns, data, ((y0 + row * dy) * width + x0) * channels, dx * channels);
      above = current;
      at += 1 + rowBytes;
    }
  }
  return data;
}

/** The content of all IDAT chunks, `size` bytes. */
function packedPixels(bytes: Uint8Array, size: number): Uint8Array {
  const packed = new Uint8Array(size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = SIGNATURE, filled = 0; at + 8 <= bytes.length && filled < size; ) {
    const length = view.getUint32(at);
    if (view.getUint32(at + 4) === IDAT) {
      const data = bytes.subarray(at + 8, at + 8 + length);
      packed.set(data, filled);
      filled += data.length;
    }
    at += 12 + length;
  }
  return packed;
}

/** Unpacks `wanted` bytes, piece by piece, so that nothing but the result grows with them. */
async function inflatePixels(packed: Uint8Array, wanted: number): Promise<Uint8Array> {
  const raw = new Uint8Array(wanted);
  let filled = 0;
  // With the sync flush a cut-off stream gives its beginning.
  const stream = zlib.createInflate({chunkSize: 1 << 18, finishFlush: zlib.constants.Z_SYNC_FLUSH});
  stream.end(packed);
  try {
    for await (const piece of stream as AsyncIterable<Uint8Array>) {
      raw.set(piece.subarray(0, wanted - filled), Math.min(filled, wanted));
      filled += piece.length;
      // PIL, too, overlooks bytes after the last row.
      if (filled > wanted + 65536) throw new Error(`they are more than ${wanted} bytes`);
    }
  } catch (cause) {
    throw corrupt('PNG', `its pixels cannot be unpacked (${cause instanceof Error ? cause.message : cause})`, cause);
  }
  if (filled < wanted) throw corrupt('PNG', `it is cut off: ${filled} of ${wanted} bytes of pixels are there`);
  return raw;
}

function unfilter(filter: number, row: Uint8Array, above: Uint8Array, step: number): void {
  const n = row.length;
  switch (filter) {
    case 0:
      return;
    case 1:
      for (let i = step; i < n; i++) row[i] = row[i]! + row[i - step]!;
      return;
    case 2:
      for (let i = 0; i < n; i++) row[i] = row[i]! + above[i]!;
      return;
    case 3:
      for (let i = 0; i < n; i++) row[i] = row[i]! + (((i < step ? 0 : row[i - step]!) + above[i]!) >> 1);
      return;
    case 4:
      for (let i = 0; i < n; i++) {
        const a = i < step ? 0 : row[i - step]!;
        const b = above[i]!;
        const c = i < step ? 0 : above[i - step]!;
        const pa = b > c ? b - c : c - b;
        const pb = a > c ? a - c : c - a;
        const sum = a + b - 2 * c;
        const pc = sum < 0 ? -sum : sum;
        row[i] = row[i]! + (pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
      }
      return;
    default:
      throw corrupt('PNG', `there is no row filter ${filter}`);
  }
}

/** Writes `columns` pixels of an unfiltered row to `out`, from `at` on, `step` bytes apart. */
type RowConverter = (row: Uint8Array, columns: number, out: Uint8Array, at: number, step: number) => void;

function rowConverter({depth, colorType, palette}: PngHeader): RowConverter {
  const bytes = depth === 16 ? 2 : 1;
  if (colorType === 2 || colorType === 6) {
    const stride = COLOR_TYPES[colorType]!.samples * bytes;
    return (row, columns, out, at, step) => {
      for (let x = 0; x < columns; x++) {
        out[at + x * step] = row[x * stride]!;
        out[at + x * step + 1] = row[x * stride + bytes]!;
        out[at + x * step + 2] = row[x * stride + 2 * bytes]!;
      }
    };
  }
  if (colorType === 3 && palette.length < 3) throw corrupt('PNG', 'it has no palette');
  const colors = colorType === 3 ? paletteTable(palette) : grayTable(depth);
  const sample = sampler(depth, colorType);
  return (row, columns, out, at, step) => {
    for (let x = 0; x < columns; x++) {
      const color = sample(row, x) * 3;
      out[at + x * step] = colors[color]!;
      out[at + x * step + 1] = colors[color + 1]!;
      out[at + x * step + 2] = colors[color + 2]!;
    }
  };
}

function sampler(depth: number, colorType: number): (row: Uint8Array, x: number) => number {
  if (depth === 16 && colorType === 0) return (row, x) => (row[2 * x]! > 0 ? 255 : row[2 * x + 1]!);
  if (depth === 16) return (row, x) => row[4 * x]!;
  if (colorType === 4) return (row, x) => row[2 * x]!;
  if (depth === 8) return (row, x) => row[x]!;
  const perByte = 8 / depth;
  const mask = (1 << depth) - 1;
  return (row, x) => (row[Math.floor(x / perByte)]! >> (8 - depth - (x % perByte) * depth)) & mask;
}

/** [256 · 3] bytes; an index beyond the palette is black, as in Pillow. */
function paletteTable(palette: Uint8Array): Uint8Array {
  const colors = new Uint8Array(768);
  colors.set(palette.subarray(0, 768));
  return colors;
}

function grayTable(depth: number): Uint8Array {
  const levels = depth >= 8 ? 255 : (1 << depth) - 1;
  return Uint8Array.from({length: (levels + 1) * 3}, (_, i) => (Math.floor(i / 3) * 255) / levels);
}
