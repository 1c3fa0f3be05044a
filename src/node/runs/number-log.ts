import fs from 'node:fs';
import path from 'node:path';
import type {z} from 'zod';
import {InputError} from '../../runtime/errors.js';
import {makeFolder} from './evaluation-folder.js';
import {RowLog} from './row-log.js';
import {cannotWrite, writeWhole} from './write-atomic.js';
import {checkUntouched} from './writer-lock.js';

const ROWS = 'rows.jsonl';

/** What the rows of a folder are, and how many bytes of numbers each has. */
export interface NumberLogFormat<R> {
  /** Everything that rows depend on; plain JSON. */
  readonly header: object;
  /** The name of the file of numbers. */
  readonly file: string;
  readonly schema: z.ZodType<R>;
  readonly bytesOf: (row: R) => number;
}

/**
 * Rows with many numbers each, in a folder: `rows.jsonl`, a row log, and a file of their numbers, one behind the other.
 * The numbers are written first: whatever kills the process, the next append cuts off what no row speaks of. Disposing
 * it closes the files.
 */
export class NumberLog<R extends Readonly<Record<string, unknown>>> implements Disposable {
  #bytes: number;

  private constructor(
    readonly folder: string,
    private readonly format: NumberLogFormat<R>,
    private readonly log: RowLog,
    private readonly fd: number,
    private readonly known: R[],
    /** Bytes in the file. */
    private found: number,
    /** Bytes of it that rows speak of. */
    bytes: number,
  ) {
    this.#bytes = bytes;
  }

  /**
   * Opens for appending, or begins the folder.
   * @throws UsageError `resume-mismatch` if it was begun with another header
   * @throws InputError `recording-corrupt`, `cannot-write`, `folder-in-use`
   */
  static open<R extends Readonly<Record<string, unknown>>>(folder: string, format: NumberLogFormat<R>): NumberLog<R> {
    makeFolder(folder);
    const log = RowLog.open(path.join(folder, ROWS), {...format.header});
    let fd: number | undefined;
    try {
      const rows = log.rows.map((row, i): R => {
        const parsed = format.schema.safeParse(row);
        if (parsed.success) return parsed.data;
        throw corrupt(folder, `row ${i + 1}: ${parsed.error.issues[0]?.message ?? ''}`);
      });
      const bytes = rows.reduce((sum, row) => sum + format.bytesOf(row), 0);
      fd = fs.openSync(path.join(folder, format.file), 'a+');
      const {size} = fs.fstatSync(fd);
      if (size < bytes) throw corrupt(folder, `${format.file} has ${size} bytes, but its rows speak of ${bytes}`);
      return new NumberLog(folder, format, log, fd, rows, size, bytes);
    } catch (error) {
      if (fd !== undefined) fs.closeSync(fd);
      log[Symbol.dispose]();
      throw cannotWrite(folder, error);
    }
  }

  get rows(): readonly R[] {
    return this.known;
  }

  /** Size of the numbers. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @throws InputError `folder-in-use` if another process writes there; `cannot-write` */
  append(row: R, numbers: Uint8Array): void {
    checkUntouched(this.fd, this.found, this.folder);
    try {
      if (this.found > this.#bytes) fs.ftruncateSync(this.fd, this.#bytes);
      writeWhole(this.fd, numbers);
    } catch (error) {
      fs.ftruncateSync(this.fd, this.#bytes);
      throw cannotWrite(this.folder, error);
    }
    this.#bytes += numbers.byteLength;
    this.found = this.#bytes;
    this.log.append(row);
    this.known.push(row);
  }

  /** Fills `into` with the numbers that begin at a byte. @throws InputError `recording-corrupt` */
  read(start: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const read = fs.readSync(this.fd, into, done, into.length - done, start + done);
      if (read === 0) throw corrupt(this.folder, `${this.format.file} ends too early`);
      done += read;
    }
  }

  /** @throws InputError `recording-corrupt` if one of the numbers is none */
  check(numbers: Float32Array): Float32Array {
    if (!numbers.every(Number.isFinite)) throw corrupt(this.folder, `${this.format.file} holds what is no number`);
    return numbers;
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.fd);
    this.log[Symbol.dispose]();
  }
}

function corrupt(folder: string, why: string): InputError {
  return new InputError('recording-corrupt', `${folder}: ${why}`, {hint: 'Delete the folder and begin again.'});
}
