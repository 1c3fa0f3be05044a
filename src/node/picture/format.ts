import type {RgbImage} from '../../data/image.js';
import {InputError} from '../../runtime/errors.js';
import type {Orientation} from './exif.js';

/** The file is of a known format but damaged or cut off, as PIL raises for it too. */
export function corrupt(format: string, what: string, cause?: unknown): InputError {
  return new InputError('image-corrupt', `the ${format} picture is damaged: ${what}`, {
    hint: 'Save the picture again; a download may have been cut off.',
    ...(cause === undefined ? {} : {cause}),
  });
}

/** The file is sound but uses something that is not read here. */
export function unsupported(format: string, what: string): InputError {
  return new InputError('image-format', `the ${format} picture ${what}`, {
    hint: 'Convert it to an ordinary PNG or JPEG.',
  });
}

/** What a picture's header says, read without decoding and without allocating for its pixels. */
export interface PictureHeader {
  readonly width: number;
  readonly height: number;
  readonly orientation: Orientation;
}

/** One file format. */
export interface PictureFormat<Header extends PictureHeader = PictureHeader> {
  readonly name: string;
  /** @throws InputError `image-corrupt` or `image-format`. */
  inspect(bytes: Uint8Array): Header;
  /** The whole picture as Pillow's `convert('RGB')` gives it; an animation's first frame. */
  decode(bytes: Uint8Array, header: Header): RgbImage | Promise<RgbImage>;
  /** The same with what the picture was before, if it was not RGB. */
  decodeOpened?(bytes: Uint8Array, header: Header): Promise<RgbImage>;
}
