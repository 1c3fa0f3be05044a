import {elementCount, type PlainValue} from './checkpoint.js';
import type {DType} from './dtype.js';
import {storageClass} from './torch-tensor.js';

/** What a pickle can be written of. Maps become dicts, arrays lists. */
export type Pickled =
  | null
  | boolean
  | number
  | string
  | readonly Pickled[]
  | ReadonlyMap<string, Pickled>
  | Tuple
  | Global
  | Call
  | Tensor;

export class Tuple {
  constructor(readonly items: readonly Pickled[]) {}
}

/** The name of a class or function of Python's. */
export class Global {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {}
}

/** A call of a class or function when the pickle is loaded by Python. */
export class Call {
  /**
   * @param state     attributes that the result gets
   * @param entries   entries that the result, a dict, gets
   */
  constructor(
    readonly callee: Global,
    readonly args: readonly Pickled[],
    readonly state?: Pickled,
    readonly entries?: ReadonlyMap<string, Pickled>,
  ) {}
}

/** The elements of tensors: one file of a torch archive. */
export interface Storage {
  /** Name of the file under `data/`. */
  readonly key: string;
  readonly dtype: DType;
  /** The number of elements. */
  readonly length: number;
}

/** A tensor as a view of its storage. `offset` and `stride` count elements. */
export class Tensor {
  constructor(
    readonly storage: Storage,
    readonly shape: readonly number[],
    readonly offset = 0,
    readonly stride: readonly number[] = rowMajor(shape),
  ) {}
}

function rowMajor(shape: readonly number[]): number[] {
  return shape.map((_, d) => elementCount(shape.slice(d + 1)));
}

/** An `argparse.Namespace` with these attributes. */
export function namespace(attributes: Readonly<Record<string, PlainValue>>): Call {
  return new Call(new Global('argparse', 'Namespace'), [], fromPlain(attributes));
}

/** A `collections.OrderedDict`. */
export function orderedDict(entries: ReadonlyMap<string, Pickled>): Call {
  return new Call(new Global('collections', 'OrderedDict'), [], undefined, entries);
}

/** Plain data to be pickled: objects become dicts. */
export function fromPlain(value: PlainValue): Pickled {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(fromPlain);
  return new Map(Object.entries(value).map(([key, item]) => [key, fromPlain(item as PlainValue)]));
}

/** The pickle of a value, protocol 2, as torch.save writes it but without a memo. */
export function pickle(value: Pickled): Uint8Array {
  const writer = new PickleWriter();
  writer.write(value);
  return writer.end();
}

/** Codes of a pickle's instructions. */
const OP = {
  proto: 0x80,
  stop: 0x2e,
  mark: 0x28,
  none: 0x4e,
  true: 0x88,
  false: 0x89,
  int: 0x4a,
  long: 0x8a,
  double: 0x47,
  text: 0x58,
  list: 0x5d,
  append: 0x65,
  dict: 0x7d,
  setItems: 0x75,
  tuple: 0x74,
  global: 0x63,
  call: 0x52,
  build: 0x62,
  persistent: 0x51,
} as const;

class PickleWriter {
  readonly #bytes = new ByteBuffer();
  readonly #encoder = new TextEncoder();

  constructor() {
    this.#bytes.push(OP.proto, 2);
  }

  end(): Uint8Array {
    this.#bytes.push(OP.stop);
    return this.#bytes.taken();
  }

  write(value: Pickled): void {
    if (value === null) this.#bytes.push(OP.none);
    else if (typeof value === 'boolean') this.#bytes.push(value ? OP.true : OP.false);
    else if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'string') this.#text(value);
    else if (value instanceof Tuple) this.#tuple(value.items);
    else if (value instanceof Global) this.#global(value);
    else if (value instanceof Call) this.#call(value);
    else if (value instanceof Tensor) this.#tensor(value);
    else if (value instanceof Map) {
      this.#bytes.push(OP.dict);
      this.#entries(value as ReadonlyMap<string, Pickled>);
    } else {
      this.#bytes.push(OP.list, OP.mark);
      for (const item of value as readonly Pickled[]) this.write(item);
      this.#bytes.push(OP.append);
    }
  }

  #number(value: number): void {
    const small = Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 31;
    const data = new DataView(new ArrayBuffer(8));
    if (small) data.setInt32(0, value, true);
    else if (Number.isSafeInteger(value)) data.setBigInt64(0, BigInt(value), true);
    else data.setFloat64(0, value);
    if (small) this.#bytes.push(OP.int);
    else if (Number.isSafeInteger(value)) this.#bytes.push(OP.long, 8);
    else this.#bytes.push(OP.double);
    this.#bytes.append(new Uint8Array(data.buffer, 0, small ? 4 : 8));
  }

  #text(value: string): void {
    const bytes = this.#encoder.encode(value);
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, bytes.length, true);
    this.#bytes.push(OP.text);
    this.#bytes.append(length);
    this.#bytes.append(bytes);
  }

  #tuple(items: readonly Pickled[]): void {
    this.#bytes.push(OP.mark);
    for (const item of items) this.write(item);
    this.#bytes.push(OP.tuple);
  }

  #global({module, name}: Global): void {
    this.#bytes.push(OP.global);
    this.#bytes.append(this.#encoder.encode(`${module}\n${name}\n`));
  }

  #entries(entries: ReadonlyMap<string, Pickled>): void {
    this.#bytes.push(OP.mark);
    for (const [key, item] of entries) {
      this.#text(key);
      this.write(item);
    }
    this.#bytes.push(OP.setItems);
  }

  #call({callee, args, state, entries}: Call): void {
    this.#global(callee);
    this.#tuple(args);
    this.#bytes.push(OP.call);
    if (entries) this.#entries(entries);
    if (state === undefined) return;
    this.write(state);
    this.#bytes.push(OP.build);
  }

  #tensor({storage, shape, offset, stride}: Tensor): void {
    this.#global(new Global('torch._utils', '_rebuild_tensor_v2'));
    this.#bytes.push(OP.mark);
    this.#tuple(['storage', new Global('torch', storageClass(storage.dtype)), storage.key, 'cpu', storage.length]);
    this.#bytes.push(OP.persistent);
    this.write(offset);
    this.#tuple(shape);
    this.#tuple(stride);
    this.write(false);
    this.write(orderedDict(new Map()));
    this.#bytes.push(OP.tuple, OP.call);
  }
}

/** Bytes that grow: the room doubles when it is used up. */
class ByteBuffer {
  #room = new Uint8Array(4096);
  #length = 0;

  push(...values: readonly number[]): void {
    this.append(Uint8Array.from(values));
  }

  append(bytes: Uint8Array): void {
    const end = this.#length + bytes.length;
    if (end > this.#room.length) {
      const room = new Uint8Array(Math.max(end, 2 * this.#room.length));
      room.set(this.#room.subarray(0, this.#length));
      this.#room = room;
    }
    this.#room.set(bytes, this.#length);
    this.#length = end;
  }

  taken(): Uint8Array {
    return this.#room.slice(0, this.#length);
  }
}
