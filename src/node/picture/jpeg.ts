import type {RgbImage} from '../../data/image.js';
import {largest} from '../../runtime/extremes.js';
import {orientationOf, startsWith} from './exif.js';
import {corrupt, type PictureCost, type PictureFormat, type PictureHeader, unsupported} from './format.js';
import {type CodecModule, dropAlpha, WasmCodec} from './wasm-codec.js';

/** The beginnings of segments of metadata. */
const EXIF = [...Buffer.from('Exif\0\0')];
const XMP = [...Buffer.from('http://ns.adobe.com/xap/1.0/\0')];

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly progressive: boolean;
  /** By the order of the file: the name of a component and its number of blocks of 64 samples. */
  readonly components: readonly {readonly id: number; readonly blocks: number}[];
}

interface JpegHeader extends PictureHeader, Frame {
  /** The blocks that all scans pass over, and those that scans pass over to refine what earlier ones read. */
  readonly passed: {readonly first: number; readonly refining: number};
}

const codec = new WasmCodec(
  () => import('@jsquash/jpeg/decode.js') as unknown as Promise<CodecModule>,
  '@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm',
);

/**
 * JPEG by mozjpeg, whose decoder gives the bytes of libjpeg-turbo and so of Pillow; CMYK, which it does not take, by
 * `cmyk-jpeg.ts`. A file without its end mark is refused, as by PIL.
 */
export const jpeg: PictureFormat<JpegHeader> = {name: 'JPEG', inspect, cost, decode};

/**
 * Walks over all segments, to find a file that is cut off before it is decoded: the decoder would fill it up with gray.
 */
function inspect(bytes: Uint8Array): JpegHeader {
  let frame: Frame | undefined;
  const exif: Uint8Array[] = [];
  let xmp: Uint8Array | undefined;
  let scans = 0;
  const passed = {first: 0, refining: 0};
  for (let at = 2; ; ) {
    at = bytes.indexOf(0xff, at);
    while (at >= 0 && bytes[at] === 0xff) at++;
    const marker = at < 0 ? undefined : bytes[at];
    if (marker === undefined) throw corrupt('JPEG', 'it is cut off: its end mark is missing');
    at++;
    if (marker === 0xd9) break;
    // Stuffed bytes and restart marks belong to the pixels.
    if (marker === 0 || marker === 1 || (marker >= 0xd0 && marker <= 0xd8)) continue;
    const length = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    if (length < 2 || at + length > bytes.length) throw corrupt('JPEG', 'it is cut off inside a header');
    const segment = (): Uint8Array => bytes.subarray(at + 2, at + length);
    if (marker === 0xe1) {
      // A large EXIF block is cut into segments; of XMP the last one counts, as in Pillow.
      if (startsWith(segment(), EXIF)) exif.push(segment().subarray(exif.length > 0 ? EXIF.length : 0));
      else if (startsWith(segment(), XMP)) xmp = segment().subarray(XMP.length);
    } else if (isFrame(marker)) {
      // The decoders take the first frame: the limits are checked on the same one.
      if (frame !== undefined) throw corrupt('JPEG', 'it has two frames');
      frame = readFrame(marker, segment());
    } else if (marker === 0xda) {
      if (frame === undefined) throw corrupt('JPEG', 'its pixels come before its size');
      scans++;
      const scan = readScan(segment(), frame);
      passed[scan.refining ? 'refining' : 'first'] += scan.blocks;
    }
    at += length;
  }
  if (frame === undefined || scans === 0) throw corrupt('JPEG', 'it holds no picture');
  return {...frame, orientation: orientationOf({exif: joined(exif), xmp}), passed};
}

/** The pieces as one; a piece that is alone is not copied. */
function joined(pieces: readonly Uint8Array[]): Uint8Array | undefined {
  return pieces.length > 1 ? Buffer.concat(pieces) : pieces[0];
}

function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

function readFrame(marker: number, segment: Uint8Array): Frame {
  const count = segment[5] ?? 0;
  if (segment.length < 6 + count * 3) throw corrupt('JPEG', 'the frame header is cut off');
  const [bits, h1, h0, w1, w0] = segment as unknown as [number, number, number, number, number];
  const width = (w1 << 8) | w0;
  const height = (h1 << 8) | h0;
  if (bits !== 8) throw unsupported('JPEG', `has ${bits} bits a sample, only 8 are read`);
  if (marker !== 0xc0 && marker !== 0xc1 && marker !== 0xc2)
    throw unsupported('JPEG', 'is lossless, hierarchical or arithmetic');
  if (width === 0 || height === 0) throw corrupt('JPEG', `its size is ${width} × ${height}`);
  if (count !== 1 && count !== 3 && count !== 4) throw unsupported('JPEG', `has ${count} colour components`);
  const factors = Array.from({length: count}, (_, i) => {
    const both = segment[7 + i * 3]!;
    return {id: segment[6 + i * 3]!, h: both >> 4, v: both & 15};
  });
  if (factors.some(({h, v}) => h < 1 || h > 4 || v < 1 || v > 4))
    throw corrupt('JPEG', 'its sampling factors do not exist');
  const across = Math.ceil(width / (8 * largest(factors.map(({h}) => h))));
  const down = Math.ceil(height / (8 * largest(factors.map(({v}) => v))));
  const components = factors.map(({id, h, v}) => ({id, blocks: across * h * down * v}));
  return {width, height, progressive: marker === 0xc2, components};
}

/** The blocks that a scan passes over; what is wrong with its header, the decoders find. */
function readScan(segment: Uint8Array, {components}: Frame): {readonly blocks: number; readonly refining: boolean} {
  const count = segment[0] ?? 0;
  let blocks = 0;
  for (let i = 0; i < count; i++) blocks += components.find(({id}) => id === segment[1 + i * 2])?.blocks ?? 0;
  return {blocks, refining: (segment[3 + count * 2] ?? 0) >> 4 > 0};
}

/**
 * A pixel is transformed and becomes RGB, a byte of the file some symbols; each scan of a progressive file passes over
 * all its blocks, even where it says nothing of them. The decoder holds RGBA, a copy of it leaves its memory, and RGB is
 * made of that; `cmyk-jpeg.ts` has planes instead. Progressive files keep all coefficients.
 */
function cost({width, height, components, progressive, passed}: JpegHeader, bytes: Uint8Array): PictureCost {
  const pixels = width * height;
  const samples = 64 * components.reduce((sum, {blocks}) => sum + blocks, 0);
  const cmyk = components.length === 4;
  return {
    work:
      (cmyk ? 17 * samples + 20 * pixels : 45 * pixels) +
      60 * bytes.length +
      20 * passed.first +
      (cmyk ? 250 : 110) * passed.refining,
    memory: (cmyk ? 3 * samples + 7 * pixels : 11 * pixels + (progressive ? 2 * samples : 0)) + 3 * bytes.length,
  };
}

async function decode(bytes: Uint8Array, {width, height, components}: JpegHeader): Promise<RgbImage> {
  if (components.length === 4) return (await import('./cmyk-jpeg.js')).decodeCmykJpeg(bytes);
  try {
    const picture = await codec.decode(bytes, width * height);
    return {width: picture.width, height: picture.height, data: dropAlpha(picture.data)};
  } catch (cause) {
    throw corrupt('JPEG', 'the decoder refuses it', cause);
  }
}
