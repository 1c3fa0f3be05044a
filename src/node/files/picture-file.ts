import type {ImageSource} from '../../data/dataset.js';
import {InputError} from '../../runtime/errors.js';
import {readRegularFile, whyUnreadable} from './regular-file.js';

/** The bytes of a picture file. @throws InputError `image-unreadable` */
export function readPictureFile(file: string): Uint8Array {
  try {
    return readRegularFile(file);
  } catch (cause) {
    const {code} = cause as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder' : whyUnreadable(cause);
    const hint = code === 'EISDIR' ? 'Name the pictures in it, such as folder/*.jpg.' : undefined;
    throw new InputError('image-unreadable', `${file}: ${why}`, {cause, hint});
  }
}

/** The bytes of a picture that a data set names or contains. @throws InputError `image-unreadable` */
export function readRowPicture(image: ImageSource): Uint8Array {
  return 'bytes' in image ? image.bytes : readPictureFile(image.path);
}
