import type {RgbImage} from '../../data/image.js';
import {InputError} from '../../runtime/errors.js';
import type {Orientation} from './exif.js';

/** The error for a file of a known format that is damaged or cut off; PIL raises for it, too. */
export function corrupt(format: string, what: string, cause?: unknown): InputError {
  return new InputError('image-corrupt', `the ${format} picture is damaged: ${what}`, {
    hint: 'Save the picture again; a download may have been cut off.',
    cause,
  });
}

/** The error for a sound file that uses something that is not read here. */
export function unsupported(format: string, what: string): InputError {
  return new InputError('image-format', `the ${format} picture ${what}`, {
    hint: 'Convert it to an ordinary PNG or JPEG.',
  });
}

/** The facts of a picture's header, read without decoding and without allocating for its pixels. */
export interface PictureHeader {
  readonly width: number;
  readonly height: number;
  readonly orientation: Orientation;
}

/** What decoding a picture takes, known from its header before anything is allocated. */
export interface PictureCost {
  /** Nanoseconds of one core, from measurements of each decoder on a core of about 2020. */
  readonly work: number;
  /** The most bytes held at a time, the file's content and the decoded picture among them. */
  readonly memory: number;
}

/** A file format. */
export interface PictureFormat<Header extends PictureHeader = PictureHeader> {
  readonly name: string;
  /**
   * Reads the header.
   * @throws InputError `image-corrupt` or `image-format`
   */
  inspect(bytes: Uint8Array): Header;
  /** What `decode` takes at most; damaged and hostile files take no more than sound ones of the same cost. */
  cost(header: Header, bytes: Uint8Array): PictureCost;
  /**
   * Decodes the whole picture to the bytes that Pillow's `convert('RGB')` gives; of an animation the first frame.
   * @throws InputError `image-corrupt`
   */
  decode(bytes: Uint8Array, header: Header): RgbImage | Promise<RgbImage>;
  /** Decodes, and keeps what resizing needs of a picture that was not RGB (`RgbImage.opened`). */
  decodeOpened?(bytes: Uint8Array, header: Header): Promise<RgbImage>;
}
