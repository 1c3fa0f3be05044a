import type {PlainValue} from './checkpoint.js';
import {WeightsError} from '../runtime/errors.js';

/** The name of a class or function in a pickle. It is never looked up. */
export class PickleGlobal {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {}
  get path(): string {
    return `${this.module}.${this.name}`;
  }
}

/** An object of a class that is not built: the arguments and the state that the class would have got, kept as data. */
export class PickleObject {
  state: PickleValue = null;
  readonly entries: Map<PickleValue, PickleValue> = new Map();
  readonly items: PickleValue[] = [];
  constructor(
    readonly className: string,
    readonly args: readonly PickleValue[] = [],
  ) {}
}

/**
 * A value that the reader of a format puts in the place of a known global's result, such as a tensor. Opaque to the
 * machine.
 */
export abstract class PickleLeaf {
  abstract describe(): string;
}

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | PickleGlobal
  | PickleObject
  | PickleLeaf;

const NAMESPACES = new Set(['argparse.Namespace', 'types.SimpleNamespace']);
const MAX_NODES = 200_000;
const MAX_DEPTH = 100;

/**
 * Turns a pickled value into plain data: dicts and namespaces become objects, tuples and sets arrays, integers that are
 * not safe strings, other objects `{__class__, …}`.
 * @throws WeightsError if it is too large or too deep, or refers to itself (a small pickle can describe an endless
 *   tree)
 */
export function toPlain(value: PickleValue): PlainValue {
  let nodes = 0;
  const convert = (v: PickleValue, depth: number): PlainValue => {
    if (++nodes > MAX_NODES || depth > MAX_DEPTH)
      throw new WeightsError(
        'pickle-too-large',
        `The pickled configuration has more than ${MAX_NODES} values or ${MAX_DEPTH} levels.`,
      );
    if (v === null || typeof v === 'boolean' || typeof v === 'number' || typeof v === 'string') return v;
    if (typeof v === 'bigint') return v >= Number.MIN_SAFE_INTEGER && v <= Number.MAX_SAFE_INTEGER ? Number(v) : `${v}`;
    if (v instanceof Uint8Array) {
      nodes += Math.min(v.length, 4096);
      return Array.from(v.subarray(0, 4096));
    }
    if (Array.isArray(v)) return v.map((item) => convert(item, depth + 1));
    if (v instanceof Set) return [...v].map((item) => convert(item, depth + 1));
    if (v instanceof Map)
      return Object.fromEntries([...v].map(([key, item]) => [keyText(key), convert(item, depth + 1)]));
    if (v instanceof PickleGlobal) return {__class__: v.path};
    if (v instanceof PickleLeaf) return {__class__: v.describe()};
    if (NAMESPACES.has(v.className) && (v.state === null || v.state instanceof Map))
      return convert(v.state ?? new Map(), depth);
    return {
      __class__: v.className,
      ...(v.args.length ? {args: v.args.map((item) => convert(item, depth + 1))} : {}),
      ...(v.state === null ? {} : {state: convert(v.state, depth + 1)}),
      ...(v.items.length ? {items: v.items.map((item) => convert(item, depth + 1))} : {}),
      ...(v.entries.size ? {entries: convert(v.entries, depth + 1)} : {}),
    };
  };
  return convert(value, 0);
}

function keyText(key: PickleValue): string {
  return typeof key === 'object' && key !== null
    ? `<${Array.isArray(key) ? 'tuple' : key.constructor.name}>`
    : String(key);
}
