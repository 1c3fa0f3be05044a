import {type PickleGlobal, PickleObject, type PickleValue} from './pickle-values.js';

/**
 * Makes the value that a known class or function would have made of its arguments; undefined where it would not take
 * them, and an inert object stands in.
 */
export type PickleBuilder = (args: readonly PickleValue[]) => PickleValue | undefined;

/** Modules that no checkpoint has a reason to name: they run programs or code. */
const DANGEROUS_MODULES = new Set(
  `os posix nt posixpath subprocess sys pty shutil socket runpy importlib imp ctypes code codeop commands popen2 webbrowser signal
   multiprocessing threading _thread asyncio pickle _pickle cPickle marshal shelve pdb bdb timeit cProfile profile trace urllib http
   requests ftplib telnetlib smtplib xmlrpc pip setuptools distutils ensurepip venv platform tempfile pathlib io _io fileinput inspect
   pkgutil zipimport linecache cloudpickle dill joblib`.split(/\s+/),
);
/** Functions of the module builtins that run code or reach files. */
const DANGEROUS_BUILTINS = new Set(
  'eval exec execfile compile __import__ open input globals locals vars getattr setattr delattr breakpoint exit quit'.split(
    ' ',
  ),
);

export function isDangerous(global: PickleGlobal): boolean {
  const root = global.module.split('.')[0]!;
  if (root === 'builtins' || root === '__builtin__') return DANGEROUS_BUILTINS.has(global.name.split('.')[0]!);
  return DANGEROUS_MODULES.has(root);
}

const mapOf: PickleBuilder = ([pairs]) => {
  if (pairs === undefined) return new Map();
  if (pairs instanceof Map) return new Map(pairs);
  if (!Array.isArray(pairs) || !pairs.every((p) => Array.isArray(p) && p.length === 2)) return undefined;
  return new Map((pairs as [PickleValue, PickleValue][]).map(([k, v]) => [k, v]));
};
const setOf: PickleBuilder = ([items]) =>
  items === undefined ? new Set() : Array.isArray(items) ? new Set(items) : undefined;
const listOf: PickleBuilder = ([items]) => (items === undefined ? [] : Array.isArray(items) ? [...items] : undefined);

/** Builds bytes of what protocol 2 writes for them: a string of code points below 256, to be encoded as latin1. */
const encode: PickleBuilder = ([text, encoding]) =>
  typeof text === 'string' && (encoding === 'latin1' || encoding === 'latin-1') && !/[^\0-\xff]/.test(text)
    ? Uint8Array.from(text, (c) => c.charCodeAt(0))
    : undefined;

/** Builds numpy.dtype('f8', False, True); the order of its bytes arrives later, by BUILD. */
const dtype: PickleBuilder = (args) => new PickleObject('numpy.dtype', args);

/** Builds numpy.core.multiarray.scalar(dtype, bytes), which is one number. */
const scalar: PickleBuilder = ([type, bytes]) => {
  if (!(type instanceof PickleObject) || type.className !== 'numpy.dtype' || !(bytes instanceof Uint8Array))
    return undefined;
  const order = Array.isArray(type.state) ? type.state[1] : '<';
  const little = order !== '>';
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const kind = String(type.args[0]).replace(/^[<>=|]/, '');
  if (bytes.length !== Number(kind.slice(1))) return undefined;
  if (kind === 'f8') return data.getFloat64(0, little);
  if (kind === 'f4') return data.getFloat32(0, little);
  if (kind === 'i8') return data.getBigInt64(0, little);
  if (kind === 'i4') return data.getInt32(0, little);
  if (kind === 'b1') return data.getUint8(0) !== 0;
  return undefined;
};

const namespace: PickleBuilder = (args) => (args.length ? undefined : new PickleObject('argparse.Namespace'));

/** Known globals of any pickle, built as data. Others, unless the table of a format has them, become inert objects. */
export const PLAIN_GLOBALS: ReadonlyMap<string, PickleBuilder> = new Map([
  ['collections.OrderedDict', mapOf],
  ['collections.defaultdict', (args) => mapOf(args.slice(1))],
  ['collections.Counter', mapOf],
  ['builtins.dict', mapOf],
  ['builtins.list', listOf],
  ['builtins.tuple', listOf],
  ['builtins.set', setOf],
  ['builtins.frozenset', setOf],
  ['__builtin__.set', setOf],
  ['__builtin__.frozenset', setOf],
  ['_codecs.encode', encode],
  ['argparse.Namespace', namespace],
  ['types.SimpleNamespace', namespace],
  ['numpy.dtype', dtype],
  ['numpy.core.multiarray.scalar', scalar],
  ['numpy._core.multiarray.scalar', scalar],
]);
