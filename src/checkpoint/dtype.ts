import {bfloat16ToFloat32, float16ToFloat32} from './float16.js';

import {WeightsError} from '../runtime/errors.js';

/** An element type whose values are read, by the name that safetensors gives it. */
type ReadDType = 'F16' | 'BF16' | 'F32' | 'F64' | 'I64' | 'I32' | 'I16' | 'I8' | 'U8' | 'BOOL';
/** One that safetensors has and no model here needs: a file with such tensors is sound, but their values are not read. */
type OtherDType = 'U16' | 'U32' | 'U64' | 'C64' | 'F8_E4M3' | 'F8_E5M2' | 'F8_E8M0' | 'F6_E2M3' | 'F6_E3M2' | 'F4';
/** An element type of checkpoints. */
export type DType = ReadDType | OtherDType;

/** The bytes of an element; small floats are packed, so that a byte has several. */
export const DTYPE_BYTES: Readonly<Record<DType, number>> = {
  F16: 2,
  BF16: 2,
  F32: 4,
  F64: 8,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  U16: 2,
  U32: 4,
  U64: 8,
  C64: 8,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  F6_E2M3: 0.75,
  F6_E3M2: 0.75,
  F4: 0.5,
};

/** The values of a tensor as they are read: halves are widened to float32, all other types are kept. */
export type TensorData = Float32Array | Float64Array | BigInt64Array | Int32Array | Int16Array | Int8Array | Uint8Array;

export function isDType(name: unknown): name is DType {
  return typeof name === 'string' && Object.hasOwn(DTYPE_BYTES, name);
}

export function isFloat(dtype: DType): boolean {
  return dtype === 'F16' || dtype === 'BF16' || dtype === 'F32' || dtype === 'F64';
}

/**
 * Views little-endian bytes as raw elements, halves as their bits. The buffer is shared, not copied.
 * @param bytes aligned to the element, as those that begin at byte 0 of their buffer are
 * @throws WeightsError `unsupported-dtype`
 */
export function rawElements(
  bytes: Uint8Array<ArrayBuffer>,
  dtype: DType,
): Uint16Array | Float32Array | Float64Array | BigInt64Array | Int32Array | Int16Array | Int8Array | Uint8Array {
  const {buffer, byteOffset} = bytes;
  const count = bytes.length / DTYPE_BYTES[dtype];
  switch (dtype) {
    case 'F16':
    case 'BF16':
      return new Uint16Array(buffer, byteOffset, count);
    case 'F32':
      return new Float32Array(buffer, byteOffset, count);
    case 'F64':
      return new Float64Array(buffer, byteOffset, count);
    case 'I64':
      return new BigInt64Array(buffer, byteOffset, count);
    case 'I32':
      return new Int32Array(buffer, byteOffset, count);
    case 'I16':
      return new Int16Array(buffer, byteOffset, count);
    case 'I8':
      return new Int8Array(buffer, byteOffset, count);
    case 'U8':
    case 'BOOL':
      return bytes;
    default:
      throw new WeightsError('unsupported-dtype', `Tensors of type ${dtype} are not read.`);
  }
}

/** Widens raw elements that are halves to float32. Others are returned as they are. */
export function widen(raw: ReturnType<typeof rawElements>, dtype: DType): TensorData {
  if (dtype === 'F16') return float16ToFloat32(raw as Uint16Array);
  if (dtype === 'BF16') return bfloat16ToFloat32(raw as Uint16Array);
  return raw as TensorData;
}

/** Converts values to float32; float64 and integers are rounded. Returns the array itself if it is float32 already. */
export function toFloat32(data: TensorData): Float32Array {
  if (data instanceof Float32Array) return data;
  return data instanceof BigInt64Array ? Float32Array.from(data, Number) : Float32Array.from(data);
}
