import fs from 'node:fs';

// Files that people name. Errors have the file system's codes, or such as are alike, and a message in words without the
// name: callers say which file it was, and what for.

/** Opens for reading without waiting for a writer, as opening a named pipe would. */
const READ = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0);

/** A name that a person gave: a file, a folder, or neither, and then why. */
export type NamedEntry =
  | {readonly kind: 'file'; readonly size: number}
  | {readonly kind: 'folder'}
  | {readonly kind: 'neither'; readonly why: string};

/** Looks at what a name stands for, links followed. It never throws. */
export function namedEntry(name: string): NamedEntry {
  try {
    const stat = fs.statSync(name);
    if (stat.isFile()) return {kind: 'file', size: stat.size};
    return stat.isDirectory() ? {kind: 'folder'} : {kind: 'neither', why: `it is ${kindOf(stat)}, not a file`};
  } catch (error) {
    return {kind: 'neither', why: whyUnreadable(error)};
  }
}

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'a part of the path is no folder',
  EACCES: 'reading it is not allowed',
  EPERM: 'reading it is not allowed',
  ELOOP: 'its links lead in a circle',
  ENAMETOOLONG: 'the name is too long',
  ERR_INVALID_ARG_VALUE: 'the name holds a NUL character',
  ERR_INVALID_ARG_TYPE: 'the name is no text',
};

/** The reason in words why a file could not be looked at or opened. */
export function whyUnreadable(error: unknown): string {
  const {code, message} = error as NodeJS.ErrnoException;
  return (code !== undefined && Object.hasOwn(WHY, code) ? WHY[code] : undefined) ?? plainMessage(message);
}

/** A message of the file system without its code, call and path: "ENOSPC: no space left on device, write". */
export function plainMessage(message: string): string {
  return /^E[A-Z0-9]+: (.*?), \w+( |$)/s.exec(message)?.[1] ?? message;
}

/** What an entry of the file system is that is no file. */
function kindOf(stat: fs.Stats): string {
  if (stat.isDirectory()) return 'a folder';
  if (stat.isFIFO()) return 'a named pipe';
  if (stat.isSocket()) return 'a socket';
  return 'a device';
}

/**
 * Opens a regular file, or a link to one.
 * @returns the descriptor, the caller's to close, and the size in bytes
 * @throws  Error with the code `EISDIR` for a folder, `ENOTFILE` for a pipe, socket or device, else the file system's
 */
export function openRegularFile(file: string): {readonly fd: number; readonly size: number} {
  let fd: number;
  try {
    fd = fs.openSync(file, READ);
  } catch (error) {
    // A socket cannot be opened.
    const {code} = error as NodeJS.ErrnoException;
    if (code === 'ENXIO' || code === 'EOPNOTSUPP') throw notAFile(fs.statSync(file));
    throw Object.assign(new Error(whyUnreadable(error), {cause: error}), {code});
  }
  const stat = fs.fstatSync(fd);
  if (stat.isFile()) return {fd, size: stat.size};
  fs.closeSync(fd);
  throw notAFile(stat);
}

function notAFile(stat: fs.Stats): Error {
  return Object.assign(new Error(`it is ${kindOf(stat)}, not a file`), {
    code: stat.isDirectory() ? 'EISDIR' : 'ENOTFILE',
  });
}

/** The bytes of a regular file. @throws Error as `openRegularFile` does */
export function readRegularFile(file: string): Buffer {
  const {fd} = openRegularFile(file);
  try {
    return fs.readFileSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * The bytes of a regular file piece by piece. The file is opened at once, and closed when the stream ends or is
 * destroyed.
 * @throws Error as `openRegularFile` does
 */
export function streamRegularFile(
  file: string,
  options: {readonly highWaterMark: number; readonly signal?: AbortSignal | undefined; readonly start?: number},
): fs.ReadStream {
  const {fd} = openRegularFile(file);
  return fs.createReadStream(file, {...options, fd});
}

/** The text of a regular file. @throws Error as `openRegularFile` and `decodeText` do */
export function readTextFile(file: string): string {
  return decodeText(readRegularFile(file));
}

/**
 * UTF-8 text without its byte order mark.
 * @throws Error for bytes that are none: read as UTF-8 all the same, they would silently become other words
 */
export function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', {fatal: true}).decode(bytes);
  } catch (cause) {
    const [first, second] = bytes;
    const utf16 = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
    throw new Error(`it is not UTF-8 text${utf16 ? ', but UTF-16: save it as UTF-8' : ''}`, {cause});
  }
}
