import {WeightsError} from '../runtime/errors.js';
import type {DType, rawElements} from './dtype.js';
import type {PickleBuilder} from './pickle-globals.js';
import {PickleGlobal, PickleLeaf, type PickleValue} from './pickle-values.js';

const MAX_DIMENSIONS = 16;
/** The types of elements by the class of a storage: a map, since the names come from files. */
const STORAGES: ReadonlyMap<string, DType> = new Map(
  Object.entries({
    HalfStorage: 'F16',
    BFloat16Storage: 'BF16',
    FloatStorage: 'F32',
    DoubleStorage: 'F64',
    LongStorage: 'I64',
    IntStorage: 'I32',
    ShortStorage: 'I16',
    CharStorage: 'I8',
    ByteStorage: 'U8',
    BoolStorage: 'BOOL',
  }),
);

/** The class of a storage of these elements. */
export function storageClass(dtype: DType): string {
  for (const [name, of] of STORAGES) if (of === dtype) return name;
  throw new RangeError(`no storage class of ${dtype}`);
}

/** A run of elements, which is a file of the zip archive. */
class TorchStorage extends PickleLeaf {
  constructor(
    readonly key: string,
    readonly dtype: DType,
    /** The number of elements. */
    readonly length: number,
  ) {
    super();
  }
  describe(): string {
    return `storage ${this.key}: ${this.dtype}[${this.length}]`;
  }
}

/** A tensor as a view of its storage. `offset` and `stride` count elements. */
export class TorchTensor extends PickleLeaf {
  constructor(
    readonly storage: TorchStorage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly stride: readonly number[],
  ) {
    super();
  }
  describe(): string {
    return `tensor ${this.storage.dtype}[${this.shape.join(', ')}]`;
  }
}

const isCounts = (value: PickleValue | undefined): value is number[] =>
  Array.isArray(value) &&
  value.length <= MAX_DIMENSIONS &&
  value.every((n) => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0);

/** Builds torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks, …). */
const rebuildTensor: PickleBuilder = ([storage, offset, size, stride, , hooks]) => {
  if (
    !(storage instanceof TorchStorage) ||
    !isCounts([offset!]) ||
    !isCounts(size) ||
    !isCounts(stride) ||
    size.length !== stride.length
  )
    return undefined;
  if (hooks !== undefined && hooks !== null && !(hooks instanceof Map && hooks.size === 0)) return undefined;
  return new TorchTensor(storage, offset as number, [...size], [...stride]);
};

/** The functions by which torch rebuilds tensors. */
export const TORCH_GLOBALS: ReadonlyMap<string, PickleBuilder> = new Map<string, PickleBuilder>([
  ['torch._utils._rebuild_tensor_v2', rebuildTensor],
  ['torch._utils._rebuild_tensor', rebuildTensor],
  ['torch._utils._rebuild_parameter', ([data]) => (data instanceof TorchTensor ? data : undefined)],
  ['torch.Size', ([sizes]) => (isCounts(sizes) ? [...sizes] : undefined)],
]);

/** Reads persistent ids of torch.save: ('storage', storage class, key, device, element count). */
export function storageOf(source: string): (id: PickleValue) => PickleValue {
  return (id) => {
    const [kind, type, key, , length] = Array.isArray(id) ? id : [];
    const dtype =
      type instanceof PickleGlobal && type.module.split('.')[0] === 'torch' ? STORAGES.get(type.name) : undefined;
    if (kind !== 'storage' || typeof key !== 'string' || !/^\w+$/.test(key) || !isCounts([length!]))
      throw new WeightsError(
        'damaged-pickle',
        `${source}: a storage is described in a way that torch.save does not write.`,
      );
    if (!dtype)
      throw new WeightsError(
        'unsupported-dtype',
        `${source}: storage ${key} is of type ${type instanceof PickleGlobal ? type.path : 'unknown'}; supported are ${[...STORAGES.keys()].join(', ')}.`,
      );
    return new TorchStorage(key, dtype, length as number);
  };
}

/** Whether the elements of a view lie in row-major order without gaps. */
export function isContiguous(shape: readonly number[], stride: readonly number[]): boolean {
  let expected = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1 && stride[d] !== expected) return false;
    expected *= shape[d]!;
  }
  return true;
}

/**
 * Copies the elements of a strided view (a transposed matrix, a convolution stored channels-last) in row-major order.
 * @param count the number of elements of the view
 */
export function gather<T extends ReturnType<typeof rawElements>>(
  raw: T,
  shape: readonly number[],
  stride: readonly number[],
  count: number,
): T {
  const out = new (raw.constructor as new (length: number) => T)(count);
  const index = new Array<number>(shape.length).fill(0);
  const inner = shape.at(-1) ?? 1;
  const innerStride = stride.at(-1) ?? 0;
  let at = 0;
  for (let row = 0; row < count; row += inner) {
    for (let i = 0; i < inner; i++) out[row + i] = raw[at + i * innerStride]!;
    for (let d = shape.length - 2; d >= 0; d--) {
      at += stride[d]!;
      if (++index[d]! < shape[d]!) break;
      at -= shape[d]! * stride[d]!;
      index[d] = 0;
    }
  }
  return out;
}
