import type {ImageSource} from '../../data/dataset.js';
import {InputError, UsageError} from '../../runtime/errors.js';
import {describeError, exitCodeOf} from './errors.js';
import type {Output} from './output.js';
import {readRegularFile, readTextFile} from '../../node/files/regular-file.js';

/** The bytes of an image file, or of stdin for '-'. @throws InputError `image-unreadable` */
export async function readImage(file: string): Promise<Uint8Array> {
  try {
    if (file !== '-') return readRegularFile(file);
    const chunks: Uint8Array[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Uint8Array);
    return Buffer.concat(chunks);
  } catch (cause) {
    const {code, message} = cause as NodeJS.ErrnoException;
    const remote = code === 'ENOENT' && /^(https?|ftp|s3|gs|data):/i.test(file);
    const pattern = code === 'ENOENT' && /[*?[]/.test(file);
    const why = remote
      ? 'it is an address, not a file'
      : pattern
        ? 'no file matches'
        : code === 'ENOENT'
          ? 'there is no such file'
          : code === 'EISDIR'
            ? 'it is a folder without pictures'
            : message;
    const hint = remote ? 'Nothing is fetched: download the picture and name the file, or pipe it to -.' : undefined;
    throw new InputError('image-unreadable', `${file.slice(0, 200)}: ${why}`, {cause, hint});
  }
}

/** The bytes of an image that a data set names or contains. @throws InputError `image-unreadable` */
export async function readRowImage(image: ImageSource): Promise<Uint8Array> {
  return 'bytes' in image ? image.bytes : await readImage(image.path);
}

/** The lines of a text file, trimmed; empty ones count for nothing. @throws UsageError `list-unreadable` */
export function readList(file: string, flag: string): string[] {
  return readText(file, flag, 'list-unreadable')
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** The allowed answers of a question, one a line as it stands; empty lines count for nothing. @throws UsageError */
export function readAnswers(file: string): string[] {
  const lines = readText(file, '--answers', 'answers-unreadable')
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '');
  if (lines.length === 0) throw new UsageError('answers-empty', `--answers ${file}: there is no answer in it`);
  return lines;
}

function readText(file: string, flag: string, code: string): string {
  try {
    return readTextFile(file);
  } catch (cause) {
    throw new UsageError(code, `${flag} ${file}: ${(cause as Error).message}`, {cause});
  }
}

/** Images of a list that failed: each is reported and counted, and the rest is done (but see `isFatal`). */
export class FailedImages {
  #count = 0;

  constructor(private readonly out: Output) {}

  report(image: string, error: unknown): void {
    this.#count++;
    this.out.warn(`${image}: ${describeError(error)}`.trimEnd());
  }

  /** @returns 0, 5 if some of the images failed, 1 if all did */
  exitCode(images: number): number {
    return exitCodeOf({done: images - this.#count, failed: this.#count});
  }
}

/** Rows of a data set that cannot be used: each is told with its line, and all are counted. */
export class SkippedRows {
  count = 0;

  constructor(private readonly out: Output) {}

  readonly onBadRow = ({line, error}: {readonly line: number; readonly error: Error}): void => {
    this.count++;
    this.out.warn(`warning: line ${line} is skipped: ${error.message}`);
  };

  /** Exit code of a command that succeeds even if it skips every row: 0, or 5 if some were skipped. */
  get exitCode(): number {
    return exitCodeOf({done: 1, failed: this.count});
  }
}
