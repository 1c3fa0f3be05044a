import fs from 'node:fs';
import path from 'node:path';
import {InputError, MueError} from '../../runtime/errors.js';
import {namedEntry, plainMessage} from '../files/regular-file.js';

/**
 * Writes a file that appears whole or not at all.
 * @throws InputError `cannot-write`
 */
export function writeAtomic(file: string, content: string | Iterable<string | Uint8Array>): void {
  const part = path.join(path.dirname(file), `.${path.basename(file)}.partial-${process.pid}`);
  try {
    checkReplaceable(file);
    const fd = fs.openSync(part, 'w');
    try {
      for (const piece of typeof content === 'string' ? [content] : content)
        writeWhole(fd, typeof piece === 'string' ? Buffer.from(piece) : piece);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(part, file);
  } catch (error) {
    // Looked for first: to remove what has an impossible name fails, too, with an error of its own.
    if (fs.existsSync(part)) fs.rmSync(part, {force: true});
    throw cannotWrite(file, error);
  }
}

/** @throws InputError `cannot-write` for a folder, or a device, which a file would take the place of */
function checkReplaceable(file: string): void {
  const {kind} = namedEntry(file);
  if (kind !== 'folder' && !(kind === 'neither' && fs.existsSync(file))) return;
  throw new InputError(
    'cannot-write',
    `${file}: cannot be written: ${kind === 'folder' ? 'a folder' : 'what is no file'} is there`,
    {
      hint: 'Name a file.',
    },
  );
}

/** Writes all bytes at the end of a file; one write call may take fewer than it is given. */
export function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += fs.writeSync(fd, bytes, done, bytes.length - done, null);
}

/** Turns an error of the file system into an InputError `cannot-write`, and leaves other errors as they are. */
export function cannotWrite(file: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (error instanceof MueError || typeof code !== 'string') return error;
  const why: Readonly<Record<string, string>> = {
    ENOSPC: 'the disk is full',
    EDQUOT: 'the quota is used up',
    EACCES: 'this is not allowed',
    EPERM: 'this is not allowed',
    EROFS: 'the file system is read-only',
    ENOTDIR: 'a part of the path is no folder',
    EEXIST: 'a file is there',
    ENOENT: 'a part of the path is not there',
    EISDIR: 'a folder is there',
    ENAMETOOLONG: 'the name is too long',
    ELOOP: 'its links lead in a circle',
    ERR_INVALID_ARG_VALUE: 'the name holds a NUL character',
  };
  return new InputError(
    'cannot-write',
    `${file}: cannot be written: ${(Object.hasOwn(why, code) ? why[code] : undefined) ?? plainMessage((error as Error).message)} (${code})`,
    {
      cause: error,
      hint: 'What was written before is kept: make room, or name another folder, and run the same command again.',
    },
  );
}
