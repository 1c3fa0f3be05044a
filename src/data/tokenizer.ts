import {InputError, WeightsError} from '../runtime/errors.js';
import {fromByteAlphabet, toByteAlphabet} from './byte-alphabet.js';
import {BytePairs} from './byte-pairs.js';
import {printableBytes} from './printable-bytes.js';

/** The text of the three files and the two counts that make a vocabulary. */
export interface TokenizerFiles {
  /** dict.txt: a line "symbol count" for each symbol; line n (from 0) has id n + 4. */
  readonly dict: string;
  /** encoder.json: GPT-2 token strings → GPT-2 ids. */
  readonly encoder: string;
  /** vocab.bpe: the merges. */
  readonly merges: string;
  /** `<code_0>` … that follow `<mask>`: 8192 in OFA's models, 0 where there are none. */
  readonly codeDictSize: number;
  /** `<bin_0>` … at the end: 1000 in OFA's models. */
  readonly numBins: number;
}

// What the reference calls white space: Unicode's White_Space. JavaScript's \s has U+FEFF, which that has not, and lacks U+0085.
const SPACE = '\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const PIECES = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${SPACE}\\p{L}\\p{N}]+|[${SPACE}]+(?![^${SPACE}])|[${SPACE}]+`,
  'gu',
);
// str.split() without arguments also splits at U+001C…1F.
const SYMBOL_BREAK = new RegExp(`[${SPACE}\\x1c-\\x1f]+`, 'u');

const OVERWRITE = ' #fairseq:overwrite';

/**
 * Text ⇄ ids: GPT-2's byte-level BPE, then fairseq's dictionary (ofa_mue.md section 6). Pruned dictionaries work: a token that
 * has no line becomes `<unk>`.
 *
 * @throws WeightsError (`bad-dictionary`, `bad-encoder`, `bad-merges`) with file and line where a file is malformed.
 */
export class Tokenizer {
  readonly bos = 0;
  readonly pad = 1;
  readonly eos = 2;
  readonly unk = 3;
  /** Number of ids: rows that the embedding must have. */
  readonly size: number;
  readonly mask: number;
  /** Id of `<code_0>`; -1 where there are no code symbols. */
  readonly firstCode: number;
  /** Id of `<bin_0>`; -1 where there are no bin symbols. */
  readonly firstBin: number;
  private readonly symbols: readonly string[];
  private readonly ids: ReadonlyMap<string, number>;
  private readonly pairs: BytePairs;
  /** Token in the byte alphabet → id. */
  private readonly tokenIds: ReadonlyMap<string, number>;
  /** Id → token in the byte alphabet; undefined for symbols that are no GPT-2 token. */
  private readonly tokens: readonly (string | undefined)[];

  constructor(files: TokenizerFiles) {
    this.pairs = new BytePairs(files.merges);
    const {symbols, ids} = readDictionary(files.dict);
    const add = (symbol: string): number => {
      if (!ids.has(symbol)) ids.set(symbol, symbols.push(symbol) - 1);
      return ids.get(symbol)!;
    };
    this.mask = add('<mask>');
    for (let i = 0; i < checkCount(files.codeDictSize, 'codeDictSize'); i++) add(`<code_${i}>`);
    for (let i = 0; i < checkCount(files.numBins, 'numBins'); i++) add(`<bin_${i}>`);
    this.symbols = symbols;
    this.ids = ids;
    this.size = symbols.length;
    this.firstCode = ids.get('<code_0>') ?? -1;
    this.firstBin = ids.get('<bin_0>') ?? -1;
    const tokens: (string | undefined)[] = new Array(symbols.length);
    const tokenIds = new Map<string, number>();
    const encoder = readEncoder(files.encoder);
    for (const token of Object.keys(encoder)) {
      const gptId = encoder[token]!;
      if (!Number.isSafeInteger(gptId) || gptId < 0) {
        const got = JSON.stringify(gptId);
        throw new WeightsError(
          'bad-encoder',
          `encoder.json: the id of ${JSON.stringify(token)} is ${got}, wanted an integer from 0`,
        );
      }
      const id = ids.get(String(gptId));
      if (id === undefined) continue;
      tokens[id] = token;
      tokenIds.set(token, id);
    }
    this.tokens = tokens;
    this.tokenIds = tokenIds;
  }

  /** @returns the ids of a text, without bos and eos, neither lower-cased nor cut. `<bin_3>` in a text is plain characters. */
  encode(text: string): number[] {
    const ids: number[] = [];
    for (const [piece] of text.matchAll(PIECES)) {
      for (const token of this.pairs.split(toByteAlphabet(piece))) ids.push(this.tokenIds.get(token) ?? this.unk);
    }
    return ids;
  }

  /** The path without BPE: white-space separated dictionary symbols ("<bin_3> <bin_4>") looked up as they are. */
  encodeSymbols(text: string): number[] {
    return text
      .split(SYMBOL_BREAK)
      .filter((symbol) => symbol !== '')
      .map((symbol) => this.ids.get(symbol) ?? this.unk);
  }

  /**
   * The text of ids: bos and eos are dropped, other special symbols stay literally ("<pad>", "<unk>", "<bin_3>"), bytes that are
   * no UTF-8 become U+FFFD.
   *
   * @throws InputError `token-out-of-range` for an id that is not in the vocabulary.
   */
  decode(ids: readonly number[]): string {
    const text = ids.map((id) => (id === this.bos || id === this.eos ? '' : this.piece(id))).join('');
    return new TextDecoder('utf-8', {ignoreBOM: true}).decode(fromByteAlphabet(text));
  }

  /** One id for displays: " man", "<pad>"; control characters and loose bytes escaped (`\n`, `\xe4`). */
  token(id: number): string {
    return printableBytes(fromByteAlphabet(this.piece(id)));
  }

  /** The id of a dictionary symbol ("<mask>", "262"), undefined if there is none. */
  symbolId(symbol: string): number | undefined {
    return this.ids.get(symbol);
  }

  private piece(id: number): string {
    const symbol = this.symbols[id];
    if (symbol === undefined)
      throw new InputError('token-out-of-range', `token id: wanted an integer from 0 to ${this.size - 1}, got ${id}`);
    return this.tokens[id] ?? symbol;
  }
}

function readDictionary(text: string): {symbols: string[]; ids: Map<string, number>} {
  const symbols = ['<s>', '<pad>', '</s>', '<unk>'];
  const ids = new Map(symbols.map((symbol, id) => [symbol, id]));
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  for (const [i, line] of lines.entries()) {
    // A symbol may contain spaces: the line is split at its last one. fairseq's flag allows a symbol to occur again.
    const overwrite = line.includes(OVERWRITE);
    const entry = (overwrite ? line.slice(0, line.indexOf(OVERWRITE)) : line).trimEnd();
    const space = entry.lastIndexOf(' ');
    const where = `dict.txt, line ${i + 1}`;
    if (space < 1 || !/^\d+$/.test(entry.slice(space + 1))) {
      throw new WeightsError(
        'bad-dictionary',
        `${where}: wanted "symbol count", got ${JSON.stringify(line.slice(0, 40))}`,
        {
          hint: "dict.txt is fairseq's dictionary: one symbol and its count a line.",
        },
      );
    }
    const symbol = entry.slice(0, space);
    if (ids.has(symbol) && !overwrite) {
      throw new WeightsError(
        'bad-dictionary',
        `${where}: ${JSON.stringify(symbol)} is there already, with id ${ids.get(symbol)}`,
      );
    }
    ids.set(symbol, symbols.push(symbol) - 1);
  }
  return {symbols, ids};
}

/** The values are not checked yet. */
function readEncoder(text: string): Readonly<Record<string, number>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    const position = /position (\d+)/.exec(String(cause))?.[1];
    const line = position === undefined ? '' : `, line ${text.slice(0, Number(position)).split('\n').length}`;
    throw new WeightsError(
      'bad-encoder',
      `encoder.json${line}: not JSON: ${cause instanceof Error ? cause.message : cause}`,
      {cause},
    );
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new WeightsError('bad-encoder', 'encoder.json, line 1: wanted an object of token strings and ids');
  }
  return parsed as Record<string, number>;
}

function checkCount(count: number, name: string): number {
  if (!Number.isSafeInteger(count) || count < 0 || count > 10_000_000) {
    throw new WeightsError('bad-vocabulary-size', `${name}: wanted an integer from 0 to 10,000,000, got ${count}`);
  }
  return count;
}
