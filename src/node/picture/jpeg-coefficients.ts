import {
  type Band,
  BitReader,
  type Blocks,
  baselineDecoder,
  type EntropyPart,
  type Huffman,
  progressiveDecoder,
} from './jpeg-entropy.js';
import {corrupt, unsupported} from './format.js';
import {largest} from '../../runtime/extremes.js';

/** One component of a JPEG frame, and its coefficients before they are dequantised, [rows of blocks · stride] blocks. */
export interface JpegComponent extends Blocks {
  readonly id: number;
  /** Horizontal and vertical sampling factor, 1..4. */
  readonly h: number;
  readonly v: number;
  /** The index of its quantisation table. */
  readonly quantTable: number;
  /** The numbers of blocks across and down that hold picture. */
  readonly blocksWide: number;
  readonly blocksHigh: number;
  /** The number of blocks kept in a row of blocks, which fill whole MCUs. */
  readonly stride: number;
}

/** A JPEG file up to the inverse DCT. */
export interface JpegCoefficients {
  readonly width: number;
  readonly height: number;
  /** The largest sampling factors of all components. */
  readonly maxH: number;
  readonly maxV: number;
  readonly components: readonly JpegComponent[];
  /** By index, 64 divisors each, in zigzag order; undefined where the file defines none. */
  readonly quantTables: readonly (Uint16Array | undefined)[];
  /** Adobe's colour transform: 0 CMYK, 2 YCCK; undefined without an Adobe segment. */
  readonly adobe: number | undefined;
}

interface ScanPart extends EntropyPart {
  readonly component: JpegComponent;
}

/**
 * Reads a sequential or progressive Huffman-coded JPEG of 8 bits up to its coefficients.
 * @throws InputError `image-corrupt`, `image-format`
 */
export function readJpegCoefficients(bytes: Uint8Array): JpegCoefficients {
  const quantTables: (Uint16Array | undefined)[] = [];
  const huffman = {dc: [] as (Huffman | undefined)[], ac: [] as (Huffman | undefined)[]};
  let frame: Omit<JpegCoefficients, 'quantTables' | 'adobe'> | undefined;
  let progressive = false;
  let adobe: number | undefined;
  let restart = 0;
  for (let at = 2; at < bytes.length; ) {
    // Bytes between two segments are passed over, as in libjpeg.
    at = bytes.indexOf(0xff, at);
    if (at < 0) break;
    const marker = bytes[at + 1]!;
    if (marker === 0xff || marker === 0) {
      at++;
      continue;
    }
    if (marker === 0xd9) break;
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    const segment = bytes.subarray(at + 4, at + 2 + length);
    at += 2 + length;
    if (marker === 0xdb) readQuantTables(segment, quantTables);
    else if (marker === 0xc4) readHuffmanTables(segment, huffman);
    else if (marker === 0xdd) restart = (segment[0]! << 8) | segment[1]!;
    else if (marker === 0xee && String.fromCharCode(...segment.subarray(0, 5)) === 'Adobe') adobe = segment[11];
    else if (marker >= 0xc0 && marker <= 0xc2) {
      if (frame !== undefined) throw corrupt('JPEG', 'it has two frames');
      progressive = marker === 0xc2;
      frame = readFrame(segment);
    } else if (marker === 0xda) {
      if (frame === undefined) throw corrupt('JPEG', 'its pixels come before its size');
      const {parts, band} = readScanHeader(segment, frame.components, huffman);
      at += readScan(bytes.subarray(at), frame, parts, band, progressive, restart);
    }
  }
  if (frame === undefined) throw corrupt('JPEG', 'it holds no picture');
  return {...frame, quantTables, adobe};
}

function readQuantTables(segment: Uint8Array, tables: (Uint16Array | undefined)[]): void {
  for (let at = 0; at < segment.length; ) {
    const wide = segment[at]! >> 4 !== 0;
    const size = wide ? 128 : 64;
    const values = segment.subarray(at + 1, at + 1 + size);
    if (values.length < size) throw corrupt('JPEG', 'a quantisation table is cut off');
    tables[segment[at]! & 15] = Uint16Array.from({length: 64}, (_, k) =>
      wide ? (values[2 * k]! << 8) | values[2 * k + 1]! : values[k]!,
    );
    at += 1 + size;
  }
}

function readHuffmanTables(
  segment: Uint8Array,
  tables: {dc: (Huffman | undefined)[]; ac: (Huffman | undefined)[]},
): void {
  for (let at = 0; at < segment.length; ) {
    const counts = segment.subarray(at + 1, at + 17);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const values = segment.slice(at + 17, at + 17 + total);
    if (counts.length < 16 || values.length < total) throw corrupt('JPEG', 'a Huffman table is cut off');
    const largest = new Int32Array(17).fill(-1);
    const offset = new Int32Array(17);
    const short = new Uint16Array(256);
    for (let length = 1, code = 0, index = 0; length <= 16; length++, code <<= 1) {
      offset[length] = index - code;
      for (let i = 0; length <= 8 && i < counts[length - 1]!; i++) {
        const from = (code + i) << (8 - length);
        short.fill((length << 8) | values[index + i]!, from, from + (1 << (8 - length)));
      }
      index += counts[length - 1]!;
      code += counts[length - 1]!;
      if (counts[length - 1]! > 0) largest[length] = code - 1;
      if (code > 1 << length) throw corrupt('JPEG', 'a Huffman table has too many codes');
    }
    (segment[at]! >> 4 === 0 ? tables.dc : tables.ac)[segment[at]! & 15] = {largest, offset, values, short};
    at += 17 + total;
  }
}

function readFrame(segment: Uint8Array): Omit<JpegCoefficients, 'quantTables' | 'adobe'> {
  const height = (segment[1]! << 8) | segment[2]!;
  const width = (segment[3]! << 8) | segment[4]!;
  const count = segment[5]!;
  if (segment.length < 6 + count * 3) throw corrupt('JPEG', 'the frame header is cut off');
  const raw = Array.from({length: count}, (_, i) => {
    const [id, factors, quantTable] = segment.subarray(6 + i * 3) as unknown as [number, number, number];
    return {id, h: factors >> 4, v: factors & 15, quantTable};
  });
  if (raw.some(({h, v}) => h < 1 || h > 4 || v < 1 || v > 4))
    throw corrupt('JPEG', 'its sampling factors do not exist');
  const maxH = largest(raw.map(({h}) => h));
  const maxV = largest(raw.map(({v}) => v));
  if (raw.some(({h, v}) => maxH % h !== 0 || maxV % v !== 0)) throw unsupported('JPEG', 'is subsampled by a fraction');
  const components = raw.map((component) => {
    const stride = Math.ceil(width / (8 * maxH)) * component.h;
    const rows = Math.ceil(height / (8 * maxV)) * component.v;
    const blocksWide = Math.ceil(Math.ceil((width * component.h) / maxH) / 8);
    const blocksHigh = Math.ceil(Math.ceil((height * component.v) / maxV) / 8);
    const blocks = {coefficients: new Int16Array(stride * rows * 64), last: new Uint8Array(stride * rows)};
    return {...component, blocksWide, blocksHigh, stride, ...blocks};
  });
  return {width, height, maxH, maxV, components};
}

function readScanHeader(
  segment: Uint8Array,
  components: readonly JpegComponent[],
  huffman: {dc: readonly (Huffman | undefined)[]; ac: readonly (Huffman | undefined)[]},
): {parts: ScanPart[]; band: Band} {
  const count = segment[0]!;
  if (count < 1 || count > 4 || segment.length < 4 + count * 2) throw corrupt('JPEG', 'a scan header is cut off');
  const parts = Array.from({length: count}, (_, i) => {
    const component = components.find(({id}) => id === segment[1 + i * 2]);
    if (component === undefined) throw corrupt('JPEG', `there is no component ${segment[1 + i * 2]}`);
    const tables = segment[2 + i * 2]!;
    return {component, dc: huffman.dc[tables >> 4], ac: huffman.ac[tables & 15], predicted: 0};
  });
  const [start, end, bits] = segment.subarray(1 + count * 2) as unknown as [number, number, number];
  if (start > end || end > 63 || (bits & 15) > 13)
    throw corrupt('JPEG', `there are no coefficients ${start} to ${end}`);
  return {parts, band: {start, end, high: bits >> 4, low: bits & 15}};
}

/**
 * Reads the coefficients of one scan.
 * @returns the number of bytes read
 */
function readScan(
  data: Uint8Array,
  frame: {readonly width: number; readonly height: number; readonly maxH: number; readonly maxV: number},
  parts: readonly ScanPart[],
  band: Band,
  progressive: boolean,
  restart: number,
): number {
  const bits = new BitReader(data);
  const decoder = progressive ? progressiveDecoder(bits, band) : baselineDecoder(bits);
  const single = parts.length === 1 ? parts[0] : undefined;
  const across = single ? single.component.blocksWide : Math.ceil(frame.width / (8 * frame.maxH));
  const down = single ? single.component.blocksHigh : Math.ceil(frame.height / (8 * frame.maxV));
  for (let mcu = 0; mcu < across * down; mcu++) {
    if (restart > 0 && mcu > 0 && mcu % restart === 0) {
      bits.restart();
      decoder.reset();
      for (const part of parts) part.predicted = 0;
    }
    const row = Math.floor(mcu / across);
    const column = mcu % across;
    if (single) {
      decoder.block(single, (row * single.component.stride + column) * 64);
      continue;
    }
    for (const part of parts) {
      const {h, v, stride} = part.component;
      for (let y = 0; y < v; y++)
        for (let x = 0; x < h; x++) decoder.block(part, ((row * v + y) * stride + column * h + x) * 64);
    }
  }
  return bits.position;
}
