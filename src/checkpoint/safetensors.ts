import {WeightsError} from '../runtime/errors.js';
import {type Checkpoint, elementCount, type PlainValue, type TensorEntry, unknownTensor} from './checkpoint.js';
import {DTYPE_BYTES, isDType, rawElements, type TensorData, widen} from './dtype.js';
import {refuseForeign} from './foreign-file.js';
import type {RandomAccess} from './random-access.js';
import {parseJson} from '../runtime/parse-json.js';

/** The most bytes of a header, the limit of the format's own library. */
const MAX_HEADER_BYTES = 100_000_000;

interface Placed extends TensorEntry {
  /** The position of its first byte in the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** A safetensors file. The header is read at once, a tensor when it is asked for. Owns the access. */
export class SafetensorsFile implements Checkpoint {
  readonly format = 'safetensors';
  readonly cfg: PlainValue = null;
  readonly placeholders: readonly string[] = [];
  readonly source: string;

  private constructor(
    private readonly access: RandomAccess & Partial<Disposable>,
    private readonly tensors: ReadonlyMap<string, Placed>,
    /** What the file says of itself, as it stands there; undefined if nothing. */
    readonly metadata: unknown,
    /** The position of the first byte behind the header. */
    readonly dataStart: number,
  ) {
    this.source = access.name;
  }

  /**
   * Reads the header. On an error the access stays the caller's.
   * @throws WeightsError if the header is damaged, or tensors lie outside the file, overlap, or are not as long as
   *   their shapes say
   */
  static async open(access: RandomAccess & Partial<Disposable>): Promise<SafetensorsFile> {
    const length = access.size < 8 ? -1 : Number(new DataView((await access.read(0, 8)).buffer).getBigUint64(0, true));
    if (access.size < 8 || length < 2 || length > MAX_HEADER_BYTES || 8 + length > access.size)
      await refuseForeign(access, 'damaged-safetensors');
    if (length < 2 || length > MAX_HEADER_BYTES || 8 + length > access.size)
      throw new WeightsError(
        'damaged-safetensors',
        `${access.name}: not a safetensors file: a header of ${length} bytes is announced, in a file of ${access.size}.`,
      );
    const header = parseHeader(access.name, await access.read(8, length));
    const tensors = new Map<string, Placed>();
    for (const [name, value] of Object.entries(header)) {
      if (name !== '__metadata__') tensors.set(name, placed(access, name, value, 8 + length));
    }
    checkOverlaps(access.name, tensors);
    return new SafetensorsFile(access, tensors, header['__metadata__'], 8 + length);
  }

  names(): readonly string[] {
    return [...this.tensors.keys()];
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  entry(name: string): TensorEntry {
    const {dtype, shape} = this.tensor(name);
    return {dtype, shape};
  }

  async read(name: string): Promise<TensorData> {
    const {dtype, offset, bytes} = this.tensor(name);
    return widen(rawElements(await this.access.read(offset, bytes), dtype), dtype);
  }

  sameStorage(a: string, b: string): boolean {
    return a === b;
  }

  [Symbol.dispose](): void {
    this.access[Symbol.dispose]?.();
  }

  private tensor(name: string): Placed {
    const tensor = this.tensors.get(name);
    if (!tensor) throw unknownTensor(this.source, name);
    return tensor;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseHeader(source: string, bytes: Uint8Array): Record<string, unknown> {
  try {
    const header: unknown = parseJson(new TextDecoder('utf-8', {fatal: true}).decode(bytes));
    if (isRecord(header)) return header;
  } catch (cause) {
    throw new WeightsError('damaged-safetensors', `${source}: the header of this safetensors file is no JSON.`, {
      cause,
    });
  }
  throw new WeightsError('damaged-safetensors', `${source}: the header of this safetensors file is no JSON object.`);
}

function placed(access: RandomAccess, name: string, value: unknown, start: number): Placed {
  const fail = (what: string): WeightsError =>
    new WeightsError('damaged-safetensors', `${access.name}: '${name}': ${what}.`);
  const isCount = (n: unknown): n is number => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0;
  if (!isRecord(value)) throw fail('its description is no object');
  const {dtype, shape, data_offsets: range} = value;
  if (!isDType(dtype)) throw fail(`its type '${String(dtype)}' is not one of ${Object.keys(DTYPE_BYTES).join(', ')}`);
  if (!Array.isArray(shape) || shape.length > 16 || !shape.every(isCount)) throw fail('its shape is no list of sizes');
  if (!Array.isArray(range) || range.length !== 2 || !range.every(isCount))
    throw fail('its offsets are no pair of positions');
  const [from, to] = range as [number, number];
  if (from > to || start + to > access.size)
    throw fail(`bytes ${from} to ${to} are not in the ${access.size - start} bytes of data: the file is cut off`);
  const wanted = elementCount(shape) * DTYPE_BYTES[dtype];
  if (to - from !== wanted)
    throw fail(`${dtype} [${shape.join(', ')}] takes ${wanted} bytes, but ${to - from} are given`);
  return {dtype, shape, offset: start + from, bytes: to - from};
}

function checkOverlaps(source: string, tensors: ReadonlyMap<string, Placed>): void {
  const ordered = [...tensors].filter(([, t]) => t.bytes > 0).sort(([, a], [, b]) => a.offset - b.offset);
  ordered.forEach(([name, tensor], i) => {
    const next = ordered[i + 1];
    if (next && tensor.offset + tensor.bytes > next[1].offset)
      throw new WeightsError('damaged-safetensors', `${source}: '${name}' and '${next[0]}' overlap.`);
  });
}

/** A tensor that is to be written. */
export interface TensorPlan extends TensorEntry {
  readonly name: string;
}

/** The bytes that a tensor takes in a file. */
export function tensorBytes(tensor: TensorEntry): number {
  return elementCount(tensor.shape) * DTYPE_BYTES[tensor.dtype];
}

/**
 * Writes a safetensors file front to back, one tensor in memory at a time, in the order given. The header is padded
 * with spaces so that the data begin at a multiple of 64 bytes; tensors follow each other without gaps, as the format
 * asks. Equal input gives equal bytes.
 * @param produce gives the little-endian bytes of one tensor
 * @param sink    takes the pieces in order, each its own from then on
 */
export async function writeSafetensors(
  tensors: readonly TensorPlan[],
  metadata: Readonly<Record<string, string>>,
  produce: (tensor: TensorPlan) => Promise<Uint8Array>,
  sink: (piece: Uint8Array) => Promise<void>,
): Promise<void> {
  await sink(safetensorsHeader(tensors, metadata));
  for (const tensor of tensors) {
    const bytes = await produce(tensor);
    if (bytes.length !== tensorBytes(tensor))
      throw new RangeError(`'${tensor.name}': ${bytes.length} bytes for ${tensor.dtype} [${tensor.shape.join(', ')}]`);
    await sink(bytes);
  }
}

function safetensorsHeader(tensors: readonly TensorPlan[], metadata: Readonly<Record<string, string>>): Uint8Array {
  let at = 0;
  const entries = tensors.map((tensor): [string, unknown] => {
    const range = [at, at + tensorBytes(tensor)];
    at = range[1]!;
    return [tensor.name, {dtype: tensor.dtype, shape: tensor.shape, data_offsets: range}];
  });
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries([['__metadata__', metadata], ...entries])));
  const out = new Uint8Array(Math.ceil((8 + json.length) / 64) * 64).fill(0x20);
  new DataView(out.buffer).setBigUint64(0, BigInt(out.length - 8), true);
  out.set(json, 8);
  return out;
}

/** Views values as their bytes; the buffer is shared. */
export function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
