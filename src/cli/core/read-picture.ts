import fs from 'node:fs/promises';
import {InputError} from '../../runtime/errors.js';

/** The bytes of a picture file, or of stdin for '-'. @throws InputError `image-unreadable` */
export async function readPicture(file: string): Promise<Uint8Array> {
  try {
    if (file !== '-') return await fs.readFile(file);
    const chunks: Uint8Array[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Uint8Array);
    return Buffer.concat(chunks);
  } catch (cause) {
    const {code, message} = cause as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder' : message;
    const hint = code === 'EISDIR' ? {hint: 'Name the pictures in it, such as folder/*.jpg.'} : {};
    throw new InputError('image-unreadable', `${file}: ${why}`, {cause, ...hint});
  }
}
