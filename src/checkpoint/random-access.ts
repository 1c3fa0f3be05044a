import {WeightsError} from '../runtime/errors.js';

/** Bytes that can be read by offset: a file, a blob, a buffer. Readers of checkpoints need nothing else. */
export interface RandomAccess {
  /** Its name in messages: a file name or an address. */
  readonly name: string;
  /** The number of bytes. */
  readonly size: number;
  /**
   * Reads exactly `length` bytes from `offset`.
   * @returns the bytes, the caller's, in a buffer of their own that starts at byte 0, so that any typed array can view
   *   it
   * @throws WeightsError if the source ends before that
   */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** @throws WeightsError unless [offset, offset + length) lies inside the source */
export function checkRange(source: RandomAccess, offset: number, length: number): void {
  if (
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= source.size
  )
    return;
  throw new WeightsError(
    'truncated-file',
    `${source.name}: bytes ${offset} to ${offset + length} are wanted, but the file has ${source.size} bytes.`,
    {hint: 'The file is cut off or damaged: copy or download it again.'},
  );
}
