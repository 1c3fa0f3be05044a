import type {ImageSource} from '../../data/dataset.js';
import {InputError} from '../../runtime/errors.js';
import {readRegularFile, whyUnreadable} from './regular-file.js';

/** The bytes of a picture file. @throws InputError `image-unreadable` */
export function readPictureFile(file: string): Uint8Array {
  try {
    return readRegularFile(file);
  } catch (cause) {
    const {code} = cause as NodeJS.ErrnoException;
    const missing = code === 'ENOENT';
    const remote = missing && /^(https?|ftp|s3|gs|data):/i.test(file);
    const pattern = missing && /[*?[]/.test(file);
    const absent = remote ? 'it is an address, not a file' : pattern ? 'no file matches' : 'there is no such file';
    const why = missing ? absent : code === 'EISDIR' ? 'it is a folder without pictures' : whyUnreadable(cause);
    const hint = remote ? 'Nothing is fetched: download the picture and name the file, or pipe it to -.' : undefined;
    throw new InputError('image-unreadable', `${file.slice(0, 200)}: ${why}`, {cause, hint});
  }
}

/** The bytes of a picture that a data set names or contains. @throws InputError `image-unreadable` */
export function readRowPicture(image: ImageSource): Uint8Array {
  return 'bytes' in image ? image.bytes : readPictureFile(image.path);
}
