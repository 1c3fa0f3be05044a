import {InputError, UsageError} from '../../runtime/errors.js';
import {describeError, exitCodeOf} from './errors.js';
import type {Output} from './output.js';
import {readPictureFile} from '../../node/files/read-picture.js';
import {readTextFile} from '../../node/files/regular-file.js';

/** The bytes of an image file, or of stdin for '-'. @throws InputError `image-unreadable` */
export async function readImage(file: string): Promise<Uint8Array> {
  if (file !== '-') return readPictureFile(file);
  try {
    const chunks: Uint8Array[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Uint8Array);
    return Buffer.concat(chunks);
  } catch (cause) {
    throw new InputError('image-unreadable', `stdin: ${(cause as Error).message}`, {cause});
  }
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

/** The hints of rows that are skipped, each said once: the same fault is often in many rows. */
export class Hints {
  readonly #said = new Set<string>();

  constructor(private readonly out: Pick<Output, 'warn'>) {}

  say(error: object): void {
    const {hint} = error as {readonly hint?: unknown};
    if (typeof hint !== 'string' || this.#said.has(hint)) return;
    this.#said.add(hint);
    this.out.warn(`  → ${hint}`);
  }
}

/** Rows of a data set that cannot be used: each is told with its line, and all are counted. */
export class SkippedRows {
  count = 0;
  readonly #hints: Hints;

  constructor(private readonly out: Output) {
    this.#hints = new Hints(out);
  }

  readonly onBadRow = ({line, error}: {readonly line: number; readonly error: Error}): void => {
    this.count++;
    this.out.warn(`warning: line ${line} is skipped: ${error.message}`);
    this.#hints.say(error);
  };

  /** Exit code of a command that succeeds even if it skips every row: 0, or 5 if some were skipped. */
  get exitCode(): number {
    return exitCodeOf({done: 1, failed: this.count});
  }
}
