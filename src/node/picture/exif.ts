import type {RgbImage} from '../../data/image.js';

/** EXIF's orientation, the way a picture is to be turned: 1 (upright) … 8. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/**
 * Reads the orientation from a TIFF block: the bytes behind "Exif\0\0" in a JPEG, the eXIf chunk of a PNG, the EXIF
 * chunk of a WebP. Damaged EXIF data never makes a picture unreadable: it counts as none.
 */
export function exifOrientation(block: Uint8Array): Orientation {
  const bytes = startsWith(block, [0x45, 0x78, 0x69, 0x66, 0, 0]) ? block.subarray(6) : block;
  if (bytes.length < 8) return 1;
  const little = bytes[0] === 0x49;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint16(2, little) !== 42) return 1;
  const directory = view.getUint32(4, little);
  if (directory + 2 > bytes.length) return 1;
  const entries = view.getUint16(directory, little);
  for (let i = 0; i < entries; i++) {
    const at = directory + 2 + i * 12;
    if (at + 12 > bytes.length) return 1;
    if (view.getUint16(at, little) !== 0x112) continue;
    const value = view.getUint16(at + 8, little);
    return value >= 1 && value <= 8 ? (value as Orientation) : 1;
  }
  return 1;
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
