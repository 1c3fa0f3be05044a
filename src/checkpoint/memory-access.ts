import {checkRange, type RandomAccess} from './random-access.js';

/** Bytes in memory as a source: for browsers, and for tests. */
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
