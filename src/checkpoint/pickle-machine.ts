import {WeightsError} from '../runtime/errors.js';
import {PickleBytes} from './pickle-bytes.js';
import {isDangerous, type PickleBuilder, PLAIN_GLOBALS} from './pickle-globals.js';
import {PickleGlobal, PickleObject, type PickleValue} from './pickle-values.js';

export interface UnpickleOptions {
  /** The name of the bytes in messages. */
  readonly source: string;
  /** The globals of the format, by 'module.name', beside the plain ones. */
  readonly globals?: ReadonlyMap<string, PickleBuilder>;
  /** Gives the value behind a persistent id. Without it, an id is an error. */
  readonly persistent?: (id: PickleValue) => PickleValue;
}

const MARK = Symbol('mark');

/** The bytes that a pickle may make, copy or compare, whatever its length, and those that each of its bytes adds. */
const FREE_COST = 96 * 2 ** 20;
const COST_PER_BYTE = 16;
/** The longest path of a class or function. */
const MAX_PATH = 1000;

/** The bytes of memory that a new value takes, about; a container's are those of an empty one. */
function newCost(value: PickleValue): number {
  if (value === null || typeof value === 'boolean' || typeof value === 'number') return 16;
  if (typeof value === 'string') return 32 + value.length;
  if (typeof value === 'bigint') return 128;
  if (Array.isArray(value)) return 48 + 8 * value.length;
  if (value instanceof Uint8Array) return 256 + value.length;
  return value instanceof PickleObject ? 400 : 256;
}

/** The words of 8 bytes that something takes at most to walk over a value and copy it. */
function extent(value: PickleValue): number {
  if (typeof value === 'string' || value instanceof Uint8Array) return value.length;
  if (Array.isArray(value)) return 4 * value.length;
  return value instanceof Map || value instanceof Set ? 8 * value.size : 0;
}

/**
 * A pickle's bytes, stack and memo, and the operations on them, each of which does what a few opcodes of Python's
 * pickle machine do. `pickle.ts` has the table of opcodes.
 */
export class PickleMachine {
  /** The paths of classes and functions that were called for and not built. */
  readonly placeholders: Set<string> = new Set();
  readonly input: PickleBytes;
  readonly memo: Map<number, PickleValue> = new Map();
  private stack: (PickleValue | typeof MARK)[] = [];
  private cost = 0;

  constructor(
    bytes: Uint8Array,
    private readonly options: UnpickleOptions,
  ) {
    this.input = new PickleBytes(bytes, options.source);
  }

  global(module: string, name: string): PickleGlobal {
    if (module.length + name.length > MAX_PATH) throw this.error(`a class whose name is longer than ${MAX_PATH}`);
    const global = new PickleGlobal(module, name);
    if (!isDangerous(global)) return global;
    throw new WeightsError(
      'unsafe-pickle',
      `${this.options.source}: the pickle names '${global.path}', which runs programs or code. Nothing was executed; the file is refused.`,
      {hint: 'No checkpoint needs this: do not open the file with other software either.'},
    );
  }

  protocol(version: number): void {
    if (version > 5) throw this.error(`protocol ${version} is not known`);
  }

  globalOf([module, name]: readonly PickleValue[]): PickleGlobal {
    if (typeof module !== 'string' || typeof name !== 'string') throw this.error('a class whose name is no string');
    return this.global(module, name);
  }

  reduce([callee, args]: readonly PickleValue[]): void {
    this.push(this.build(callee!, args!));
  }

  /** A call with named arguments, which are kept as the last argument. */
  reduceNamed([callee, args, named]: readonly PickleValue[]): void {
    if (!(named instanceof Map)) throw this.error('named arguments that are no dict');
    this.charge(8 * extent(args!));
    this.push(this.build(callee!, named.size ? [...this.list(args!), named] : args!));
  }

  construct([callee, ...args]: PickleValue[]): void {
    this.push(this.build(callee ?? null, args));
  }

  build(callee: PickleValue, args: PickleValue): PickleValue {
    if (!(callee instanceof PickleGlobal)) {
      if (!(callee instanceof PickleObject)) throw this.error('a call of something that is no class or function');
      return new PickleObject(callee.className, this.list(args));
    }
    const items = this.list(args);
    // Builders may copy a container or a text. Those that the memo gives again cost again.
    this.charge(8 * items.length + callee.module.length + callee.name.length);
    for (const item of items) this.charge(8 * extent(item));
    // Protocols 0 and 1 make an object of a plain class by _reconstructor(class, object, None).
    if (
      callee.name === '_reconstructor' &&
      (callee.module === 'copyreg' || callee.module === 'copy_reg') &&
      items[0] instanceof PickleGlobal
    )
      return this.build(items[0], []);
    const builder = this.options.globals?.get(callee.path) ?? PLAIN_GLOBALS.get(callee.path);
    const built = builder?.(items);
    if (built !== undefined) return built;
    if (this.placeholders.size < 1000) this.placeholders.add(callee.path);
    return new PickleObject(callee.path, items);
  }

  setState(target: PickleValue, state: PickleValue): void {
    if (target instanceof PickleObject) target.state = state;
    // The attributes of a dict (torch puts _metadata on a state dict) are not needed.
    else if (!(target instanceof Map)) throw this.error('BUILD on a value that has no state');
  }

  append(target: PickleValue, items: PickleValue[]): void {
    const list = target instanceof PickleObject ? target.items : target;
    if (!Array.isArray(list)) throw this.error('APPEND without a list');
    this.charge(16 * items.length);
    for (const item of items) list.push(item);
  }

  addItems(target: PickleValue, items: readonly PickleValue[]): void {
    if (!(target instanceof Set)) throw this.error('ADDITEMS without a set');
    for (const item of items) {
      this.chargeKey(item);
      target.add(item);
    }
  }

  dict(items: PickleValue[]): void {
    this.push(new Map());
    this.setItems(this.peek(), items);
  }

  setItems(target: PickleValue, items: PickleValue[]): void {
    const map = target instanceof PickleObject ? target.entries : target;
    if (!(map instanceof Map) || items.length % 2) throw this.error('SETITEMS without a dict, or with half a pair');
    for (let i = 0; i < items.length; i += 2) {
      this.chargeKey(items[i]!);
      map.set(items[i]!, items[i + 1]!);
    }
  }

  persistent(id: PickleValue): PickleValue {
    if (!this.options.persistent) throw this.error('a persistent id, which means nothing here');
    return this.options.persistent(id);
  }

  recall(index: number): PickleValue {
    const value = this.memo.get(index);
    if (value === undefined) throw this.error(`memo ${index} was never set`);
    return value;
  }

  list(value: PickleValue): PickleValue[] {
    if (!Array.isArray(value)) throw this.error('arguments that are no tuple');
    return value;
  }

  /** Removes the top of the stack, even a mark. */
  drop(): void {
    this.stack.pop();
  }

  mark(): void {
    this.stack.push(MARK);
  }

  push(value: PickleValue): void {
    this.charge(newCost(value));
    this.stack.push(value);
  }

  /** Pushes a value that was counted when it was made. */
  pushKnown(value: PickleValue): void {
    this.charge(16);
    this.stack.push(value);
  }

  peek(): PickleValue {
    const value = this.stack.at(-1);
    if (value === undefined || value === MARK) throw this.error('the stack is empty');
    return value;
  }

  pop(): PickleValue {
    const value = this.peek();
    this.stack.pop();
    return value;
  }

  popMany(count: number): PickleValue[] {
    const values: PickleValue[] = [];
    for (let i = 0; i < count; i++) values.push(this.pop());
    return values.reverse();
  }

  popMark(): PickleValue[] {
    const mark = this.stack.lastIndexOf(MARK);
    if (mark < 0) throw this.error('a mark is missing');
    return this.stack.splice(mark).slice(1) as PickleValue[];
  }

  /** A key is hashed, and compared with one that is equal. */
  private chargeKey(key: PickleValue): void {
    this.charge(64 + (typeof key === 'string' ? key.length : 0));
  }

  /**
   * Counts bytes that are made, copied or compared.
   * @throws WeightsError `damaged-pickle` where a pickle asks for more than a checkpoint of its length does
   */
  private charge(bytes: number): void {
    this.cost += bytes;
    if (this.cost > FREE_COST + COST_PER_BYTE * this.input.size)
      throw this.error('more work or memory than a checkpoint asks for');
  }

  /** An error that names the byte that is being read. */
  error(what: string): WeightsError {
    return this.input.error(what);
  }
}
