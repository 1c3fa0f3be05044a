import fs from 'node:fs';
import {InputError, UsageError} from '../../runtime/errors.js';
import {openRegularFile, whyUnreadable} from '../files/regular-file.js';
import {cannotWrite, writeWhole} from './write-atomic.js';
import {checkUntouched, WriterLock} from './writer-lock.js';
import {parseJson} from '../../runtime/parse-json.js';

/**
 * A file of JSON lines to which bulk work appends, and with which it can go on after any interruption, kill -9
 * included. The first line is a header that says what the rows are, then comes a row a line. A torn last line is cut
 * off when the file is opened again. While it is open, nobody else can open it for writing. Disposing it closes the
 * file.
 */
export class RowLog implements Disposable {
  private constructor(
    private fd: number | undefined,
    private readonly file: string,
    /** The rows that were there when it was opened. */
    readonly rows: readonly Readonly<Record<string, unknown>>[],
    private readonly lock: WriterLock,
    private size: number,
  ) {}

  /**
   * Opens for appending, or begins the file.
   * @param header the settings that the rows depend on (model, data, options); plain JSON
   * @throws UsageError if the file was begun with another header
   * @throws InputError `folder-in-use` if another process writes to it; or if it is damaged before its end, or cannot
   *   be written
   */
  static open(file: string, header: Readonly<Record<string, unknown>>): RowLog {
    const line = `${JSON.stringify(header)}\n`;
    const lock = WriterLock.take(file);
    let fd: number | undefined;
    try {
      if (!fs.existsSync(file)) fs.writeFileSync(file, '', {flag: 'a'});
      const {header: found, rows, bytes, torn} = parse(file);
      // Only a torn line that this class wrote may be cut off.
      if (found === undefined && !line.startsWith(torn)) throw damaged(file, 1, new Error('this is no file of rows'));
      if (found !== undefined && found !== line.trimEnd()) {
        throw new UsageError('resume-mismatch', `${file} was begun with another model, data set or options`, {
          hint: 'Go on with the same ones, or write to another file.',
        });
      }
      fd = fs.openSync(file, 'r+');
      fs.ftruncateSync(fd, found === undefined ? 0 : bytes);
      fs.closeSync(fd);
      fd = fs.openSync(file, 'a');
      if (found === undefined) writeWhole(fd, Buffer.from(line));
      return new RowLog(fd, file, rows, lock, fs.fstatSync(fd).size);
    } catch (error) {
      lock[Symbol.dispose]();
      if (fd !== undefined) fs.closeSync(fd);
      throw cannotWrite(file, error);
    }
  }

  /**
   * Appends a row.
   * @throws InputError `folder-in-use` if another process has written to the file; `cannot-write`
   */
  append(row: Readonly<Record<string, unknown>>): void {
    if (this.fd === undefined) throw new Error(`${this.file} is closed`);
    const bytes = Buffer.from(`${JSON.stringify(row)}\n`);
    checkUntouched(this.fd, this.size, this.file);
    try {
      writeWhole(this.fd, bytes);
      this.size += bytes.length;
    } catch (error) {
      throw cannotWrite(this.file, error);
    }
  }

  [Symbol.dispose](): void {
    if (this.fd !== undefined) fs.closeSync(this.fd);
    this.fd = undefined;
    this.lock[Symbol.dispose]();
  }
}

/**
 * Reads a finished or interrupted file.
 * @throws InputError if there is none or it is damaged before its end
 */
export function readRowLog(file: string): {
  header: Readonly<Record<string, unknown>>;
  rows: readonly Readonly<Record<string, unknown>>[];
} {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(file);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError('file-unreadable', `${file} cannot be read: ${whyUnreadable(error)}`, {cause: error});
  }
  if (parsed.header === undefined) throw new InputError('recording-empty', `${file} holds nothing yet`);
  return {header: parseJson(parsed.header) as Record<string, unknown>, rows: parsed.rows};
}

/** Reads the whole lines of a file; `bytes` is where they end, `torn` the text that follows. */
function parse(file: string): {
  header: string | undefined;
  rows: Record<string, unknown>[];
  bytes: number;
  torn: string;
} {
  const rows: Record<string, unknown>[] = [];
  let header: string | undefined;
  let line = 0;
  const ends = eachWholeLine(file, (text) => {
    line++;
    try {
      const row = parseJson(text) as unknown;
      if (typeof row !== 'object' || row === null || Array.isArray(row)) throw new Error('not an object');
      if (line === 1) header = text;
      else rows.push(row as Record<string, unknown>);
    } catch (cause) {
      throw damaged(file, line, cause as Error);
    }
  });
  return {header, rows, ...ends};
}

const PIECE_BYTES = 2 ** 20;

/**
 * Hands over the lines of a file that have their end, piece by piece: a long recording is larger than any buffer.
 * @returns where they end, and the beginning of the text that follows
 */
function eachWholeLine(file: string, onLine: (text: string) => void): {readonly bytes: number; readonly torn: string} {
  const {fd} = openRegularFile(file);
  try {
    // The beginning of the line at hand, in the pieces in which it was read.
    let begun: Buffer[] = [];
    let bytes = 0;
    for (;;) {
      const piece = Buffer.alloc(PIECE_BYTES);
      const content = piece.subarray(0, fs.readSync(fd, piece));
      if (content.length === 0) return {bytes, torn: begun[0]?.toString('utf8') ?? ''};
      let at = 0;
      for (let end = content.indexOf(10); end >= 0; end = content.indexOf(10, at)) {
        const line = Buffer.concat([...begun, content.subarray(at, end)]);
        begun = [];
        at = end + 1;
        bytes += line.length + 1;
        onLine(line.toString('utf8'));
      }
      if (at < content.length) begun.push(content.subarray(at));
    }
  } finally {
    fs.closeSync(fd);
  }
}

function damaged(file: string, line: number, cause: Error): InputError {
  return new InputError('recording-corrupt', `${file}: line ${line} is damaged: ${cause.message}`, {
    hint: 'Delete the file and begin again.',
    cause,
  });
}
