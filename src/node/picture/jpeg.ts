import type {RgbImage} from '../../data/image.js';
import {exifOrientation, type Orientation, startsWith} from './exif.js';
import {corrupt, type PictureFormat, type PictureHeader, unsupported} from './format.js';
import {type CodecModule, dropAlpha, WasmCodec} from './wasm-codec.js';

interface JpegHeader extends PictureHeader {
  readonly components: number;
}

/**
 * The most scans of a file. Real files have about ten; each scan of a hostile one costs a pass over the whole picture.
 */
const MAX_SCANS = 500;

const codec = new WasmCodec(
  () => import('@jsquash/jpeg/decode.js') as unknown as Promise<CodecModule>,
  '@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm',
);

/**
 * JPEG by mozjpeg, whose decoder gives the bytes of libjpeg-turbo and so of Pillow; CMYK, which it does not take, by
 * `cmyk-jpeg.ts`. A file without its end mark is refused, as by PIL.
 */
export const jpeg: PictureFormat<JpegHeader> = {name: 'JPEG', inspect, decode};

/**
 * Walks over all segments, to find a file that is cut off before it is decoded: the decoder would fill it up with gray.
 */
function inspect(bytes: Uint8Array): JpegHeader {
  let frame: {width: number; height: number; components: number} | undefined;
  let orientation: Orientation = 1;
  let scans = 0;
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
    const segment = bytes.subarray(at + 2, at + length);
    if (length < 2 || segment.length < length - 2) throw corrupt('JPEG', 'it is cut off inside a header');
    if (marker === 0xe1 && startsWith(segment, [0x45, 0x78, 0x69, 0x66, 0, 0])) orientation = exifOrientation(segment);
    if (isFrame(marker)) {
      // The decoders take the first frame: the limit of pixels is checked on the same one.
      if (frame !== undefined) throw corrupt('JPEG', 'it has two frames');
      frame = readFrame(marker, segment);
    }
    if (marker === 0xda && ++scans > MAX_SCANS) throw corrupt('JPEG', `it has more than ${MAX_SCANS} scans`);
    if (marker === 0xda && frame === undefined) throw corrupt('JPEG', 'its pixels come before its size');
    at += length;
  }
  if (frame === undefined || scans === 0) throw corrupt('JPEG', 'it holds no picture');
  return {...frame, orientation};
}

function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

function readFrame(marker: number, segment: Uint8Array): {width: number; height: number; components: number} {
  if (segment.length < 6) throw corrupt('JPEG', 'the frame header is cut off');
  const [bits, h1, h0, w1, w0, components] = segment as unknown as [number, number, number, number, number, number];
  const width = (w1 << 8) | w0;
  const height = (h1 << 8) | h0;
  if (bits !== 8) throw unsupported('JPEG', `has ${bits} bits a sample, only 8 are read`);
  if (marker !== 0xc0 && marker !== 0xc1 && marker !== 0xc2)
    throw unsupported('JPEG', 'is lossless, hierarchical or arithmetic');
  if (width === 0 || height === 0) throw corrupt('JPEG', `its size is ${width} × ${height}`);
  return {width, height, components};
}

async function decode(bytes: Uint8Array, {width, height, components}: JpegHeader): Promise<RgbImage> {
  if (components === 4) return (await import('./cmyk-jpeg.js')).decodeCmykJpeg(bytes);
  try {
    const picture = await codec.decode(bytes, width * height);
    return {width: picture.width, height: picture.height, data: dropAlpha(picture.data)};
  } catch (cause) {
    throw corrupt('JPEG', 'the decoder refuses it', cause);
  }
}
