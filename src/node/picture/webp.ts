import type {RgbImage} from '../../data/image.js';
import {orientationOf} from './exif.js';
import {corrupt, type PictureCost, type PictureFormat, type PictureHeader} from './format.js';
import {type CodecModule, dropAlpha, WasmCodec} from './wasm-codec.js';

/** The types of chunks that are read. */
const CHUNKS = new Set(['VP8X', 'ANMF', 'ALPH', 'VP8 ', 'VP8L', 'EXIF', 'XMP ']);

interface Chunk {
  readonly type: string;
  readonly data: Uint8Array;
}

interface WebpHeader extends PictureHeader {
  /** The first frame of an animation: its place on the canvas and its own chunks. */
  readonly frame:
    | {
        readonly x: number;
        readonly y: number;
        readonly width: number;
        readonly height: number;
        readonly chunks: readonly Chunk[];
      }
    | undefined;
}

const codec = new WasmCodec(
  () => import('@jsquash/webp/decode.js') as unknown as Promise<CodecModule>,
  '@jsquash/webp/codec/dec/webp_dec.wasm',
);

/**
 * WebP by libwebp; of an animation the first frame, on black where it does not fill the canvas. Alpha is dropped, not
 * composited.
 */
export const webp: PictureFormat<WebpHeader> = {name: 'WebP', inspect, cost, decode};

function inspect(bytes: Uint8Array): WebpHeader {
  if (bytes.length < 20) throw corrupt('WebP', 'the header is cut off');
  const riff = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(4, true);
  if (riff + 8 > bytes.length) throw corrupt('WebP', `it is cut off: ${bytes.length} of ${riff + 8} bytes are there`);
  const chunks = readChunks(bytes.subarray(12, riff + 8));
  const canvas = chunks.find(({type}) => type === 'VP8X')?.data;
  const exif = chunks.find(({type}) => type === 'EXIF')?.data;
  const orientation = orientationOf({exif, xmp: chunks.find(({type}) => type === 'XMP ')?.data});
  const animated = canvas !== undefined && canvas.length >= 10 && (canvas[0]! & 2) !== 0;
  if (!animated) return {...bitstreamSize(chunks), orientation, frame: undefined};
  const first = chunks.find(({type}) => type === 'ANMF')?.data;
  if (first === undefined || first.length < 16) throw corrupt('WebP', 'the animation has no frame');
  const frame = {x: word24(first, 0) * 2, y: word24(first, 3) * 2, chunks: readChunks(first.subarray(16))};
  const size = bitstreamSize(frame.chunks);
  const header = {width: word24(canvas, 4) + 1, height: word24(canvas, 7) + 1, orientation, frame: {...frame, ...size}};
  if (frame.x + size.width > header.width || frame.y + size.height > header.height) {
    throw corrupt('WebP', 'the first frame is larger than the canvas');
  }
  return header;
}

/** The decoder holds RGBA, a copy of it leaves its memory, and RGB is made of that. */
function cost({width, height, frame}: WebpHeader, bytes: Uint8Array): PictureCost {
  const pixels = width * height;
  const decoded = frame === undefined ? pixels : frame.width * frame.height;
  return {work: 60 * decoded + 5 * pixels + 80 * bytes.length, memory: 16 * decoded + 3 * pixels + 3 * bytes.length};
}

/** The chunks that a picture is made of, the first of each type; an animation has thousands that do not matter. */
function readChunks(bytes: Uint8Array): Chunk[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks = new Map<string, Chunk>();
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    if (at + 8 + length > bytes.length) throw corrupt('WebP', 'a chunk is longer than the file');
    const type = String.fromCharCode(bytes[at]!, bytes[at + 1]!, bytes[at + 2]!, bytes[at + 3]!);
    if (CHUNKS.has(type) && !chunks.has(type)) chunks.set(type, {type, data: bytes.subarray(at + 8, at + 8 + length)});
    at += 8 + length + (length & 1);
  }
  return [...chunks.values()];
}

/** The size that the compressed picture itself states, for which the decoder allocates whatever the container says. */
function bitstreamSize(chunks: readonly Chunk[]): {width: number; height: number} {
  const found = chunks.find(({type}) => type === 'VP8 ' || type === 'VP8L');
  if (found === undefined || found.data.length < 10) throw corrupt('WebP', 'it holds no picture');
  const {type, data} = found;
  if (type === 'VP8 ') {
    if (data[3] !== 0x9d || data[4] !== 0x01 || data[5] !== 0x2a)
      throw corrupt('WebP', 'its first frame is no key frame');
    return nonZero((data[6]! | (data[7]! << 8)) & 0x3fff, (data[8]! | (data[9]! << 8)) & 0x3fff);
  }
  if (data[0] !== 0x2f) throw corrupt('WebP', 'the lossless signature is missing');
  const bits = data[1]! | (data[2]! << 8) | (data[3]! << 16) | (data[4]! << 24);
  return {width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1};
}

function nonZero(width: number, height: number): {width: number; height: number} {
  if (width === 0 || height === 0) throw corrupt('WebP', `its size is ${width} × ${height}`);
  return {width, height};
}

async function decode(bytes: Uint8Array, {width, height, frame}: WebpHeader): Promise<RgbImage> {
  if (frame === undefined) return decodeStill(bytes, width, height);
  const part = await decodeStill(stillFile(frame), frame.width, frame.height);
  if (part.width === width && part.height === height) return part;
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < part.height; y++) {
    data.set(part.data.subarray(y * part.width * 3, (y + 1) * part.width * 3), ((frame.y + y) * width + frame.x) * 3);
  }
  return {width, height, data};
}

async function decodeStill(bytes: Uint8Array, width: number, height: number): Promise<RgbImage> {
  try {
    const picture = await codec.decode(bytes, width * height);
    return {width: picture.width, height: picture.height, data: dropAlpha(picture.data)};
  } catch (cause) {
    throw corrupt('WebP', 'the decoder refuses it', cause);
  }
}

/** A frame of an animation as a file of its own: the decoder does not know animations. */
function stillFile({width, height, chunks}: NonNullable<WebpHeader['frame']>): Uint8Array {
  const alpha = chunks.some(({type}) => type === 'ALPH');
  const canvas = Uint8Array.of(16, 0, 0, 0, ...bytes24(width - 1), ...bytes24(height - 1));
  const parts = chunks.filter(({type}) => type === 'ALPH' || type === 'VP8 ' || type === 'VP8L');
  const all = alpha ? [{type: 'VP8X', data: canvas}, ...parts] : parts;
  const body = Buffer.concat(all.map(({type, data}) => chunkBytes(type, data)));
  return Buffer.concat([Buffer.from('RIFF'), uint32(body.length + 4), Buffer.from('WEBP'), body]);
}

function chunkBytes(type: string, data: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(type), uint32(data.length), data, Buffer.alloc(data.length & 1)]);
}

function uint32(value: number): Uint8Array {
  return Uint8Array.of(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);
}

function bytes24(value: number): number[] {
  return [value & 255, (value >> 8) & 255, value >> 16];
}

function word24(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
}
