import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';

/** An array of a safetensors golden; bool and the integer types keep their own arrays, float16 is widened. */
export interface GoldenArray {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly data: Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;
}

/** The folder of the goldens: test/golden, or $GOLDEN_DIR, which has the same files. */
export const goldenDir: string = process.env.GOLDEN_DIR ?? path.join(import.meta.dirname, '..', '..', 'golden');

export interface GoldenFolder {
  /** The bytes of `<name>` or `<name>.gz`. */
  bytes(name: string): Uint8Array;
  json(name: string): unknown;
  arrays(name: string): Record<string, GoldenArray>;
}

export function goldenIn(folder: string): GoldenFolder {
  const bytes = (name: string): Uint8Array => {
    const file = path.join(folder, name);
    return new Uint8Array(fs.existsSync(file) ? fs.readFileSync(file) : zlib.gunzipSync(fs.readFileSync(`${file}.gz`)));
  };
  return {
    bytes,
    json: (name) => JSON.parse(new TextDecoder().decode(bytes(name))),
    arrays: (name) => safetensors(bytes(name)),
  };
}

/** The bytes of a golden, from `<name>` or `<name>.gz`. */
export function goldenBytes(name: string): Uint8Array {
  return goldenIn(goldenDir).bytes(name);
}

/** A parsed golden: any JSON value for `.json` (its shape is the test's business), named arrays for `.safetensors`. */
export function golden(name: `${string}.safetensors`): Record<string, GoldenArray>;
export function golden<T = unknown>(name: string): T;
export function golden(name: string): unknown {
  const folder = goldenIn(goldenDir);
  return name.endsWith('.safetensors') ? folder.arrays(name) : folder.json(name);
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

function safetensors(bytes: Uint8Array): Record<string, GoldenArray> {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, Entry>;
  const arrays: Record<string, GoldenArray> = {};
  for (const [
    name,
    {
      dtype,
      shape,
      data_offsets: [from, to],
    },
  ] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const {buffer} = bytes.slice(8 + length + from, 8 + length + to);
    arrays[name] = {dtype, shape, data: typed(dtype, buffer)};
  }
  return arrays;
}

function typed(dtype: string, buffer: ArrayBuffer): GoldenArray['data'] {
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer);
    case 'F64':
      return new Float64Array(buffer);
    case 'I32':
      return new Int32Array(buffer);
    case 'I64':
      return new BigInt64Array(buffer);
    case 'BOOL':
    case 'U8':
      return new Uint8Array(buffer);
    case 'F16':
      return Float32Array.from(new Uint16Array(buffer), half);
    default:
      throw new Error(`golden: dtype ${dtype}`);
  }
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
