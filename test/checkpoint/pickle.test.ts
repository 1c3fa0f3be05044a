import fc from 'fast-check';
import {Parser} from 'pickleparser';
import {unpickle} from '../../src/checkpoint/pickle.js';
import {PickleObject, type PickleValue, toPlain} from '../../src/checkpoint/pickle-values.js';
import {Call, Global, type Pickled, pickle, Tuple} from '../../src/checkpoint/pickle-writer.js';

const read = (bytes: Uint8Array): PickleValue => unpickle(bytes, {source: 'test'}).value;
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

// Made in Python by pickle.dumps({'a': [1, 2.5, None, True], 'b': (2**70, -3, b'\x01\xff'), 'c': {'x'}}, protocol=n).
const PYTHON: Readonly<Record<number, Uint8Array>> = JSON.parse(
  '{"0": "286470300a56610a70310a286c70320a49310a6146322e350a614e614930310a617356620a70330a284c313138303539313632303731373431313330333432344c0a492d330a635f636f646563730a656e636f64650a70340a285601ff0a70350a566c6174696e310a70360a7470370a5270380a7470390a7356630a7031300a635f5f6275696c74696e5f5f0a7365740a7031310a28286c7031320a56780a7031330a61747031340a527031350a732e", "1": "7d71002858010000006171015d7102284b014740040000000000004e4930310a655801000000627103284c313138303539313632303731373431313330333432344c0a4afdffffff635f636f646563730a656e636f64650a710428580300000001c3bf710558060000006c6174696e317106747107527108747109580100000063710a635f5f6275696c74696e5f5f0a7365740a710b285d710c580100000078710d6174710e52710f752e", "2": "80027d71002858010000006171015d7102284b014740040000000000004e886558010000006271038a090000000000000000404afdffffff635f636f646563730a656e636f64650a7104580300000001c3bf710558060000006c6174696e317106867107527108877109580100000063710a635f5f6275696c74696e5f5f0a7365740a710b5d710c580100000078710d6185710e52710f752e", "3": "80037d71002858010000006171015d7102284b014740040000000000004e886558010000006271038a090000000000000000404afdffffff430201ff71048771055801000000637106636275696c74696e730a7365740a71075d710858010000007871096185710a52710b752e", "4": "80049541000000000000007d94288c0161945d94284b014740040000000000004e88658c0162948a090000000000000000404afdffffff430201ff9487948c0163948f94288c01789490752e", "5": "80059541000000000000007d94288c0161945d94284b014740040000000000004e88658c0162948a090000000000000000404afdffffff430201ff9487948c0163948f94288c01789490752e"}',
  (_, value: unknown) => (typeof value === 'string' ? hex(value) : value),
) as Record<number, Uint8Array>;

test.each(Object.keys(PYTHON).map(Number))('unpickle: reads protocol %s', (protocol) => {
  expect(read(PYTHON[protocol]!)).toEqual(
    new Map<string, unknown>([
      ['a', [1, 2.5, null, true]],
      ['b', [2n ** 70n, -3, Uint8Array.of(1, 255)]],
      ['c', new Set(['x'])],
    ]),
  );
});

test('unpickle: reads escapes in the text of protocol 0', () => {
  expect(read(ascii('V\\u20ac \\U0001f600 \xe9 \\x41\n.'))).toBe('€ 😀 é \\x41');
});

test('unpickle: agrees with pickleparser on plain data', () => {
  const {leaf} = fc.letrec((tie) => ({
    leaf: fc.oneof(
      {maxDepth: 4},
      fc.constant(null),
      fc.boolean(),
      fc.integer(),
      // pickleparser reads a negative LONG1 as if it had no sign: whole numbers are int32 here, larger ones stand below.
      fc.double({noNaN: true, noInteger: true}),
      fc.string(),
      fc.array(tie('leaf')),
      fc.array(fc.tuple(fc.string(), tie('leaf'))).map((pairs) => new Map(pairs as [string, Pickled][])),
    ),
  })) as {leaf: fc.Arbitrary<Pickled>};
  const parser = new Parser({unpicklingTypeOfDictionary: 'Map'});
  fc.assert(
    fc.property(leaf, (value) => expect(read(pickle(value))).toEqual(parser.parse(pickle(value)))),
    {numRuns: 300},
  );
});

test('pickle: whole numbers are written in the width that Python takes', () => {
  // pickletools.dis(pickle.dumps(n, 2)) in Python: BININT to -2 ** 31 and 2 ** 31 - 1, LONG1 beyond.
  expect(pickle(-(2 ** 31))).toEqual(hex('80024a000000802e'));
  expect(pickle(2 ** 31 - 1)).toEqual(hex('80024affffff7f2e'));
  for (const value of [-(2 ** 31) - 1, 2 ** 31, -(2 ** 40), Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]) {
    expect(read(pickle(value))).toBe(value);
  }
});

test('unpickle: a namespace is its fields; OrderedDict, defaultdict, numpy numbers are values', () => {
  const fields = new Map<string, Pickled>([['x', 1]]);
  const dtype = new Call(
    new Global('numpy', 'dtype'),
    ['f8', false, true],
    new Tuple([3, '<', null, null, null, -1, -1, 0]),
  );
  const half = new Call(new Global('_codecs', 'encode'), ['\0\0\0\0\0\0à?', 'latin1']);
  const value = new Map<string, Pickled>([
    ['namespace', new Call(new Global('argparse', 'Namespace'), [], fields)],
    ['ordered', new Call(new Global('collections', 'OrderedDict'), [[new Tuple(['k', 2])]])],
    ['default', new Call(new Global('collections', 'defaultdict'), [new Global('builtins', 'list'), fields])],
    ['number', new Call(new Global('numpy.core.multiarray', 'scalar'), [dtype, half])],
  ]);
  expect(toPlain(read(pickle(value)))).toEqual({namespace: {x: 1}, ordered: {k: 2}, default: {x: 1}, number: 0.5});
});

test('unpickle: unknown classes are inert and listed; nothing is built from them', () => {
  const call = new Call(new Global('fairseq.meters', 'AverageMeter'), [1], new Map([['sum', 2]]));
  const {value, placeholders} = unpickle(pickle([call]), {source: 'test'});
  expect(placeholders).toEqual(['fairseq.meters.AverageMeter']);
  expect((value as PickleValue[])[0]).toBeInstanceOf(PickleObject);
  expect(toPlain(value)).toEqual([{__class__: 'fairseq.meters.AverageMeter', args: [1], state: {sum: 2}}]);
});

const DANGEROUS: readonly (readonly [string, string])[] = [
  ['os', 'system'],
  ['posix', 'system'],
  ['nt', 'system'],
  ['subprocess', 'Popen'],
  ['builtins', 'eval'],
  ['__builtin__', 'exec'],
  ['builtins', '__import__'],
  ['builtins', 'getattr'],
  ['importlib', 'import_module'],
  ['runpy', 'run_path'],
  ['os.path', 'join'],
];
test.each(DANGEROUS)('unpickle: refuses %s.%s, wherever it stands', (module, name) => {
  const call = new Call(new Global(module, name), ['echo hacked']);
  for (const value of [call, [call], new Map([['a', new Global(module, name)]])])
    expect(() => read(pickle(value))).toThrow(
      expect.objectContaining({code: 'unsafe-pickle', message: expect.stringContaining(`${module}.${name}`)}),
    );
});

test('unpickle: refuses os.system in every way that a pickle can name it', () => {
  const inputs = [
    ascii("cos\nsystem\n(S'echo hacked'\ntR."),
    ascii("(S'echo hacked'\nios\nsystem\n."),
    ascii("(cos\nsystem\nS'echo hacked'\no."),
    Buffer.concat([
      hex('80 04 8c 02'),
      ascii('os'),
      hex('8c 06'),
      ascii('system'),
      hex('93 8c 01'),
      ascii('x'),
      hex('85 52 2e'),
    ]),
  ];
  for (const bytes of inputs) expect(() => read(bytes)).toThrow(expect.objectContaining({code: 'unsafe-pickle'}));
});

test.each<[string, string]>([
  ['nothing', ''],
  ['no end', '80 02 4e'],
  ['an empty stack', '80 02 2e'],
  ['a protocol of the future', '80 09 4e 2e'],
  ['an unknown opcode', '80 02 ff 2e'],
  ['a string longer than the bytes', '80 02 58 ff ff ff 7f 61 2e'],
  ['a long string of 2^63 bytes', '80 04 8d ff ff ff ff ff ff ff 7f 61 2e'],
  ['a memo that was never set', '80 02 68 05 2e'],
  ['a tuple without a mark', '80 02 4e 74 2e'],
  ['an append to a number', '80 02 4b 01 4b 02 61 2e'],
  ['half a pair', '80 02 7d 28 4b 01 75 2e'],
  ['a call of a number', '80 02 4b 01 29 52 2e'],
  ['a state for a list', '80 02 5d 4e 62 2e'],
  ['a persistent id', '80 02 4b 01 51 2e'],
  ['an extension code', '80 02 82 01 2e'],
  ['an out-of-band buffer', '80 05 97 2e'],
])('%s is a damaged pickle', (_, bytes) => {
  expect(() => read(hex(bytes))).toThrow(expect.objectContaining({name: 'WeightsError', code: 'damaged-pickle'}));
});

test('unpickle: any bytes at all give a value or a WeightsError', () => {
  fc.assert(
    fc.property(fc.uint8Array({maxLength: 200}), (bytes) => {
      try {
        read(bytes);
      } catch (error) {
        expect(error).toMatchObject({name: 'WeightsError'});
      }
    }),
    {numRuns: 3000},
  );
});

test('toPlain: refuses a dict that holds itself, deep nesting and exponential sharing', () => {
  const itself = hex('80 02 7d 71 00 4b 01 68 00 73 2e');
  expect(() => toPlain(read(itself))).toThrow(expect.objectContaining({code: 'pickle-too-large'}));
  const deep = Buffer.concat([hex('80 02'), Buffer.alloc(200_000, 0x5d), Buffer.alloc(199_999, 0x61), hex('2e')]);
  expect(() => toPlain(read(deep))).toThrow(expect.objectContaining({code: 'pickle-too-large'}));
  // Each list holds the one before twice: 2^60 leaves in a few hundred bytes.
  const doubling = Buffer.concat([hex('80 02 5d'), ...Array.from({length: 60}, () => hex('32 86')), hex('2e')]);
  expect(() => toPlain(read(doubling))).toThrow(expect.objectContaining({code: 'pickle-too-large'}));
});

test('unpickle: refuses copying a container over and over', () => {
  // A list of 1,000 pairs made into a dict 5,000 times.
  const pairs = Buffer.concat([hex('5d 71 00 28'), ...Array.from({length: 1000}, () => hex('4e 4e 86')), hex('65 30')]);
  const build = Buffer.concat([hex('63'), ascii('builtins\ndict\n'), hex('71 01 30')]);
  const copies = Buffer.concat(Array.from({length: 5000}, () => hex('68 01 68 00 85 52 30')));
  expect(() => read(Buffer.concat([hex('80 02'), pairs, build, copies, hex('4e 2e')]))).toThrow(/more work/);
});
