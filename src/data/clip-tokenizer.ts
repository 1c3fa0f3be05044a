import {checkArguments, fields, TEXT} from '../runtime/check-arguments.js';
import {InputError, WeightsError} from '../runtime/errors.js';
import {alphabetInOrder, fromByteAlphabet, printableBytes, toByteAlphabet} from './byte-alphabet.js';
import {BytePairs} from './byte-pairs.js';
import {unescapeHtml} from './html-references.js';
import {repairText} from './text-repair.js';

export interface ClipTokenizerFiles {
  /** The text of bpe_simple_vocab_16e6.txt. Its first merges are used, as many as the vocabulary holds. */
  readonly merges: string;
  /** The number of ids, and of the embedding's rows. Default 49,408; the last two are start and end. */
  readonly size?: number;
}

/** The token ids of a text, ready for a model. */
export interface TokenSequence {
  /** Start, tokens, end; without padding. */
  readonly ids: readonly number[];
  /** The number of tokens for which there was no room. */
  readonly cut: number;
}

const START = '<start_of_text>';
const END = '<end_of_text>';
const WORD_END = '</w>';
const LEAST = 4;
const MOST = 1_000_000;
// Python's white space; U+001C … 1F are gone by then. JavaScript's \s has U+FEFF and lacks U+0085.
const SPACES = /[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;
// Ignoring case, which after lower-casing is about one letter: the long s. A flag `i` would also make letters of some
// marks.
const PIECES = /<[sſ]tart_of_text>|<end_of_text>|'(?:[sſ]|t|re|ve|m|ll|d)|\p{L}+|\p{N}|[^ \p{L}\p{N}]+/gu;

/**
 * CLIP's text ⇄ token ids as in open_clip: repaired and lower-cased text, byte-level BPE with an end-of-word mark
 * (docs/reference/coca.md 4). The repair of wrongly decoded bytes is left out (see `repairText`).
 * @throws WeightsError (`bad-merges`, `bad-vocabulary-size`) where the file is malformed or does not hold enough merges
 */
export class ClipTokenizer {
  /** Padding. It is the token of `!` within a word, too: open_clip does not tell them apart. */
  readonly pad = 0;
  readonly bos: number;
  readonly eos: number;
  readonly size: number;
  private readonly tokens: readonly string[];
  private readonly ids: ReadonlyMap<string, number>;
  private readonly pairs: BytePairs;

  constructor(files: ClipTokenizerFiles) {
    checkArguments('new ClipTokenizer', {files: [files, fields({merges: TEXT})]});
    const {merges, size = 49_408} = files;
    if (!Number.isSafeInteger(size) || size < LEAST || size > MOST)
      throw new WeightsError('bad-vocabulary-size', `the vocabulary: wanted ${LEAST} to ${MOST} ids, got ${size}`);
    const symbols = alphabetInOrder();
    const marked = [...symbols, ...symbols.map((symbol) => symbol + WORD_END)];
    const wanted = Math.max(0, size - 2 - marked.length);
    this.pairs = new BytePairs(merges, {file: 'bpe_simple_vocab_16e6.txt', most: wanted, wordEnd: WORD_END});
    const words = this.pairs.merged();
    if (words.length !== wanted) {
      const message = `bpe_simple_vocab_16e6.txt: a vocabulary of ${size} ids needs ${wanted} merges, the file has ${words.length}`;
      throw new WeightsError('bad-vocabulary-size', message);
    }
    this.tokens = [...[...marked, ...words].slice(0, size - 2), START, END];
    this.ids = new Map(this.tokens.map((token, id) => [token, id]));
    this.size = size;
    this.bos = size - 2;
    this.eos = size - 1;
  }

  /** Cleans a text before it is cut into pieces: repaired, unescaped, single spaces, lower case. */
  clean(text: string): string {
    return unescapeHtml(unescapeHtml(repairText(text)))
      .replace(SPACES, ' ')
      .trim()
      .toLowerCase();
  }

  /**
   * The ids of a text, without start and end, not truncated. A literal `<end_of_text>` is the real one.
   * @throws InputError `token-unknown` where a vocabulary cut short lacks a byte
   */
  encode(text: string): number[] {
    return Array.from(this.clean(text).matchAll(PIECES), ([piece]) =>
      piece === START || piece === END
        ? [this.id(piece)]
        : this.pairs.split(toByteAlphabet(piece)).map((token) => this.id(token)),
    ).flat();
  }

  /**
   * The ids of a text for a model that reads `context` tokens, start and end among them; the last id of a longer text
   * becomes the end.
   */
  sequence(text: string, context: number): TokenSequence {
    const ids = [this.bos, ...this.encode(text), this.eos];
    if (ids.length <= context) return {ids, cut: 0};
    return {ids: [...ids.slice(0, context - 1), this.eos], cut: ids.length - context};
  }

  /**
   * The text of ids up to the first end, a space after every word; starts are dropped, bytes that are no UTF-8 become
   * U+FFFD.
   * @throws InputError `token-out-of-range` for an id that is not in the vocabulary
   */
  decode(ids: readonly number[]): string {
    const end = ids.indexOf(this.eos);
    const tokens = (end < 0 ? ids : ids.slice(0, end)).filter((id) => id !== this.bos).map((id) => this.symbols(id));
    const bytes = new TextDecoder('utf-8', {ignoreBOM: true}).decode(fromByteAlphabet(tokens.join('')));
    return bytes.replaceAll(WORD_END, ' ');
  }

  /** The text of an id for displays: "man ", "<end_of_text>"; control characters and loose bytes are escaped. */
  token(id: number): string {
    const token = this.symbols(id);
    return id >= this.bos ? token : printableBytes(fromByteAlphabet(token)).replace(WORD_END, ' ');
  }

  private symbols(id: number): string {
    const token = this.tokens[id];
    if (token !== undefined) return token;
    throw new InputError('token-out-of-range', `token id: wanted an integer from 0 to ${this.size - 1}, got ${id}`);
  }

  private id(token: string): number {
    const id = this.ids.get(token);
    if (id !== undefined) return id;
    throw new InputError(
      'token-unknown',
      `the vocabulary of ${this.size} ids has no token for ${JSON.stringify(token)}`,
    );
  }
}
