import fs from 'node:fs';
import path from 'node:path';
import {checkRange, type RandomAccess} from '../../checkpoint/random-access.js';
import {WeightsError} from '../../runtime/errors.js';
import {openRegularFile} from '../files/regular-file.js';

/** An open file that is read by offset, never as a whole. Disposing it closes it. */
export class FileAccess implements RandomAccess, Disposable {
  private constructor(
    readonly name: string,
    readonly size: number,
    private fd: number | null,
  ) {}

  /** @throws WeightsError if there is no such file, or it cannot be read */
  static open(file: string): FileAccess {
    try {
      const {fd, size} = openRegularFile(file);
      return new FileAccess(path.basename(file), size, fd);
    } catch (cause) {
      const {code, message} = cause as NodeJS.ErrnoException;
      const why =
        code === 'ENOENT'
          ? `${file}: there is no such file`
          : code === 'EISDIR' || code === 'ENOTFILE'
            ? `${file}: ${message}`
            : `${file}: cannot be read (${code})`;
      throw new WeightsError('unreadable-file', `${why}.`, {cause});
    }
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this, offset, length);
    const bytes = new Uint8Array(length);
    // A single read call is limited to 2 GiB.
    for (let done = 0; done < length; ) {
      const count = await this.readPart(bytes, done, Math.min(length - done, 2 ** 30), offset + done);
      if (count === 0)
        throw new WeightsError('truncated-file', `${this.name}: the file became shorter while it was read.`);
      done += count;
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    if (this.fd !== null) fs.closeSync(this.fd);
    this.fd = null;
  }

  private readPart(into: Uint8Array, at: number, length: number, position: number): Promise<number> {
    const {fd} = this;
    if (fd === null) throw new WeightsError('file-closed', `${this.name}: the file was closed already.`);
    return new Promise((resolve, reject) => {
      fs.read(fd, into, at, length, position, (error, count) =>
        error
          ? reject(new WeightsError('unreadable-file', `${this.name}: ${error.message}.`, {cause: error}))
          : resolve(count),
      );
    });
  }
}
