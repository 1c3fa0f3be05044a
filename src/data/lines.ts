import {badRow, type OnBadRow, reportBadRow} from './dataset.js';

/** The bytes of a file or a network, in the pieces in which they come. */
export type ByteChunks = AsyncIterable<Uint8Array>;

/** A line of text. */
export interface Line {
  /** The line without its end. */
  readonly text: string;
  /** Its number, from 1. */
  readonly line: number;
}

/** The options of `readLines`. */
export interface LineOptions {
  /** The most bytes of a line; a longer one is a bad row. Default 256 MiB, more than any picture of use takes. */
  readonly maxLineBytes?: number;
  readonly onBadRow?: OnBadRow;
}

/**
 * Cuts chunks of bytes into lines of UTF-8; at most one line is in memory. "\r\n" ends a line too, a byte order mark at
 * the start is dropped, empty lines are left out but counted.
 * @throws InputError `bad-row` for a line that is too long or no UTF-8, where no `onBadRow` listens
 */
export async function* readLines(chunks: ByteChunks, options: LineOptions = {}): AsyncGenerator<Line> {
  const {maxLineBytes = 256 * 2 ** 20, onBadRow} = options;
  let parts: Uint8Array[] = [];
  let size = 0;
  let line = 1;
  const finish = (): string | undefined => {
    const tooLong = size > maxLineBytes;
    const bytes = parts.length === 1 ? parts[0]! : concat(parts, tooLong ? 0 : size);
    parts = [];
    size = 0;
    if (tooLong) {
      reportBadRow(onBadRow, line, badRow(line, `it is longer than ${maxLineBytes} bytes`));
      return undefined;
    }
    try {
      const text = new TextDecoder('utf-8', {fatal: true, ignoreBOM: line > 1}).decode(bytes);
      return text.endsWith('\r') ? text.slice(0, -1) : text;
    } catch (cause) {
      reportBadRow(onBadRow, line, badRow(line, 'it is not UTF-8 text', cause));
      return undefined;
    }
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      keep(chunk.subarray(from, end));
      const text = finish();
      if (text) yield {text, line};
      line++;
      from = end + 1;
    }
    // A stream may reuse its buffer for the next chunk.
    keep(chunk.slice(from));
  }
  if (size > 0) {
    const text = finish();
    if (text) yield {text, line};
  }

  function keep(part: Uint8Array): void {
    size += part.length;
    if (size <= maxLineBytes) parts.push(part);
    else parts = [];
  }
}

function concat(parts: readonly Uint8Array[], size: number): Uint8Array {
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
