import {WeightsError} from '../runtime/errors.js';

const utf8 = new TextDecoder('utf-8', {fatal: false});

/**
 * Reads the bytes of a pickle front to back. Every length is checked against the bytes that are left before it is
 * believed.
 */
export class PickleBytes {
  readonly size: number;
  private readonly data: DataView;
  private at = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly source: string,
  ) {
    this.size = bytes.length;
    this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** An error that names the byte that is being read. */
  error(what: string): WeightsError {
    return new WeightsError('damaged-pickle', `${this.source}: byte ${this.at} of its pickle: ${what}.`, {
      hint: 'The file is damaged, or no checkpoint.',
    });
  }

  /** @throws WeightsError unless as many bytes are left */
  checkLength(length: number): void {
    if (length > this.bytes.length - this.at)
      throw this.error(`${length} bytes are announced, ${this.bytes.length - this.at} are left`);
  }

  /** The next bytes, borrowed. */
  take(length: number): Uint8Array {
    this.checkLength(length);
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  u8(): number {
    this.checkLength(1);
    return this.bytes[this.at++]!;
  }

  private number(width: number, read: (at: number) => number): number {
    this.checkLength(width);
    this.at += width;
    return read(this.at - width);
  }

  u16(): number {
    return this.number(2, (at) => this.data.getUint16(at, true));
  }

  u32(): number {
    return this.number(4, (at) => this.data.getUint32(at, true));
  }

  i32(): number {
    return this.number(4, (at) => this.data.getInt32(at, true));
  }

  u64(): number {
    return this.number(8, (at) => Number(this.data.getBigUint64(at, true)));
  }

  f64(): number {
    return this.number(8, (at) => this.data.getFloat64(at, false));
  }

  /** Reads a little-endian two's complement integer of any length: a number where it is safe, else a bigint. */
  long(length: number): number | bigint {
    // Converting takes time quadratic in the length, and no checkpoint has an integer of kilobytes.
    if (length > 1024) throw this.error(`an integer of ${length} bytes`);
    let value = 0n;
    const digits = this.take(length);
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(digits[i]!);
    return small(length && digits[length - 1]! & 0x80 ? value - (1n << BigInt(8 * length)) : value);
  }

  integer(text: string): number | bigint {
    if (!/^[+-]?\d{1,2000}$/.test(text)) throw this.error('an integer that is none');
    return small(BigInt(text.replace(/^\+/, '')));
  }

  /** Reads a decimal integer, or one of the two booleans of protocol 1. */
  intLine(): number | bigint | boolean {
    const text = this.line();
    return text === '00' ? false : text === '01' ? true : this.integer(text);
  }

  text(length: number): string {
    return utf8.decode(this.take(length));
  }

  latin1(length: number): string {
    const bytes = this.take(length);
    let text = '';
    // Pieces that fit in the arguments of a call; one string a byte would take thirty times the memory.
    for (let at = 0; at < length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return text;
  }

  line(): string {
    const text = this.text(this.lineLength());
    this.at++;
    return text;
  }

  /** Reads a line in Python's raw-unicode-escape: latin1, but for \u0123 and \U00012345. */
  escapedLine(): string {
    const text = this.latin1(this.lineLength());
    this.at++;
    return text.replace(/\\u([\da-fA-F]{4})|\\U(0010[\da-fA-F]{4}|000[\da-fA-F]{5})/g, (_, short, long) =>
      String.fromCodePoint(Number.parseInt(short ?? long, 16)),
    );
  }

  private lineLength(): number {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) throw this.error('a line without an end');
    return end - this.at;
  }

  quoted(): string {
    const text = this.line();
    if (!/^(['"]).*\1$/.test(text) || text.length < 2) throw this.error('a string without quotes');
    return text.slice(1, -1);
  }
}

function small(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}
