import {corrupt} from './format.js';

/** A Huffman table, by code length (index 1..16). */
export interface Huffman {
  /** The largest code of a length; -1 where there is none. */
  readonly largest: Int32Array;
  /** The index in `values` of the first code of a length, minus that code. */
  readonly offset: Int32Array;
  readonly values: Uint8Array;
  /** [256] by the next 8 bits: the length of a code of at most 8 bits · 256 + its value; 0 for longer codes. */
  readonly short: Uint16Array;
}

/** The coefficients of a component, written by scan after scan. */
export interface Blocks {
  /** [blocks · 64], each block in zigzag order. */
  readonly coefficients: Int16Array;
  /** [blocks] the largest index in the block at which a coefficient may differ from zero. */
  readonly last: Uint8Array;
}

/** The decoding state of one component of a scan: its tables, the last DC value, and its blocks. */
export interface EntropyPart {
  readonly component: Blocks;
  readonly dc: Huffman | undefined;
  readonly ac: Huffman | undefined;
  predicted: number;
}

/**
 * The coefficients `start` to `end` (in zigzag order) that a progressive scan has, and the bits of them: from `high`,
 * which earlier scans reached, down to `low`.
 */
export interface Band {
  readonly start: number;
  readonly end: number;
  readonly high: number;
  readonly low: number;
}

/** Decodes the blocks of a scan in their order. */
export interface BlockDecoder {
  /** Decodes one block to the 64 coefficients from index `at` on, a multiple of 64. */
  block(part: EntropyPart, at: number): void;
  /** Forgets runs across blocks, after a restart mark. */
  reset(): void;
}

/** A decoder of sequential scans. */
export function baselineDecoder(bits: BitReader): BlockDecoder {
  return {
    reset: () => {},
    block: (part, at) => {
      const {coefficients, last} = part.component;
      part.predicted += bits.signed(bits.symbol(part.dc));
      coefficients[at] = part.predicted;
      let reached = last[at >> 6]!;
      for (let k = 1; k < 64; k++) {
        const symbol = bits.symbol(part.ac);
        const size = symbol & 15;
        const run = symbol >> 4;
        if (size === 0 && run < 15) break;
        k += run;
        if (k > 63) throw corrupt('JPEG', 'a block has too many coefficients');
        coefficients[at + k] = bits.signed(size);
        if (k > reached) reached = k;
      }
      last[at >> 6] = reached;
    },
  };
}

/** A decoder of progressive scans, first and refining ones, of the DC value or of a band of the others. */
export function progressiveDecoder(bits: BitReader, {start, end, high, low}: Band): BlockDecoder {
  let endOfBand = 0;
  const reset = (): void => {
    endOfBand = 0;
  };
  const bit = 1 << low;
  if (start === 0) {
    const block = (part: EntropyPart, at: number): void => {
      const {coefficients} = part.component;
      if (high > 0) {
        if (bits.bit()) coefficients[at] = coefficients[at]! | bit;
        return;
      }
      part.predicted += bits.signed(bits.symbol(part.dc));
      coefficients[at] = part.predicted << low;
    };
    return {block, reset};
  }
  const first = (part: EntropyPart, at: number): void => {
    if (endOfBand > 0) {
      endOfBand--;
      return;
    }
    const {coefficients, last} = part.component;
    let reached = last[at >> 6]!;
    for (let k = start; k <= end; k++) {
      const symbol = bits.symbol(part.ac);
      const size = symbol & 15;
      const run = symbol >> 4;
      if (size === 0 && run < 15) {
        endOfBand = (1 << run) - 1 + bits.read(run);
        break;
      }
      k += run;
      if (k > 63) throw corrupt('JPEG', 'a block has too many coefficients');
      coefficients[at + k] = bits.signed(size) << low;
      if (k > reached) reached = k;
    }
    last[at >> 6] = reached;
  };
  const refine = (part: EntropyPart, at: number): void => {
    const {coefficients, last} = part.component;
    const correct = (k: number): void => {
      const value = coefficients[at + k]!;
      if (bits.bit() && (value & bit) === 0) coefficients[at + k] = value + (value > 0 ? bit : -bit);
    };
    let reached = last[at >> 6]!;
    let k = start;
    for (; endOfBand === 0 && k <= end; k++) {
      const symbol = bits.symbol(part.ac);
      let run = symbol >> 4;
      let value = 0;
      if ((symbol & 15) > 0) value = bits.bit() ? bit : -bit;
      else if (run < 15) {
        endOfBand = (1 << run) + bits.read(run);
        break;
      }
      // Known coefficients on the way get their next bit; `run` counts the zeros.
      for (; k <= end; k++) {
        if (k > reached) {
          k += run;
          break;
        }
        if (coefficients[at + k] !== 0) correct(k);
        else if (run-- === 0) break;
      }
      if (value === 0 || k > end) continue;
      coefficients[at + k] = value;
      if (k > reached) reached = k;
    }
    if (endOfBand > 0) {
      for (const to = Math.min(end, reached); k <= to; k++) if (coefficients[at + k] !== 0) correct(k);
      endOfBand--;
    }
    last[at >> 6] = reached;
  };
  return {block: high === 0 ? first : refine, reset};
}

/** Reads the bits of a scan, without the stuffed bytes, some bytes ahead but never beyond a mark. */
export class BitReader {
  position = 0;
  private readonly data: Uint8Array;
  /** The newest bytes, of which the lowest `left` bits are unread; at most 24. */
  private buffer = 0;
  private left = 0;

  constructor(data: Uint8Array) {
    this.data = data;
  }

  bit(): number {
    if (this.left === 0) this.fill(1);
    return (this.buffer >> --this.left) & 1;
  }

  /** A number of at most 16 bits. */
  read(count: number): number {
    if (this.left < count) this.fill(count);
    this.left -= count;
    return (this.buffer >> this.left) & ((1 << count) - 1);
  }

  /** A number of `size` bits in JPEG's signed form. */
  signed(size: number): number {
    if (size > 15) throw corrupt('JPEG', 'a coefficient is too large');
    const value = this.read(size);
    return size > 0 && value < 1 << (size - 1) ? value - (1 << size) + 1 : value;
  }

  symbol(table: Huffman | undefined): number {
    if (table === undefined) throw corrupt('JPEG', 'a Huffman table is missing');
    if (this.left < 8) this.fill(0);
    if (this.left >= 8) {
      const found = table.short[(this.buffer >> (this.left - 8)) & 255]!;
      if (found > 0) {
        this.left -= found >> 8;
        return found & 255;
      }
    }
    let code = 0;
    for (let length = 1; length <= 16; length++) {
      code = (code << 1) | this.bit();
      if (code <= table.largest[length]!) return table.values[code + table.offset[length]!] ?? 0;
    }
    throw corrupt('JPEG', 'a code has no meaning');
  }

  /** Goes on after the next restart mark. */
  restart(): void {
    this.left = 0;
    const mark = this.data[this.position + 1] ?? 0;
    if (this.data[this.position] !== 0xff || mark < 0xd0 || mark > 0xd7)
      throw corrupt('JPEG', 'a restart mark is missing');
    this.position += 2;
  }

  /** Reads bytes ahead. @throws InputError where less than `count` bits are left then */
  private fill(count: number): void {
    let byte: number | undefined;
    while (this.left <= 16) {
      byte = this.data[this.position];
      if (byte === undefined || (byte === 0xff && this.data[this.position + 1] !== 0)) break;
      this.position += byte === 0xff ? 2 : 1;
      this.buffer = (this.buffer << 8) | byte;
      this.left += 8;
    }
    if (this.left >= count) return;
    throw corrupt('JPEG', byte === undefined ? 'it is cut off inside its pixels' : 'its pixels end early');
  }
}
