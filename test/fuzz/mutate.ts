import type {Random} from '../../src/runtime/random.js';

/** Numbers at which sizes, counts and offsets go wrong. */
const EXTREMES = [
  0,
  1,
  2,
  3,
  7,
  8,
  127,
  128,
  255,
  256,
  4096,
  10_000,
  16_383,
  32_767,
  65_535,
  2 ** 24,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];
/** Values that a JSON file should not have, as JSON. */
const VALUES = [
  'null',
  'true',
  '-1',
  '0',
  '1e309',
  '0.5',
  '1e21',
  '9007199254740993',
  '""',
  '[]',
  '{}',
  '[[[[[]]]]]',
  '"constructor"',
  '"__proto__"',
  '{"__proto__":{"polluted":1}}',
  '"../../../etc/passwd"',
  '"\\u0000"',
  '"\\ud800"',
  '"\\u001b[2J"',
];
const KEYS = ['__proto__', 'constructor', 'toString', 'id', 'image', 'index'];

export function pick<T>(list: readonly T[], random: Random): T {
  return list[random.below(list.length)]!;
}

/**
 * A file with a few of its bytes changed, moved, repeated, cut or replaced by words of its format.
 * @param seed  borrowed
 * @param words of the format, as latin-1
 */
export function mutateBytes(seed: Uint8Array, words: readonly string[], random: Random): Buffer {
  let bytes = Buffer.from(seed);
  for (let rounds = 1 + random.below(pick([1, 2, 4, 8], random)); rounds > 0 && bytes.length > 0; rounds--) {
    // Headers are at the front: half of the changes are there.
    const at = random.below(random.below(2) === 0 ? Math.min(64, bytes.length) : bytes.length);
    const from = random.below(bytes.length);
    const length = 1 + random.below(64);
    const piece = bytes.subarray(from, from + length);
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
    const operations: readonly (() => Buffer)[] = [
      () => replaced(bytes, at, [bytes[at]! ^ (1 << random.below(8))]),
      () => replaced(bytes, at, [random.below(256)]),
      () => bytes.subarray(0, Math.max(1, from)),
      () => Buffer.concat([before, after.subarray(length)]),
      () => Buffer.concat([before, piece, after]),
      () => Buffer.concat([before, piece, after.subarray(piece.length)]),
      () => replaced(bytes, at, numberBytes(pick(EXTREMES, random), random)),
      () =>
        replaced(
          bytes,
          at,
          Array.from({length}, () => random.below(256)),
        ),
      () => Buffer.concat([before, Buffer.from(pick(words, random), 'latin1'), after]),
      () => replaced(bytes, at, [...Buffer.from(pick(words, random), 'latin1')]),
    ];
    bytes = Buffer.from(pick(operations, random)());
  }
  return bytes;
}

function replaced(bytes: Buffer, at: number, by: readonly number[]): Buffer {
  const out = Buffer.from(bytes);
  for (const [i, byte] of by.entries()) if (at + i < out.length) out[at + i] = byte;
  return out;
}

/** A number of 1, 2 or 4 bytes, in either order. */
function numberBytes(value: number, random: Random): number[] {
  const bytes = [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24].slice(
    0,
    pick([1, 2, 4], random),
  );
  return random.below(2) === 0 ? bytes : bytes.reverse();
}

/** A JSON value with a few of its parts removed, replaced, copied to another place, or given strange names. */
export function mutateJson(seed: unknown, random: Random): unknown {
  const root = {value: structuredClone(seed)};
  for (let rounds = 1 + random.below(3); rounds > 0; rounds--) {
    const places = placesOf(root);
    const [holder, key] = pick(places, random);
    const odd: unknown = JSON.parse(pick(VALUES, random));
    const define = (name: string, value: unknown = odd): void =>
      void Object.defineProperty(holder, name, {value, enumerable: true, configurable: true, writable: true});
    const [other, otherKey] = pick(places, random);
    const operations: readonly (() => void)[] = [
      () => remove(holder, key),
      () => define(key),
      () => define(pick(KEYS, random)),
      () => define(key, structuredClone(other[otherKey])),
    ];
    pick(operations, random)();
    if (root.value === undefined) root.value = null;
  }
  return root.value;
}

/** Not by splice, which asks the list's constructor: a part of that name may stand there. */
function remove(holder: Holder, key: string): void {
  if (!Array.isArray(holder) || !/^\d+$/.test(key)) delete holder[key];
  else {
    holder.copyWithin(Number(key), Number(key) + 1);
    holder.length--;
  }
}

type Holder = Record<string, unknown>;

/** Every place in a value that holds something: the object or list, and the key. */
function placesOf(root: {value: unknown}): [Holder, string][] {
  const places: [Holder, string][] = [];
  const visit = (holder: Holder): void => {
    for (const key of Object.keys(holder)) {
      places.push([holder, key]);
      const value = holder[key];
      if (typeof value === 'object' && value !== null && places.length < 4000) visit(value as Holder);
    }
  };
  visit(root);
  return places;
}
