import type {RgbImage} from '../data/image.js';
import {UsageError} from '../runtime/errors.js';
import {shown} from '../runtime/check-options.js';

/** Bytes of an image file, in any of the forms that platforms give them, or a decoded image. */
export type Picture = Uint8Array | ArrayBuffer | DataView | Blob | RgbImage;

/** Decodes image files; a platform lends it. */
export interface ImageDecoder {
  /**
   * @param signal stops a decode that takes long
   * @returns   8-bit RGB, row by row
   * @throws    InputError if the bytes are no image that it knows, or one that is too large; AbortError
   */
  decode(bytes: Uint8Array, signal?: AbortSignal): Promise<RgbImage>;
}

/** Bytes of an image file; undefined for a decoded image. */
export async function bytesOf(picture: Picture): Promise<Uint8Array | undefined> {
  if (picture instanceof Uint8Array) return picture;
  if (picture instanceof ArrayBuffer) return new Uint8Array(picture);
  if (ArrayBuffer.isView(picture)) return new Uint8Array(picture.buffer, picture.byteOffset, picture.byteLength);
  if (picture instanceof Blob) return new Uint8Array(await picture.arrayBuffer());
  return undefined;
}

/**
 * @returns   a decoded image, whose size is checked where it is resized
 * @throws    UsageError for anything else, with a word for what people pass instead
 */
export function checkedImage(picture: unknown): RgbImage {
  const image = picture as Partial<RgbImage> | null | undefined;
  if (typeof image === 'object' && image !== null && ArrayBuffer.isView(image.data)) return image as RgbImage;
  const hint =
    typeof picture === 'string' || picture instanceof URL
      ? 'Read the file first: await readFile(path); of a web address: await (await fetch(url)).arrayBuffer().'
      : picture instanceof Promise
        ? 'Await the promise first.'
        : 'Pass the bytes of an image file (Uint8Array, ArrayBuffer, Blob), or {width, height, data} with RGB bytes.';
  throw new UsageError('picture-invalid', `a picture must be bytes or a decoded image, not ${shown(picture)}`, {hint});
}
