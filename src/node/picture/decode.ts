import type {RgbImage} from '../../data/image.js';
import {checkArguments, fields, instanceOf, optional} from '../../runtime/check-arguments.js';
import {InputError, throwIfAborted} from '../../runtime/errors.js';
import {decodeElsewhere} from './decode-elsewhere.js';
import {type OpenedPicture, openPicture} from './decode-here.js';

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
  /** Stops a decode: at once where it takes more than about 0.2 s, else when it is done. */
  readonly signal?: AbortSignal;
}

/** The default limit, 10,000 × 10,000 pixels. Pillow warns from 89 and refuses from 179 million pixels on. */
const DEFAULT_MAX_PIXELS = 100_000_000;

// Limits of what a decoder costs by its header (`PictureCost`), whatever the number of pixels: a small file can ask for
// a lot of either. Photos of 24 million pixels stay under half of them.
const MAX_WORK = 5e9;
const MAX_MEMORY = 950_000_000;
/** The largest file: one of 24 million pixels in 16-bit RGBA has 192 MB even where it is not packed. */
const MAX_BYTES = 256_000_000;

/** The work per pixel that resizing to a model's size takes. */
const RESIZING = 15;
/** The work, 0.15 s, beyond which a picture is decoded in a thread of its own, so that this one goes on. */
const MUCH_WORK = 1.5e8;

/**
 * Decodes a picture file to the bytes that Pillow's `Image.open(…).convert('RGB')` gives: alpha dropped without
 * compositing, the first frame of an animation. It reads JPEG, PNG, WebP, GIF, BMP and TIFF, told apart by their first bytes,
 * and loads the code of a format when it is needed.
 * @param bytes the file's content, borrowed
 * @returns height × width × 3 bytes, 0..255, row by row, red green blue; the caller's
 * @throws InputError `image-empty`, `image-format` (not a picture, or a kind that is not read), `image-too-large` (more
 *   than 5 s of work, 950 MB of memory, or `maxPixels`), `image-corrupt` (damaged or cut off; damage that PIL repairs
 *   silently, such as a missing PNG end chunk, is accepted)
 * @throws AbortError if the signal fires
 */
export async function decodeImage(bytes: Uint8Array, options: DecodeOptions = {}): Promise<RgbImage> {
  checkArguments('decodeImage', {
    bytes: [bytes, instanceOf('a Uint8Array', Uint8Array)],
    options: [options, fields({signal: optional(instanceOf('an AbortSignal', AbortSignal))})],
  });
  const {exif = 'ignore', rgb = 'first', maxPixels = DEFAULT_MAX_PIXELS, signal} = options;
  throwIfAborted(signal);
  if (bytes.length > MAX_BYTES) throw tooLarge(`the picture file has ${bytes.length} bytes`, `${MAX_BYTES}`);
  const opened = await openPicture(bytes);
  checkLimits(opened, maxPixels);
  const conversion = {exif, rgb};
  if (opened.cost.work > MUCH_WORK) {
    const image = await decodeElsewhere(bytes, conversion, signal);
    if (image !== undefined) return image;
  }
  const image = await opened.decode(conversion);
  throwIfAborted(signal);
  return image;
}

/** @throws InputError `image-too-large`, which names the limit */
function checkLimits({format, width, height, cost}: OpenedPicture, maxPixels: number): void {
  const pixels = width * height;
  const picture = `the ${format} picture`;
  if (pixels > maxPixels) throw tooLarge(`${picture} has ${width} × ${height} = ${pixels} pixels`, `${maxPixels}`);
  const work = cost.work + RESIZING * pixels;
  if (work > MAX_WORK) {
    const seconds = (work / 1e9).toFixed(1);
    throw tooLarge(`decoding ${picture} of ${width} × ${height} pixels takes about ${seconds} s of work`, '5 s');
  }
  if (cost.memory > MAX_MEMORY) {
    const megabytes = Math.ceil(cost.memory / 1e6);
    throw tooLarge(
      `decoding ${picture} of ${width} × ${height} pixels takes up to ${megabytes} MB of memory`,
      `${MAX_MEMORY / 1e6} MB`,
    );
  }
}

function tooLarge(what: string, limit: string): InputError {
  return new InputError('image-too-large', `${what}, the limit is ${limit}`, {
    hint: 'The model sees a few hundred pixels a side: save the picture smaller.',
  });
}
