import fc from 'fast-check';
import {Tokenizer} from '../../src/data/tokenizer.js';
import {golden} from '../support/golden/golden.js';
import {ofaVocabulary} from '../support/data/vocabulary.js';

interface TokenizerGolden {
  readonly vocabulary_size: number;
  readonly strings: readonly {text: string; ids: number[]; decoded: string}[];
  readonly decode: readonly {ids: number[]; text: string}[];
  readonly probes: Readonly<Record<string, number>>;
}

const files = ofaVocabulary();
const tokenizer = new Tokenizer(files);
const g = golden<TokenizerGolden>('tokenizer.json');

describe("Tokenizer, the full OFA vocabulary equals the authors'", () => {
  test('its size, and the ids of the probed symbols', () => {
    expect(tokenizer.size).toBe(g.vocabulary_size);
    expect([tokenizer.bos, tokenizer.pad, tokenizer.eos, tokenizer.unk]).toEqual([0, 1, 2, 3]);
    // A number in the dictionary is the id of a GPT-2 token, whose text is the id's.
    const gpt = new Map(
      Object.entries(JSON.parse(files.encoder) as Record<string, number>).map(([token, id]) => [String(id), token]),
    );
    for (const [symbol, id] of Object.entries(g.probes))
      expect([id, tokenizer.token(id)]).toEqual([id, gpt.get(symbol)?.replace('Ġ', ' ') ?? symbol]);
  });
  test('encodes and decodes', () => {
    expect(g.strings.length).toBeGreaterThan(0);
    for (const {text, ids, decoded} of g.strings) {
      expect({text, ids: tokenizer.encode(text)}).toEqual({text, ids});
      expect(tokenizer.decode(ids)).toBe(decoded);
    }
  });
  test('decodes special symbols', () => {
    for (const {ids, text} of g.decode) expect(tokenizer.decode(ids)).toBe(text);
  });
});

test('Tokenizer: any text comes back from its ids, and no text makes special symbols', () => {
  fc.assert(
    fc.property(fc.string({unit: 'binary', maxLength: 60}), (text) => {
      const ids = tokenizer.encode(text);
      expect(tokenizer.decode(ids)).toBe(text);
      expect(ids.every((id) => id > 3 && id < g.probes['<mask>']!)).toBe(true);
    }),
    {numRuns: 500},
  );
  expect(tokenizer.encode('<bin_17></s>').length).toBeGreaterThan(2);
});

test('Tokenizer: white space follows the reference, not JavaScript', () => {
  // U+FEFF is no white space there, U+0085 is, and the U+001C…1F of Python's re are none in its regex module.
  expect(tokenizer.encode(' \x1c\x1d a')).toEqual([...tokenizer.encode(' \x1c\x1d'), ...tokenizer.encode(' a')]);
  expect(tokenizer.encode('a\x85 b')).toEqual([
    ...tokenizer.encode('a'),
    ...tokenizer.encode('\x85'),
    ...tokenizer.encode(' b'),
  ]);
  expect(tokenizer.encode('\ufeff\ufeff a')).toEqual([...tokenizer.encode('\ufeff\ufeff'), ...tokenizer.encode(' a')]);
  expect(tokenizer.encode(' \ufeff')[0]).not.toBe(tokenizer.encode(' ')[0]); // the space belongs to what follows
});

test('BytePairs: the heap merges as the plain algorithm does', () => {
  const ranks = new Map(
    files.merges
      .split('\n')
      .slice(1, -1)
      .map((line, rank) => [line, rank] as const),
  );
  const plain = (piece: string): number => {
    let word = piece.split('');
    for (;;) {
      const pairs = word.slice(1).map((right, i) => ranks.get(`${word[i]} ${right}`) ?? Number.POSITIVE_INFINITY);
      const best = Math.min(...pairs);
      if (best === Number.POSITIVE_INFINITY) return word.length;
      const merged: string[] = [];
      for (let i = 0; i < word.length; i++) {
        if (i + 1 < word.length && ranks.get(`${word[i]} ${word[i + 1]}`) === best) merged.push(word[i]! + word[++i]!);
        else merged.push(word[i]!);
      }
      word = merged;
    }
  };
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('a', 'b', 'e', 'n', 's', 't', 'h', 'i'), {minLength: 1, maxLength: 80}),
      (letters) => {
        const text = letters.join('');
        expect(tokenizer.encode(text).length).toBe(plain(text));
      },
    ),
  );
});

test('Tokenizer: encodes 10,000 words, and one word of 200,000 letters', () => {
  const words = ' a man riding a wave'.repeat(2000);
  expect(tokenizer.encode(words).length).toBe(10_000);
  const letters = 'abcdefghij'.repeat(20_000);
  expect(tokenizer.decode(tokenizer.encode(letters))).toBe(letters);
  expect(tokenizer.encode(`${' '.repeat(100_000)}a`).length).toBeGreaterThan(1);
});

describe('Tokenizer, a pruned dictionary', () => {
  const small = new Tokenizer({...files, dict: '257 5\n582 3\nmadeupword0000 0\n', codeDictSize: 0, numBins: 0});
  test('has its own ids; a token without a line is <unk>', () => {
    expect(small.size).toBe(8);
    expect(small.encode(' a man riding')).toEqual([4, 5, 3]);
    expect(small.decode([0, 4, 3, 5, 7, 2])).toBe(' a<unk> man<mask>');
    expect(small.decode([6])).toBe('madeupword0000');
  });
  test('refuses ids outside', () => {
    expect(() => small.decode([8])).toThrow(expect.objectContaining({code: 'token-out-of-range'}));
    expect(() => small.token(-1)).toThrow(expect.objectContaining({code: 'token-out-of-range'}));
  });
});

test('Tokenizer.token: gives printable text', () => {
  expect(tokenizer.token(313)).toBe(' man');
  expect(tokenizer.token(tokenizer.encode('\n')[0]!)).toBe('\\n');
  expect(tokenizer.token(1)).toBe('<pad>');
  // The places of boxes end the vocabulary.
  expect(tokenizer.token(tokenizer.size - 1)).toBe('<bin_999>');
  expect(
    tokenizer
      .encode('馬')
      .map((id) => tokenizer.token(id))
      .join(''),
  ).toMatch(/\\x[0-9a-f]{2}/);
});

describe('Tokenizer refuses malformed files with their line', () => {
  const make = (part: Partial<typeof files>) => () => new Tokenizer({...files, ...part});
  test.each([
    ['a line without count', {dict: '13 4\nfoo\n'}, 'bad-dictionary', 'dict.txt, line 2'],
    ['a count that is none', {dict: '13 x\n'}, 'bad-dictionary', 'dict.txt, line 1'],
    ['a symbol twice', {dict: '13 4\n262 1\n13 2\n'}, 'bad-dictionary', 'dict.txt, line 3'],
    ['a special symbol', {dict: '<pad> 4\n'}, 'bad-dictionary', 'dict.txt, line 1'],
    ['an empty line', {dict: '13 4\n\n262 1\n'}, 'bad-dictionary', 'dict.txt, line 2'],
    ['three symbols in a merge', {merges: '#version: 0.2\na b\na b c\n'}, 'bad-merges', 'vocab.bpe, line 3'],
    ['one symbol in a merge', {merges: '#version: 0.2\nab\n'}, 'bad-merges', 'vocab.bpe, line 2'],
    ['no merges', {merges: ''}, 'bad-merges', 'line 1'],
    ['broken JSON', {encoder: '{"a": 1,\n "b" 2}'}, 'bad-encoder', 'encoder.json'],
    ['an array', {encoder: '[1, 2]'}, 'bad-encoder', 'encoder.json'],
    ['an id that is none', {encoder: '{"a": 1.5}'}, 'bad-encoder', '"a"'],
    ['a negative count', {numBins: -1}, 'bad-vocabulary-size', 'numBins'],
  ])('%s', (_, part, code, where) => {
    expect(make(part)).toThrow(expect.objectContaining({code, exitCode: 3, message: expect.stringContaining(where)}));
  });
  test('but lets fairseq overwrite a symbol', () => {
    expect(
      new Tokenizer({...files, dict: '13 4\n13 2 #fairseq:overwrite\n', codeDictSize: 0, numBins: 0}).encode('.'),
    ).toEqual([5]);
  });
});
