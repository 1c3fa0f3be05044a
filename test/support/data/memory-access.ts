import {checkRange, type RandomAccess} from '../../../src/checkpoint/random-access.js';

/** Bytes in memory that are read by offset, as a file is. */
export class MemoryAccess implements RandomAccess, Disposable {
  readonly size: number;

  constructor(
    readonly name: string,
    private readonly bytes: Uint8Array,
  ) {
    this.size = bytes.length;
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this, offset, length);
    return new Uint8Array(this.bytes.subarray(offset, offset + length));
  }

  [Symbol.dispose](): void {}
}
