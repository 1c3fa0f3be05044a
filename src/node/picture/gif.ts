import type {RgbImage} from '../../data/image.js';
import {corrupt, type PictureCost, type PictureFormat, type PictureHeader} from './format.js';

interface GifHeader extends PictureHeader {
  readonly frame: {readonly x: number; readonly y: number; readonly width: number; readonly height: number};
  readonly interlaced: boolean;
  /** [256 · 3] red, green and blue of every index, 0..255. */
  readonly palette: Uint8Array;
  /** The palette index of the colour around a frame that is smaller than the screen. */
  readonly surround: number;
  readonly codeBits: number;
  /** The byte at which the frame's data blocks begin. */
  readonly data: number;
}

/**
 * The first frame of a GIF as Pillow converts it: transparent pixels have their palette colour; a frame that does not
 * fill the screen is surrounded by the transparent colour, else by colour 0; a frame larger than the screen enlarges
 * the picture.
 */
export const gif: PictureFormat<GifHeader> = {name: 'GIF', inspect, cost, decode};

function inspect(bytes: Uint8Array): GifHeader {
  const word = (at: number): number => byteAt(bytes, at) | (byteAt(bytes, at + 1) << 8);
  const screen = {width: word(6), height: word(8)};
  const flags = byteAt(bytes, 10);
  let at = 13;
  let palette: Uint8Array | undefined;
  const readPalette = (bits: number): Uint8Array => {
    if (at + (3 << bits) > bytes.length) throw corrupt('GIF', 'the palette is cut off');
    const colors = new Uint8Array(768);
    colors.set(bytes.subarray(at, at + (3 << bits)));
    at += 3 << bits;
    return colors;
  };
  if (flags & 128) palette = readPalette((flags & 7) + 1);
  let surround = 0;
  for (;;) {
    const kind = byteAt(bytes, at++);
    if (kind === 0x21) {
      const label = byteAt(bytes, at++);
      if (label === 0xf9 && byteAt(bytes, at) >= 4 && byteAt(bytes, at + 1) & 1) surround = byteAt(bytes, at + 4);
      while (byteAt(bytes, at) > 0) at += byteAt(bytes, at) + 1;
      at++;
    } else if (kind === 0x2c) {
      break;
    } else if (kind === 0x3b) {
      throw corrupt('GIF', 'it holds no picture');
    }
  }
  const frame = {x: word(at), y: word(at + 2), width: word(at + 4), height: word(at + 6)};
  const frameFlags = byteAt(bytes, at + 8);
  at += 9;
  if (frameFlags & 128) palette = readPalette((frameFlags & 7) + 1);
  const codeBits = byteAt(bytes, at++);
  if (codeBits < 1 || codeBits > 11) throw corrupt('GIF', `a code size of ${codeBits} bits does not exist`);
  const width = Math.max(screen.width, frame.x + frame.width);
  const height = Math.max(screen.height, frame.y + frame.height);
  if (frame.width === 0 || frame.height === 0) throw corrupt('GIF', `its size is ${frame.width} × ${frame.height}`);
  const gray = Uint8Array.from({length: 768}, (_, i) => Math.floor(i / 3));
  return {
    width,
    height,
    orientation: 1,
    frame,
    interlaced: (frameFlags & 64) !== 0,
    palette: palette ?? gray,
    surround,
    codeBits,
    data: at,
  };
}

/** A pixel of the screen is filled, one of the frame unpacked besides; clear codes give no pixel, but are bytes. */
function cost({width, height, frame}: GifHeader, bytes: Uint8Array): PictureCost {
  const unpacked = frame.width * frame.height;
  return {
    work: 8 * width * height + 35 * unpacked + 20 * bytes.length,
    memory: 3 * width * height + unpacked + bytes.length,
  };
}

function decode(bytes: Uint8Array, header: GifHeader): RgbImage {
  const {width, height, frame, palette} = header;
  const indices = decompress(bytes, header);
  const data = new Uint8Array(width * height * 3);
  const [red, green, blue] = palette.subarray(header.surround * 3, header.surround * 3 + 3);
  if (frame.width < width || frame.height < height) {
    for (let i = 0; i < data.length; i += 3) {
      data[i] = red!;
      data[i + 1] = green!;
      data[i + 2] = blue!;
    }
  }
  let from = 0;
  for (const y of rowOrder(frame.height, header.interlaced)) {
    let to = ((frame.y + y) * width + frame.x) * 3;
    for (let x = 0; x < frame.width; x++) {
      const index = indices[from++]! * 3;
      data[to++] = palette[index]!;
      data[to++] = palette[index + 1]!;
      data[to++] = palette[index + 2]!;
    }
  }
  return {width, height, data};
}

function* rowOrder(height: number, interlaced: boolean): Generator<number> {
  const passes = interlaced
    ? [
        [0, 8],
        [4, 8],
        [2, 4],
        [1, 2],
      ]
    : [[0, 1]];
  for (const [first, step] of passes) for (let y = first!; y < height; y += step!) yield y;
}

/** Undoes LZW: one palette index a pixel of the frame, in the order of the file. */
function decompress(bytes: Uint8Array, {frame, codeBits, data}: GifHeader): Uint8Array {
  const pixels = new Uint8Array(frame.width * frame.height);
  const clear = 1 << codeBits;
  const end = clear + 1;
  // A code is the string of `prefix` and then `suffix`; codes below `clear` are single pixels.
  const prefix = new Uint16Array(4096);
  const suffix = new Uint8Array(4096);
  const length = new Uint16Array(4096).fill(1);
  for (let i = 0; i < clear; i++) suffix[i] = i;
  let bits = codeBits + 1;
  let next = end + 1;
  let previous = -1;
  let first = 0;
  let buffer = 0;
  let held = 0;
  let filled = 0;
  let at = data;
  let left = 0;
  while (filled < pixels.length) {
    while (held < bits) {
      if (left === 0) {
        left = byteAt(bytes, at++);
        if (left === 0) throw corrupt('GIF', `it is cut off: ${filled} of ${pixels.length} pixels are there`);
      }
      buffer |= byteAt(bytes, at++) << held;
      held += 8;
      left--;
    }
    const code = buffer & ((1 << bits) - 1);
    buffer >>>= bits;
    held -= bits;
    if (code === clear) {
      bits = codeBits + 1;
      next = end + 1;
      previous = -1;
      continue;
    }
    if (code === end) throw corrupt('GIF', `it ends early: ${filled} of ${pixels.length} pixels are there`);
    if (code > next || (code === next && previous < 0)) throw corrupt('GIF', `code ${code} has no meaning yet`);
    // The code about to be defined is the previous string and its own first pixel.
    const known = code < next ? code : previous;
    const size = length[known]! + (code < next ? 0 : 1);
    let walk = known;
    let to = filled + length[known]! - 1;
    for (let i = length[known]!; i > 0; i--) {
      first = suffix[walk]!;
      if (to < pixels.length) pixels[to] = first;
      to--;
      walk = prefix[walk]!;
    }
    if (code === next && filled + size - 1 < pixels.length) pixels[filled + size - 1] = first;
    filled += size;
    if (previous >= 0 && next < 4096) {
      prefix[next] = previous;
      suffix[next] = first;
      length[next] = length[previous]! + 1;
      next++;
      if (next === 1 << bits && bits < 12) bits++;
    }
    previous = code;
  }
  return pixels;
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw corrupt('GIF', 'it is cut off');
  return byte;
}
