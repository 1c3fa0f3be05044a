import type {RgbImage} from '../../data/image.js';
import {corrupt, type PictureCost, type PictureFormat, type PictureHeader, unsupported} from './format.js';

type Compression = 'none' | 'rle8' | 'rle4' | 'masks';

interface BmpHeader extends PictureHeader {
  readonly bits: number;
  readonly compression: Compression;
  readonly topDown: boolean;
  /** [256 · 3] red, green and blue of every index, 0..255; empty for more than 8 bits a pixel. */
  readonly palette: Uint8Array;
  readonly masks: readonly [number, number, number];
  /** The byte at which the pixels begin. */
  readonly pixels: number;
}

const HEADER_SIZES = [12, 40, 52, 56, 64, 108, 124];
const COMPRESSIONS: readonly Compression[] = ['none', 'rle8', 'rle4', 'masks'];
// The bit masks of 16 bits a pixel that Pillow reads: 5-5-5 and 5-6-5. With 24 and 32 bits it reads whole bytes.
const MASKS_16 = ['7c00,3e0,1f', 'f800,7e0,1f'];

/** Windows and OS/2 bitmaps: 1, 4, 8, 16, 24, 32 bits, run lengths, bit masks; alpha is dropped. */
export const bmp: PictureFormat<BmpHeader> = {name: 'BMP', inspect, cost, decode};

function inspect(bytes: Uint8Array): BmpHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = bytes.length >= 18 ? view.getUint32(14, true) : 0;
  if (!HEADER_SIZES.includes(size)) throw corrupt('BMP', `a header of ${size} bytes does not exist`);
  if (bytes.length < 14 + size) throw corrupt('BMP', 'the header is cut off');
  const old = size === 12;
  const width = old ? view.getUint16(18, true) : view.getInt32(18, true);
  const rows = old ? view.getUint16(20, true) : view.getInt32(22, true);
  const bits = view.getUint16(old ? 24 : 28, true);
  const compression = COMPRESSIONS[old ? 0 : view.getUint32(30, true)];
  if (width <= 0 || rows === 0) throw corrupt('BMP', `its size is ${width} × ${rows}`);
  if (![1, 4, 8, 16, 24, 32].includes(bits)) throw unsupported('BMP', `has ${bits} bits a pixel`);
  if (compression === undefined) throw unsupported('BMP', 'is compressed in a way that is not read here');
  if ((compression === 'rle8' && bits !== 8) || (compression === 'rle4' && bits !== 4))
    throw corrupt('BMP', `run lengths with ${bits} bits`);
  if (compression === 'masks' && bits < 16) throw corrupt('BMP', `bit masks with ${bits} bits`);
  const masks =
    compression === 'masks'
      ? readMasks(view, bits)
      : ([bits === 16 ? 0x7c00 : 0xff0000, bits === 16 ? 0x3e0 : 0xff00, bits === 16 ? 0x1f : 0xff] as const);
  const stated = old ? 0 : view.getUint32(46, true);
  const palette =
    bits <= 8 ? readPalette(bytes, 14 + size, stated === 0 ? 1 << bits : stated, old ? 3 : 4) : new Uint8Array();
  return {
    width,
    height: Math.abs(rows),
    orientation: 1,
    bits,
    compression,
    topDown: rows < 0,
    palette,
    masks,
    pixels: view.getUint32(10, true),
  };
}

function readMasks(view: DataView, bits: number): readonly [number, number, number] {
  if (view.byteLength < 66) throw corrupt('BMP', 'the bit masks are cut off');
  const masks = [view.getUint32(54, true), view.getUint32(58, true), view.getUint32(62, true)] as const;
  const bytes = masks.every((mask) => [0xff, 0xff00, 0xff0000, 0xff000000].includes(mask));
  if (bits === 16 ? MASKS_16.includes(masks.map((mask) => mask.toString(16)).join()) : bytes) return masks;
  throw unsupported('BMP', 'has an unusual layout of its bits');
}

function readPalette(bytes: Uint8Array, at: number, count: number, step: number): Uint8Array {
  if (count > 65536) throw corrupt('BMP', `a palette of ${count} colours`);
  const colors = new Uint8Array(768);
  for (let i = 0; i < Math.min(count, 256); i++) {
    for (let channel = 0; channel < 3; channel++) colors[i * 3 + channel] = bytes[at + i * step + 2 - channel] ?? 0;
  }
  return colors;
}

/** Run lengths are unpacked to one byte a pixel first; jumps and marks among them give no pixel, but are bytes. */
function cost({width, height}: BmpHeader, bytes: Uint8Array): PictureCost {
  const pixels = width * height;
  return {work: 20 * pixels + 20 * bytes.length, memory: 4 * pixels + bytes.length};
}

function decode(bytes: Uint8Array, header: BmpHeader): RgbImage {
  const {width, height, bits, compression, topDown, palette} = header;
  const data = new Uint8Array(width * height * 3);
  const indexed = bits <= 8;
  const rows = compression === 'rle8' || compression === 'rle4' ? runLengths(bytes, header) : undefined;
  const rowBytes = rows === undefined ? Math.ceil((width * bits) / 32) * 4 : width;
  const source = rows ?? bytes.subarray(header.pixels);
  if (source.length < rowBytes * (height - 1) + Math.ceil((width * (rows === undefined ? bits : 8)) / 8)) {
    throw corrupt('BMP', `it is cut off: ${source.length} of ${rowBytes * height} bytes of pixels are there`);
  }
  const sampleBits = rows === undefined ? bits : 8;
  const color = indexed ? undefined : trueColor(header);
  for (let y = 0; y < height; y++) {
    const from = rowBytes * (topDown ? y : height - 1 - y);
    let to = y * width * 3;
    for (let x = 0; x < width; x++, to += 3) {
      if (color !== undefined) {
        color(source, from + x * (bits >> 3), data, to);
        continue;
      }
      const shift = 8 - sampleBits - ((x * sampleBits) & 7);
      const index = (source[from + ((x * sampleBits) >> 3)]! >> shift) & ((1 << sampleBits) - 1);
      data[to] = palette[index * 3]!;
      data[to + 1] = palette[index * 3 + 1]!;
      data[to + 2] = palette[index * 3 + 2]!;
    }
  }
  return {width, height, data};
}

/** A colour of a 16-bit pixel: its bits, and the bytes of its levels. */
interface Channel {
  readonly mask: number;
  readonly shift: number;
  readonly table: Uint8Array;
}

function trueColor({bits, masks}: BmpHeader): (from: Uint8Array, at: number, to: Uint8Array, out: number) => void {
  if (bits === 16) {
    const [red, green, blue] = masks.map((mask) => {
      const shift = Math.clz32(mask & -mask) ^ 31;
      const levels = mask >>> shift;
      const table = Uint8Array.from({length: levels + 1}, (_, level) => Math.floor((level * 255) / levels));
      return {mask, shift, table};
    }) as [Channel, Channel, Channel];
    return (from, at, to, out) => {
      const pixel = from[at]! | (from[at + 1]! << 8);
      to[out] = red.table[(pixel & red.mask) >> red.shift]!;
      to[out + 1] = green.table[(pixel & green.mask) >> green.shift]!;
      to[out + 2] = blue.table[(pixel & blue.mask) >> blue.shift]!;
    };
  }
  const [red, green, blue] = masks.map((mask) => (Math.clz32(mask & -mask) ^ 31) >> 3) as [number, number, number];
  return (from, at, to, out) => {
    to[out] = from[at + red]!;
    to[out + 1] = from[at + green]!;
    to[out + 2] = from[at + blue]!;
  };
}

/**
 * Decodes run lengths to one palette index a pixel, in the order of the file; pixels that the runs leave out are index
 * 0.
 */
function runLengths(bytes: Uint8Array, {width, height, compression, pixels}: BmpHeader): Uint8Array {
  const out = new Uint8Array(width * height);
  const half = compression === 'rle4';
  const cutOff = (): Error => corrupt('BMP', `it is cut off: ${to} of ${out.length} pixels are there`);
  let at = pixels;
  let to = 0;
  // The column is counted apart from `to`: a full row stays at its end until its end mark comes.
  let x = 0;
  while (to < out.length) {
    if (at + 1 >= bytes.length) throw cutOff();
    const count = bytes[at]!;
    const value = bytes[at + 1]!;
    at += 2;
    if (count > 0) {
      const end = Math.min(to + Math.min(count, width - x), out.length);
      x = Math.min(x + count, width);
      for (let i = 0; to < end; i++) out[to++] = half ? (i % 2 === 0 ? value >> 4 : value & 15) : value;
    } else if (value === 0) {
      to += (width - (to % width)) % width;
      x = 0;
    } else if (value === 1) {
      break;
    } else if (value === 2) {
      if (at + 1 >= bytes.length) throw cutOff();
      to += bytes[at]! + bytes[at + 1]! * width;
      x = to % width;
      at += 2;
    } else {
      const size = half ? (value + 1) >> 1 : value;
      if (at + size > bytes.length) throw cutOff();
      for (let i = 0; i < value && to < out.length; i++) {
        const byte = bytes[at + (half ? i >> 1 : i)]!;
        out[to++] = half ? (i % 2 === 0 ? byte >> 4 : byte & 15) : byte;
      }
      x += value;
      at += size + (size & 1);
    }
  }
  return out;
}
