import {z} from 'zod';
import {float16ToFloat32, float32ToFloat16} from '../../checkpoint/float16.js';
import type {EncodingStore} from '../../training/encodings.js';
import {NumberLog} from '../runs/number-log.js';

const rowSchema = z.strictObject({key: z.string(), tokens: z.number().int().positive()}).readonly();
type Row = z.infer<typeof rowSchema>;

/** What encodings depend on: the first line of their file. */
export interface EncodingsHeader {
  readonly task: string;
  /** SHA-256 of the weights. */
  readonly model: string;
  /** SHA-256 of the data file. */
  readonly data: string;
  /** Only so many rows of it; null is all. */
  readonly limit: number | null;
  /** D */
  readonly size: number;
}

/**
 * Encodings in a folder (see NumberLog), little-endian float16, [M_b, D] each: half the disk, and an error far below
 * that of the encoder's own states in training. Disposing it closes the files.
 */
export class EncodingFile implements EncodingStore, Disposable {
  /** The first byte and the tokens of each. */
  readonly #places = new Map<string, {readonly start: number; readonly tokens: number}>();

  private constructor(
    private readonly size: number,
    private readonly log: NumberLog<Row>,
  ) {
    let start = 0;
    for (const {key, tokens} of log.rows) {
      this.#places.set(key, {start, tokens});
      start += 2 * tokens * size;
    }
  }

  /**
   * Opens for appending, or begins the folder.
   * @throws UsageError `resume-mismatch` if it was begun for other encodings
   * @throws InputError `recording-corrupt`, `cannot-write`, `folder-in-use`
   */
  static open(folder: string, header: EncodingsHeader): EncodingFile {
    const {size} = header;
    const format = {
      header: {format: 'mue-encodings', version: 1, ...header},
      file: 'encodings.f16',
      schema: rowSchema,
      bytesOf: ({tokens}: Row) => 2 * tokens * size,
    };
    return new EncodingFile(size, NumberLog.open(folder, format));
  }

  get count(): number {
    return this.#places.size;
  }

  /** Size of the numbers. */
  get bytes(): number {
    return this.log.bytes;
  }

  has(key: string): boolean {
    return this.#places.has(key);
  }

  /** @throws InputError `folder-in-use` if another process writes there; `cannot-write` */
  append(key: string, states: Float32Array): void {
    const halves = float32ToFloat16(states);
    const row = {key, tokens: states.length / this.size};
    const start = this.log.bytes;
    this.log.append(row, new Uint8Array(halves.buffer));
    this.#places.set(key, {start, tokens: row.tokens});
  }

  read(key: string): Float32Array {
    const {start, tokens} = this.#places.get(key)!;
    const halves = new Uint16Array(tokens * this.size);
    this.log.read(start, new Uint8Array(halves.buffer));
    return this.log.check(float16ToFloat32(halves));
  }

  [Symbol.dispose](): void {
    this.log[Symbol.dispose]();
  }
}
