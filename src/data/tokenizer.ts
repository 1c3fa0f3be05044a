import {checkArguments, fields, TEXT} from '../runtime/check-arguments.js';
import {InputError, WeightsError} from '../runtime/errors.js';
import {fromByteAlphabet, printableBytes, toByteAlphabet} from './byte-alphabet.js';
import {BytePairs} from './byte-pairs.js';
import {parseJson} from '../runtime/parse-json.js';

/** A vocabulary: the text of its three files, and two counts. */
export interface TokenizerFiles {
  /** dict.txt: a line "symbol count" for each symbol; line n (from 0) has id n + 4. */
  readonly dict: string;
  /** encoder.json: GPT-2 token strings → GPT-2 ids. */
  readonly encoder: string;
  /** vocab.bpe: the merges. */
  readonly merges: string;
  /** The number of symbols `<code_0>` … that follow `<mask>`: 8192 in OFA's models, 0 where there are none. */
  readonly codeDictSize: number;
  /** The number of symbols `<bin_0>` … at the end: 1000 in OFA's models. */
  readonly numBins: number;
}

// White space as in the reference, Unicode's White_Space. JavaScript's \s has U+FEFF beside it, and lacks U+0085.
const SPACE = '\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const PIECES = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${SPACE}\\p{L}\\p{N}]+|[${SPACE}]+(?![^${SPACE}])|[${SPACE}]+`,
  'gu',
);
const OVERWRITE = ' #fairseq:overwrite';

/**
 * Text ⇄ token ids: GPT-2's byte-level BPE, then fairseq's dictionary (docs/reference/ofa-mue.md 6). Ids are laid out
 * as four special symbols, the lines of the dictionary, `<mask>`, codes, bins. A pruned dictionary works: a token
 * without a line becomes `<unk>`.
 * @throws WeightsError (`bad-dictionary`, `bad-encoder`, `bad-merges`) with file and line where a file is malformed
 */
export class Tokenizer {
  readonly bos = 0;
  readonly pad = 1;
  readonly eos = 2;
  readonly unk = 3;
  /** The number of ids, and of rows that the embedding must have. */
  readonly size: number;
  private readonly symbols: readonly string[];
  private readonly pairs: BytePairs;
  /** Token in the byte alphabet → id. */
  private readonly tokenIds: ReadonlyMap<string, number>;
  /** Id → token in the byte alphabet; undefined for symbols that are no GPT-2 token. */
  private readonly tokens: readonly (string | undefined)[];

  constructor(files: TokenizerFiles) {
    checkArguments('new Tokenizer', {files: [files, fields({dict: TEXT, encoder: TEXT, merges: TEXT})]});
    this.pairs = new BytePairs(files.merges);
    const {symbols, ids} = readDictionary(files.dict);
    const add = (symbol: string): void => {
      if (!ids.has(symbol)) ids.set(symbol, symbols.push(symbol) - 1);
    };
    add('<mask>');
    for (let i = 0; i < checkCount(files.codeDictSize, 'codeDictSize'); i++) add(`<code_${i}>`);
    for (let i = 0; i < checkCount(files.numBins, 'numBins'); i++) add(`<bin_${i}>`);
    this.symbols = symbols;
    this.size = symbols.length;
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

  /**
   * The ids of a text, without bos and eos, neither lower-cased nor truncated. `<bin_3>` in a text is plain characters.
   */
  encode(text: string): number[] {
    const ids: number[] = [];
    for (const [piece] of text.matchAll(PIECES)) {
      for (const token of this.pairs.split(toByteAlphabet(piece))) ids.push(this.tokenIds.get(token) ?? this.unk);
    }
    return ids;
  }

  /**
   * The text of ids: bos and eos are dropped, other special symbols stay literally ("<pad>", "<unk>", "<bin_3>"), bytes
   * that are no UTF-8 become U+FFFD.
   * @throws InputError `token-out-of-range` for an id that is not in the vocabulary
   */
  decode(ids: readonly number[]): string {
    const text = ids.map((id) => (id === this.bos || id === this.eos ? '' : this.piece(id))).join('');
    return new TextDecoder('utf-8', {ignoreBOM: true}).decode(fromByteAlphabet(text));
  }

  /** The text of an id for displays: " man", "<pad>"; control characters and loose bytes are escaped (`\n`, `\xe4`). */
  token(id: number): string {
    return printableBytes(fromByteAlphabet(this.piece(id)));
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

/** GPT-2 token → its id; the ids are not checked yet. */
function readEncoder(text: string): Readonly<Record<string, number>> {
  let parsed: unknown;
  try {
    parsed = parseJson(text);
  } catch (cause) {
    throw new WeightsError('bad-encoder', `encoder.json: not JSON: ${(cause as Error).message}`, {cause});
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
