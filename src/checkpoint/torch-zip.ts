import {WeightsError} from '../runtime/errors.js';
import {type Checkpoint, elementCount, type PlainValue, type TensorEntry, unknownTensor} from './checkpoint.js';
import {DTYPE_BYTES, rawElements, type TensorData, widen} from './dtype.js';
import {refuseForeign} from './foreign-file.js';
import {unpickle} from './pickle.js';
import {PickleObject, type PickleValue, toPlain} from './pickle-values.js';
import type {RandomAccess} from './random-access.js';
import {gather, isContiguous, storageOf, TORCH_GLOBALS, TorchTensor} from './torch-tensor.js';
import {type ZipEntry, ZipFile} from './zip.js';

const MAX_PICKLE_BYTES = 64 * 2 ** 20;
/** A deflated pickle of names and shapes is a tenth of its length; one that unpacks to much more is none. */
const SMALL_PICKLE_BYTES = 2 ** 20;
const MAX_INFLATION = 16;
/** Weights do not shrink much; a few that are all zeros do. */
const SMALL_TENSOR_BYTES = 64 * 2 ** 20;
/** Where trainers keep the weights, and how deep. */
const WEIGHT_KEYS = [
  'model',
  'state_dict',
  'model_state_dict',
  'module',
  'net',
  'network',
  'weights',
  'params',
] as const;
const MOST_KEYS = 4;
/** The weights of a training checkpoint to read: those of the model, or their moving average. */
export type StateName = 'model' | 'ema';

/** A file that torch.save wrote. Its structure is read at once, a tensor when it is asked for. Owns the access. */
export class TorchFile implements Disposable {
  private constructor(
    private readonly access: RandomAccess & Partial<Disposable>,
    private readonly zip: ZipFile,
    private readonly prefix: string,
    readonly top: ReadonlyMap<PickleValue, PickleValue>,
    readonly placeholders: readonly string[],
  ) {}

  /**
   * Reads the structure. On an error the access stays the caller's.
   * @throws WeightsError if the file is no torch zip file, is damaged, or names something that runs code
   */
  static async open(access: RandomAccess & Partial<Disposable>): Promise<TorchFile> {
    await checkMagic(access);
    const zip = await ZipFile.open(access);
    const pickles = [...zip.entries.values()].filter((e) => /^[^/]*\/?data\.pkl$/.test(e.name));
    if (pickles.length !== 1)
      throw new WeightsError(
        'not-a-checkpoint',
        `${access.name}: a zip file with ${pickles.length} 'data.pkl' in it; torch.save writes exactly one.`,
      );
    const prefix = pickles[0]!.name.slice(0, -'data.pkl'.length);
    const order = zip.entries.get(`${prefix}byteorder`);
    if (order && new TextDecoder().decode(await zip.readAll(order, 16)).trim() === 'big')
      throw new WeightsError(
        'unsupported-byte-order',
        `${access.name}: written on a big-endian machine; only little-endian files are read.`,
      );
    const packed = pickles[0]!.compressedBytes;
    const limit = Math.min(MAX_PICKLE_BYTES, SMALL_PICKLE_BYTES + MAX_INFLATION * packed);
    const pickle = await zip.readAll(pickles[0]!, limit);
    const options = {source: access.name, globals: TORCH_GLOBALS, persistent: storageOf(access.name)};
    const {value, placeholders} = unpickle(pickle, options);
    if (!(value instanceof Map))
      throw new WeightsError(
        'not-a-checkpoint',
        `${access.name}: a checkpoint is a dict of tensors, or has one under 'model'; this file holds something else.`,
      );
    return new TorchFile(access, zip, prefix, value, placeholders);
  }

  /**
   * The weights as a checkpoint. Disposing it closes the file.
   * @throws WeightsError if they are not there, or if anything among them is not a plain tensor
   */
  checkpoint(which: StateName = 'model'): Checkpoint {
    const {state, key} = which === 'ema' ? this.movingAverage() : this.weights();
    this.checkInflation();
    const cfg = this.top.get('cfg') ?? this.top.get('args');
    return new TorchCheckpoint(
      this.access,
      this.zip,
      this.prefix,
      this.tensors(state, key),
      toPlain(cfg ?? null),
      this.placeholders,
    );
  }

  [Symbol.dispose](): void {
    this.access[Symbol.dispose]?.();
  }

  private movingAverage(): FoundState {
    const extra = this.top.get('extra_state');
    const state = extra instanceof Map ? extra.get('ema') : undefined;
    if (state instanceof Map) return {state, key: 'extra_state.ema'};
    if (state instanceof PickleObject) throw this.unsafe('extra_state.ema', state);
    throw new WeightsError('no-ema', `${this.access.name}: there are no weights under 'extra_state.ema'.`, {
      hint: 'This checkpoint has no moving average: convert it without --ema.',
    });
  }

  /** The weights: the file's dict itself, or the one that a trainer keeps under a key of its own. */
  private weights(): FoundState {
    let found: FoundState = {state: this.top, key: ''};
    for (let depth = 0; depth < MOST_KEYS; depth++) {
      const {state, key} = found;
      const inner = weightsKey(state);
      if (inner === undefined) break;
      const path = key === '' ? inner : `${key}.${inner}`;
      const value = state.get(inner);
      if (value instanceof PickleObject) throw this.unsafe(path, value);
      if (!(value instanceof Map)) break;
      found = {state: value, key: path};
    }
    return found;
  }

  private unsafe(key: string, {className}: PickleObject): WeightsError {
    return new WeightsError(
      'unsafe-pickle',
      `${this.access.name}: its '${key}' would be made by calling '${className}'. Nothing is called; the file is refused.`,
    );
  }

  /** Refuses compressed tensors that together unpack to far more than weights do: all of them are to be read. */
  private checkInflation(): void {
    const most = SMALL_TENSOR_BYTES + MAX_INFLATION * this.access.size;
    let bytes = 0;
    for (const entry of this.zip.entries.values()) if (entry.method !== 0) bytes += entry.bytes;
    if (bytes > most)
      throw new WeightsError(
        'zip-too-large',
        `${this.access.name}: its compressed entries unpack to ${bytes} bytes; of a file of ${this.access.size} at most ${most} are read.`,
      );
  }

  private tensors(state: ReadonlyMap<PickleValue, PickleValue>, key: string): ReadonlyMap<string, TorchTensor> {
    const tensors = new Map<string, TorchTensor>();
    const where = key === '' ? 'the file' : `'${key}'`;
    for (const [name, value] of state) {
      if (typeof name !== 'string')
        throw new WeightsError('damaged-pickle', `${this.access.name}: a name in ${where} is no string.`);
      if (value instanceof PickleObject)
        throw new WeightsError(
          'unsafe-pickle',
          `${this.access.name}: '${name}' would be made by calling '${value.className}'. Nothing is called; among the weights only tensors are accepted.`,
        );
      if (!(value instanceof TorchTensor))
        throw new WeightsError('not-a-tensor', `${this.access.name}: '${name}' in ${where} is no tensor.`, {
          hint: `Its keys are ${keysOf(state)}; weights are looked for under ${WEIGHT_KEYS.join(', ')}.`,
        });
      this.check(name, value);
      tensors.set(name, value);
    }
    return tensors;
  }

  /** Checks that a tensor lies inside its storage, and that the storage is as long as its zip entry. */
  private check(name: string, {storage, offset, shape, stride}: TorchTensor): void {
    const fail = (what: string): WeightsError =>
      new WeightsError('damaged-tensor', `${this.access.name}: '${name}' [${shape.join(', ')}]: ${what}.`);
    const entry = this.zip.entries.get(`${this.prefix}data/${storage.key}`);
    if (!entry) throw fail(`its storage ${storage.key} is not in the file`);
    const wanted = storage.length * DTYPE_BYTES[storage.dtype];
    if (entry.bytes !== wanted)
      throw fail(`its storage ${storage.key} should have ${wanted} bytes, but has ${entry.bytes}`);
    const count = elementCount(shape);
    // A stride of 0 would let a short storage pass as an endless tensor. No model needs more elements than are stored.
    if (count > storage.length) throw fail(`it has ${count} elements, its storage ${storage.length}`);
    const last = shape.reduce((sum, size, d) => sum + (size - 1) * stride[d]!, offset);
    if (count > 0 && last >= storage.length) throw fail(`it reaches element ${last} of a storage of ${storage.length}`);
  }
}

/** A dict of tensors, and the keys that lead to it. */
interface FoundState {
  readonly state: ReadonlyMap<PickleValue, PickleValue>;
  readonly key: string;
}

/**
 * The key under which trainers keep the weights: a usual one, else the only one of a dict of nothing but tensors;
 * undefined for a dict that has tensors itself, or no such key.
 */
function weightsKey(state: ReadonlyMap<PickleValue, PickleValue>): string | undefined {
  const usual = WEIGHT_KEYS.find((key) => {
    const value = state.get(key);
    return value instanceof Map || value instanceof PickleObject;
  });
  if (usual !== undefined) return usual;
  const dicts: string[] = [];
  for (const [key, value] of state) {
    if (value instanceof TorchTensor) return undefined;
    if (typeof key !== 'string' || !(value instanceof Map) || value.size === 0) continue;
    if ([...value.values()].every((tensor) => tensor instanceof TorchTensor)) dicts.push(key);
  }
  return dicts.length === 1 ? dicts[0] : undefined;
}

/** The first keys of a dict, for messages. */
function keysOf(state: ReadonlyMap<PickleValue, PickleValue>): string {
  const keys = [...state.keys()].slice(0, 8).map((key) => `'${String(key).slice(0, 80)}'`);
  return keys.join(', ') + (state.size > keys.length ? ', …' : '');
}

class TorchCheckpoint implements Checkpoint {
  readonly format = 'torch';
  readonly source: string;
  /** The compressed storage that was read last: tensors that share one come one after the other. */
  private inflated: {readonly name: string; readonly bytes: Uint8Array<ArrayBuffer>} | undefined;

  constructor(
    private readonly access: RandomAccess & Partial<Disposable>,
    private readonly zip: ZipFile,
    private readonly prefix: string,
    private readonly tensors: ReadonlyMap<string, TorchTensor>,
    readonly cfg: PlainValue,
    readonly placeholders: readonly string[],
  ) {
    this.source = access.name;
  }

  names(): readonly string[] {
    return [...this.tensors.keys()];
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  entry(name: string): TensorEntry {
    const {storage, shape} = this.tensor(name);
    return {dtype: storage.dtype, shape};
  }

  async read(name: string): Promise<TensorData> {
    const {storage, offset, shape, stride} = this.tensor(name);
    const count = elementCount(shape);
    const width = DTYPE_BYTES[storage.dtype];
    const span = count === 0 ? 0 : shape.reduce((sum, size, d) => sum + (size - 1) * stride[d]!, 1);
    const entry = this.zip.entries.get(`${this.prefix}data/${storage.key}`)!;
    const raw = rawElements(await this.bytes(entry, offset * width, span * width), storage.dtype);
    return widen(isContiguous(shape, stride) ? raw : gather(raw, shape, stride, count), storage.dtype);
  }

  /** Some bytes of a storage, which its entry holds as they are or compressed. */
  private async bytes(entry: ZipEntry, from: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    if (entry.method === 0) return this.access.read((await this.zip.locate(entry)) + from, length);
    if (this.inflated?.name !== entry.name)
      this.inflated = {
        name: entry.name,
        bytes: await this.zip.readAll(entry, Math.max(entry.bytes, entry.compressedBytes)),
      };
    return this.inflated.bytes.slice(from, from + length);
  }

  sameStorage(a: string, b: string): boolean {
    const [x, y] = [this.tensor(a), this.tensor(b)];
    const where = (t: TorchTensor): string => JSON.stringify([t.storage.key, t.offset, t.shape, t.stride]);
    return where(x) === where(y);
  }

  [Symbol.dispose](): void {
    this.access[Symbol.dispose]?.();
  }

  private tensor(name: string): TorchTensor {
    const tensor = this.tensors.get(name);
    if (!tensor) throw unknownTensor(this.source, name);
    return tensor;
  }
}

/** Checks the first bytes, and says of a file that is none of torch's what it is. */
async function checkMagic(access: RandomAccess): Promise<void> {
  const head = await access.read(0, Math.min(access.size, 64));
  if (head[0] === 0x50 && head[1] === 0x4b) return;
  // The magic number 0x1950a86a20f9469cfc6c, pickled with protocol 2, that torch.save wrote before version 1.6.
  const legacy = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
  if (legacy.every((byte, i) => head[i] === byte))
    throw new WeightsError(
      'legacy-torch-file',
      `${access.name}: written by torch.save before PyTorch 1.6 (no zip file); only the zip format is read.`,
      {
        hint: 'Save it again in Python: torch.save(torch.load(file, map_location="cpu"), new_file).',
      },
    );
  await refuseForeign(access, 'not-a-checkpoint');
  throw new WeightsError(
    'not-a-checkpoint',
    `${access.name}: not a PyTorch file: it does not begin as a zip file does (${access.size} bytes).`,
  );
}
