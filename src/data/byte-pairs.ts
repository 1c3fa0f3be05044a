import {WeightsError} from '../runtime/errors.js';

const MAX_CACHED_PIECES = 8192;
const MAX_CACHED_LENGTH = 48;

/** A pair of neighbours that may be merged, waiting in the heap. Stale once either side has changed. */
interface Candidate {
  readonly rank: number;
  readonly at: number;
  readonly left: string;
  readonly right: string;
}

export interface BytePairsOptions {
  /** The name of the file in errors. */
  readonly file?: string;
  /** The number of merges that are used, the first ones. Default: all. */
  readonly most?: number;
  /** A mark at the end of the last symbol of a piece; none by default. */
  readonly wordEnd?: string;
}

/**
 * The merge table of a byte-level BPE: cuts a piece (a word in the printable byte alphabet) into tokens by merging,
 * again and again, the neighbouring pair of lowest rank, all its occurrences from left to right
 * (docs/reference/ofa-mue.md 6.3). Merging takes O(n log n) by a heap, so that a "word" of a megabyte cannot stall the
 * program.
 */
export class BytePairs {
  private readonly ranks: ReadonlyMap<string, number>;
  private readonly cache = new Map<string, readonly string[]>();
  private readonly wordEnd: string;

  /**
   * @param merges the text of a merges file: an optional "#version" line, which may begin with a name, then "left
   *   right" a line, the best merge first
   * @throws WeightsError with the line number where a line is not two symbols
   */
  constructor(
    merges: string,
    {file = 'vocab.bpe', most = Number.POSITIVE_INFINITY, wordEnd = ''}: BytePairsOptions = {},
  ) {
    this.wordEnd = wordEnd;
    const ranks = new Map<string, number>();
    const lines = merges.split('\n');
    if (lines.at(-1) === '') lines.pop();
    const first = /^\S*#version/.test(lines[0] ?? '') ? 1 : 0;
    const last = Math.min(lines.length, first + most);
    for (let i = first; i < last; i++) {
      const line = lines[i]!.endsWith('\r') ? lines[i]!.slice(0, -1) : lines[i]!;
      const space = line.indexOf(' ');
      if (space < 1 || space === line.length - 1 || line.indexOf(' ', space + 1) >= 0) {
        throw new WeightsError(
          'bad-merges',
          `${file}, line ${i + 1}: wanted two symbols with one space between, got ${quote(line)}`,
        );
      }
      ranks.set(line, i - first);
    }
    if (ranks.size === 0 && merges.trim() === '')
      throw new WeightsError('bad-merges', `${file}, line 1: the file is empty`);
    this.ranks = ranks;
  }

  /** The symbols that the merges make, the best merge first. */
  merged(): string[] {
    return Array.from(this.ranks.keys(), (pair) => pair.replace(' ', ''));
  }

  /** The tokens of a piece. The array is borrowed: recent pieces are kept. */
  split(piece: string): readonly string[] {
    const known = this.cache.get(piece);
    if (known !== undefined) return known;
    const tokens = this.merge(piece);
    if (piece.length <= MAX_CACHED_LENGTH) {
      // The oldest entry is dropped, not the least used one: that is cheaper, and words repeat soon or not at all.
      if (this.cache.size >= MAX_CACHED_PIECES) this.cache.delete(this.cache.keys().next().value!);
      this.cache.set(piece, tokens);
    }
    return tokens;
  }

  private merge(piece: string): readonly string[] {
    const symbols: (string | undefined)[] = piece.split(''); // the byte alphabet has no surrogates
    if (symbols.length > 0) symbols.push(symbols.pop()! + this.wordEnd);
    const n = symbols.length;
    const next = Int32Array.from({length: n}, (_, i) => i + 1);
    const previous = Int32Array.from({length: n}, (_, i) => i - 1);
    const heap: Candidate[] = [];
    const consider = (at: number): void => {
      const after = at < 0 ? n : next[at]!;
      if (after >= n) return;
      const left = symbols[at]!;
      const right = symbols[after]!;
      const rank = this.ranks.get(`${left} ${right}`);
      if (rank !== undefined) push(heap, {rank, at, left, right});
    };
    for (let at = 0; at + 1 < n; at++) consider(at);
    while (heap.length > 0) {
      // All occurrences of the best pair are taken before any pair that they create is looked at, as the reference
      // does.
      const rank = heap[0]!.rank;
      const batch: Candidate[] = [];
      while (heap.length > 0 && heap[0]!.rank === rank) batch.push(pop(heap));
      for (const {at, left, right} of batch) {
        const after = next[at]!;
        if (symbols[at] !== left || after >= n || symbols[after] !== right) continue;
        symbols[at] = left + right;
        symbols[after] = undefined;
        next[at] = next[after]!;
        if (next[at]! < n) previous[next[at]!] = at;
        consider(previous[at]!);
        consider(at);
      }
    }
    return symbols.filter((symbol) => symbol !== undefined);
  }
}

const before = (a: Candidate, b: Candidate): boolean => a.rank < b.rank || (a.rank === b.rank && a.at < b.at);

function push(heap: Candidate[], item: Candidate): void {
  let i = heap.length;
  heap.push(item);
  while (i > 0) {
    const parent = (i - 1) >> 1;
    if (!before(item, heap[parent]!)) break;
    heap[i] = heap[parent]!;
    i = parent;
  }
  heap[i] = item;
}

function pop(heap: Candidate[]): Candidate {
  const top = heap[0]!;
  const last = heap.pop()!;
  const n = heap.length;
  if (n === 0) return top;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= n) break;
    if (child + 1 < n && before(heap[child + 1]!, heap[child]!)) child++;
    if (!before(heap[child]!, last)) break;
    heap[i] = heap[child]!;
    i = child;
  }
  heap[i] = last;
  return top;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
