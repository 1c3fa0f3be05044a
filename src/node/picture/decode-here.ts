import type {RgbImage} from '../../data/image.js';
import {InputError} from '../../runtime/errors.js';
import {applyOrientation, startsWith} from './exif.js';
import type {PictureCost, PictureFormat, PictureHeader} from './format.js';

/** How a picture becomes RGB. */
export interface Conversion {
  readonly exif: 'ignore' | 'apply';
  readonly rgb: 'first' | 'last';
}

/** A picture whose header was read. */
export interface OpenedPicture {
  /** The name of its format. */
  readonly format: string;
  readonly width: number;
  readonly height: number;
  /** What `decode` takes. */
  readonly cost: PictureCost;
  /**
   * Decodes the picture in this thread.
   * @throws InputError `image-corrupt`
   */
  decode(conversion: Conversion): Promise<RgbImage>;
}

/**
 * Reads the header of a picture file, told by its first bytes; loads the code of its format.
 * @param bytes borrowed, until the picture is decoded
 * @throws InputError `image-empty`, `image-format`, `image-corrupt`
 */
export async function openPicture(bytes: Uint8Array): Promise<OpenedPicture> {
  const format = await formatOf(bytes);
  const header = format.inspect(bytes);
  const {width, height, orientation} = header;
  const cost = format.cost(header, bytes);
  // A turned picture is a second one beside the first.
  const turned = orientation === 1 ? cost : {...cost, memory: cost.memory + 3 * width * height};
  const decode = async ({exif, rgb}: Conversion): Promise<RgbImage> => {
    const keep = rgb === 'last' && format.decodeOpened;
    const image = await (keep ? keep(bytes, header) : format.decode(bytes, header));
    if (image.width !== width || image.height !== height) {
      const sizes = `${width} × ${height}, its data ${image.width} × ${image.height}`;
      throw new InputError('image-corrupt', `the ${format.name} picture is damaged: its header says ${sizes}`);
    }
    return exif === 'apply' ? applyOrientation(image, orientation) : image;
  };
  return {format: format.name, width, height, cost: turned, decode};
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
  if (startsWith(bytes, [0x49, 0x49, 42, 0]) || startsWith(bytes, [0x4d, 0x4d, 0, 42]))
    return erase((await import('./tiff.js')).tiff);
  throw new InputError('image-format', `not a picture that can be read: ${describe(bytes)}`, {
    hint: 'JPEG, PNG, WebP, GIF, BMP and TIFF are read; what counts is the content, not the name of the file.',
  });
}

/** What the file seems to be. Its content is not quoted: it may be a file that a stranger's data set named. */
function describe(bytes: Uint8Array): string {
  if (text(bytes, 4, 8) === 'ftyp') return 'it looks like HEIC, AVIF or a video';
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
