import type {RgbImage} from '../../data/image.js';

/** EXIF's orientation, the way a picture is to be turned: 1 (upright) … 8. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** What a file says of its orientation; each may be missing. */
export interface OrientationSources {
  /** A TIFF block: what is behind "Exif\0\0" in a JPEG, the eXIf chunk of a PNG, the EXIF chunk of a WebP. */
  readonly exif?: Uint8Array | undefined;
  /** XMP metadata, as UTF-8 or as text. */
  readonly xmp?: Uint8Array | string | undefined;
}

/**
 * The orientation that Pillow's `exif_transpose` obeys: that of the EXIF data, else of the XMP metadata. Damaged data
 * never make a picture unreadable: they count as none.
 */
export function orientationOf({exif, xmp}: OrientationSources): Orientation {
  const found = exif === undefined ? undefined : exifOrientation(exif);
  const value = found ?? (xmp === undefined ? undefined : xmpOrientation(xmp));
  return value !== undefined && Number.isInteger(value) && value >= 1 && value <= 8 ? (value as Orientation) : 1;
}

const EXIF = [0x45, 0x78, 0x69, 0x66, 0, 0] as const;
/** The bytes of a number by TIFF's type; texts and raw bytes are no orientation. */
const NUMBER_BYTES: Readonly<Record<number, number>> = {
  1: 1,
  3: 2,
  4: 4,
  5: 8,
  6: 1,
  8: 2,
  9: 4,
  10: 8,
  11: 4,
  12: 8,
  13: 4,
};

/** The orientation tag of a TIFF block, the last one; undefined where there is none. */
function exifOrientation(block: Uint8Array): number | undefined {
  let bytes = block;
  while (startsWith(bytes, EXIF)) bytes = bytes.subarray(EXIF.length);
  const little = startsWith(bytes, [0x49, 0x49, 42, 0]);
  if (bytes.length < 8 || !(little || startsWith(bytes, [0x4d, 0x4d, 0, 42]))) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const directory = view.getUint32(4, little);
  if (directory + 2 > bytes.length) return undefined;
  const entries = view.getUint16(directory, little);
  let found: number | undefined;
  for (let i = 0; i < entries; i++) {
    const at = directory + 2 + i * 12;
    if (at + 12 > bytes.length) break;
    if (view.getUint16(at, little) !== 0x112) continue;
    const type = view.getUint16(at + 2, little);
    const size = (NUMBER_BYTES[type] ?? 0) * view.getUint32(at + 4, little);
    const start = size > 4 ? view.getUint32(at + 8, little) : at + 8;
    if (size > 0 && start + size <= bytes.length) found = readNumber(view, start, type, little);
  }
  return found;
}

function readNumber(view: DataView, at: number, type: number, little: boolean): number {
  if (type === 1) return view.getUint8(at);
  if (type === 3) return view.getUint16(at, little);
  if (type === 5) return view.getUint32(at, little) / view.getUint32(at + 4, little);
  if (type === 6) return view.getInt8(at);
  if (type === 8) return view.getInt16(at, little);
  if (type === 9) return view.getInt32(at, little);
  if (type === 10) return view.getInt32(at, little) / view.getInt32(at + 4, little);
  if (type === 11) return view.getFloat32(at, little);
  return type === 12 ? view.getFloat64(at, little) : view.getUint32(at, little);
}

/** An attribute or an element of XMP, as Pillow looks for it. */
function xmpOrientation(xmp: Uint8Array | string): number | undefined {
  const text = typeof xmp === 'string' ? xmp : new TextDecoder('latin1').decode(xmp);
  const found = /tiff:Orientation(?:="|>)([0-9])/.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

/**
 * Turns a picture upright.
 * @returns a new picture; `image` itself where it is upright
 */
export function applyOrientation(image: RgbImage, orientation: Orientation): RgbImage {
  if (orientation === 1) return image;
  const swap = orientation >= 5;
  const width = swap ? image.height : image.width;
  const height = swap ? image.width : image.height;
  const data = new Uint8Array(image.data.length);
  // The source of the pixel (x, y) of the result is mirrored in its columns, in its rows.
  const flipX = orientation === 2 || orientation === 3 || orientation === 7 || orientation === 8;
  const flipY = orientation === 3 || orientation === 4 || orientation === 6 || orientation === 7;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const column = swap ? y : x;
      const row = swap ? x : y;
      const fromX = flipX ? image.width - 1 - column : column;
      const fromY = flipY ? image.height - 1 - row : row;
      const from = (fromY * image.width + fromX) * 3;
      const to = (y * width + x) * 3;
      data[to] = image.data[from]!;
      data[to + 1] = image.data[from + 1]!;
      data[to + 2] = image.data[from + 2]!;
    }
  }
  return {width, height, data};
}

/** Whether `bytes` begins with `prefix`. */
export function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((byte, i) => bytes[i] === byte);
}
