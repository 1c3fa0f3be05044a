import type {RgbImage} from '../../data/image.js';
import {InputError} from '../../runtime/errors.js';
import {applyOrientation, startsWith} from './exif.js';
import type {PictureFormat, PictureHeader} from './format.js';

/** The options of decoding, in which pipelines differ. */
export interface DecodeOptions {
  /** EXIF's orientation: `ignore` (default), as the authors' pipeline does; `apply` turns the picture upright. */
  readonly exif?: 'ignore' | 'apply';
  /**
   * The moment at which PNG pictures with a palette or transparency become RGB: before all else (`first`, the default,
   * as data sets and documented recipes do), or after they are resized (`last`, as open_clip does with a picture that
   * it gets as it was opened). Other formats, and pictures turned by `exif`, are RGB first. Only models that cut a
   * square from the middle resize so.
   */
  readonly rgb?: 'first' | 'last';
  /** The most pixels; a larger picture is refused before anything is allocated for it. Default 100,000,000. */
  readonly maxPixels?: number;
}

/**
 * The default limit, 10,000 × 10,000 pixels: 300 MB of RGB. Pillow warns from 89 and refuses from 179 million pixels
 * on.
 */
const DEFAULT_MAX_PIXELS = 100_000_000;

/**
 * Decodes a picture file to the bytes that Pillow's `Image.open(…).convert('RGB')` gives: alpha dropped without
 * compositing, the first frame of an animation. It reads JPEG, PNG, WebP, GIF and BMP, told apart by their first bytes,
 * and loads the code of a format when it is needed.
 * @param bytes the file's content, borrowed
 * @returns height × width × 3 bytes, 0..255, row by row, red green blue; the caller's
 * @throws InputError `image-empty`, `image-format` (not a picture, or a kind that is not read), `image-too-large`,
 *   `image-corrupt` (damaged or cut off; damage that PIL repairs silently, such as a missing PNG end chunk, is
 *   accepted)
 */
export async function decodeImage(bytes: Uint8Array, options: DecodeOptions = {}): Promise<RgbImage> {
  const {exif = 'ignore', rgb = 'first', maxPixels = DEFAULT_MAX_PIXELS} = options;
  const format = await formatOf(bytes);
  const header = format.inspect(bytes);
  if (header.width * header.height > maxPixels) {
    throw new InputError(
      'image-too-large',
      `the ${format.name} picture has ${header.width} × ${header.height} = ${header.width * header.height} pixels, the limit is ${maxPixels}`,
      {hint: 'The model sees a few hundred pixels a side: save the picture smaller, or raise the limit.'},
    );
  }
  const keep = rgb === 'last' && format.decodeOpened;
  const image = await (keep ? keep(bytes, header) : format.decode(bytes, header));
  if (image.width !== header.width || image.height !== header.height) {
    const sizes = `${header.width} × ${header.height}, its data ${image.width} × ${image.height}`;
    throw new InputError('image-corrupt', `the ${format.name} picture is damaged: its header says ${sizes}`);
  }
  return exif === 'apply' ? applyOrientation(image, header.orientation) : image;
}

async function formatOf(bytes: Uint8Array): Promise<PictureFormat<PictureHeader>> {
  if (bytes.length === 0) throw new InputError('image-empty', 'the picture file is empty (0 bytes)');
  const erase = <H extends PictureHeader>(format: PictureFormat<H>): PictureFormat<PictureHeader> =>
    format as unknown as PictureFormat<PictureHeader>;
  if (startsWith(bytes, [0xff, 0xd8, 0xff])) return erase((await import('./jpeg.js')).jpeg);
  if (startsWith(bytes, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return erase((await import('./png.js')).png);
  if (text(bytes, 0, 4) === 'RIFF' && text(bytes, 8, 12) === 'WEBP') return erase((await import('./webp.js')).webp);
  if (['GIF87a', 'GIF89a'].includes(text(bytes, 0, 6))) return erase((await import('./gif.js')).gif);
  if (text(bytes, 0, 2) === 'BM' && bytes.length >= 18) return erase((await import('./bmp.js')).bmp);
  throw new InputError('image-format', `not a picture that can be read: ${describe(bytes)}`, {
    hint: 'JPEG, PNG, WebP, GIF and BMP are read; what counts is the content, not the name of the file.',
  });
}

/** What the file seems to be. Its content is not quoted: it may be a file that a stranger's data set named. */
function describe(bytes: Uint8Array): string {
  if (text(bytes, 4, 8) === 'ftyp') return 'it looks like HEIC, AVIF or a video';
  if (startsWith(bytes, [0x49, 0x49, 0x2a, 0]) || startsWith(bytes, [0x4d, 0x4d, 0, 0x2a])) return 'it looks like TIFF';
  const start = text(bytes, 0, 512).trimStart().toLowerCase();
  if (start.startsWith('version https://git-lfs')) return 'it is a Git LFS pointer, in the place of the file itself';
  if (start.startsWith('<!doctype html') || start.startsWith('<html')) return 'it is a web page';
  if (/^(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg/s.test(start)) return 'it is SVG, a drawing';
  if (start.startsWith('%pdf')) return 'it is PDF';
  if (/^[\t\n\r -~]*$/.test(start)) return 'it is text';
  // Formats tell themselves by four bytes.
  const magic = Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, '0'));
  return `it begins with the bytes ${magic.join(' ')}`;
}

function text(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}
