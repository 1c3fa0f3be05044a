import {InputError} from '../runtime/errors.js';
import {words} from './ngrams.js';

const ORDER = 4;
// Width, in tokens, of the penalty on a difference of lengths.
const SIGMA = 6;

/** In how many images' references each n-gram occurs, from a corpus other than the one scored. */
export interface DocumentFrequency {
  /** Images in that corpus (not its logarithm). */
  readonly images: number;
  /** n-gram (tokens joined by one space) and its count, at least 1. */
  readonly counts: Iterable<readonly [string, number]>;
}

/** CIDEr-D of a corpus (the mean) and of every item, each in [0, 10]. */
export interface CiderDResult {
  readonly corpus: number;
  readonly perItem: Float64Array;
}

/** A reference as tf-idf vectors; n-grams of order n are at `starts[n-1]` … `starts[n] - 1`. */
interface Vector {
  readonly grams: Int32Array;
  readonly weights: Float64Array;
  readonly starts: readonly number[];
  readonly norms: readonly number[];
  readonly length: number;
}

/**
 * CIDEr-D as pycocoevalcap computes it under the name CIDEr (docs/reference/early-exit.md D3): raw term frequency × (ln
 * images − ln df), clipped by the reference, Gaussian penalty on lengths (σ 6), mean over n = 1…4 and over references,
 * × 10. Document frequencies come from the references given (one image then scores 0) or from another corpus.
 * References are prepared once; `score` may be called for many sets of hypotheses.
 */
export class CiderD {
  /** A trie of n-grams: (prefix × words + word) → n-gram; the empty prefix is 0. */
  private readonly trie = new Map<number, number>();
  private readonly ids = new Map<string, number>();
  private readonly logFrequency: Float64Array;
  private readonly logImages: number;
  private readonly references: readonly (readonly Vector[])[];

  /** @param references tokenised references of every item: tokens separated by white space. */
  constructor(references: readonly (readonly string[])[], documentFrequency?: DocumentFrequency) {
    const counted = references.map((texts, item) => {
      if (texts.length === 0)
        throw new InputError('no-references', `CIDEr-D: item ${item} has no reference; at least one is needed.`);
      return texts.map((text) => this.count(words(text), this.trie, true));
    });
    const images = documentFrequency?.images ?? references.length;
    if (documentFrequency !== undefined && !(images >= 1))
      throw new InputError(
        'document-frequency',
        `CIDEr-D: document frequencies of ${images} images; at least 1 is needed.`,
      );
    const frequency = new Array<number>(this.trie.size + 1).fill(0);
    if (documentFrequency === undefined) {
      const lastItem = new Int32Array(this.trie.size + 1).fill(-1);
      counted.forEach((item, i) => {
        for (const {grams} of item) {
          for (const gram of grams) {
            if (lastItem[gram] !== i) frequency[gram] = (frequency[gram] ?? 0) + 1;
            lastItem[gram] = i;
          }
        }
      });
    } else {
      for (const [gram, count] of documentFrequency.counts) frequency[this.intern(words(gram))] = count;
    }
    this.logImages = Math.log(images);
    this.logFrequency = Float64Array.from({length: this.trie.size + 1}, (_, gram) =>
      Math.log(Math.max(1, frequency[gram] ?? 0)),
    );
    this.references = counted.map((item) => item.map((reference) => this.vector(reference)));
  }

  /** @param hypotheses one tokenised hypothesis an item, in the order of the references. */
  score(hypotheses: readonly string[]): CiderDResult {
    if (hypotheses.length !== this.references.length) {
      const wanted = this.references.length;
      throw new InputError(
        'wrong-count',
        `CIDEr-D: ${hypotheses.length} hypotheses for ${wanted} items; one each is needed.`,
      );
    }
    const perItem = new Float64Array(hypotheses.length);
    // Weight of every n-gram in the hypothesis at hand; all zero between items.
    const weights = new Float64Array(this.trie.size + 1);
    let sum = 0;
    this.references.forEach((references, i) => {
      const hypothesis = this.vector(this.count(words(hypotheses[i]!), new Map(), false));
      hypothesis.grams.forEach((gram, k) => {
        if (gram < weights.length) weights[gram] = hypothesis.weights[k]!;
      });
      let total = 0;
      for (const reference of references) total += similarity(hypothesis, weights, reference);
      for (const gram of hypothesis.grams) if (gram < weights.length) weights[gram] = 0;
      perItem[i] = (10 * total) / (ORDER * references.length);
      sum += perItem[i]!;
    });
    return {corpus: hypotheses.length === 0 ? Number.NaN : sum / hypotheses.length, perItem};
  }

  /** Counts n-grams. Those not known yet get the next numbers, in the trie itself or in a list that is thrown away. */
  private count(tokens: readonly string[], added: Map<number, number>, keep: boolean): Counted {
    const unknown = new Map<string, number>();
    const word = tokens.map((token) => {
      const known = this.ids.get(token) ?? unknown.get(token);
      if (known !== undefined) return known;
      const id = this.ids.size + unknown.size;
      (keep ? this.ids : unknown).set(token, id);
      return id;
    });
    const base = keep ? 0 : this.trie.size;
    // The n-gram that starts at each token, of the order before the one at hand.
    const prefix = new Int32Array(word.length);
    const grams: number[] = [];
    const times: number[] = [];
    const starts = [0];
    for (let n = 1; n <= ORDER; n++) {
      const found = new Int32Array(Math.max(0, word.length - n + 1));
      for (let from = 0; from < found.length; from++) {
        // Both factors stay far below 2 ** 26, so the key is an exact integer.
        const key = prefix[from]! * WORDS + word[from + n - 1]!;
        let gram = this.trie.get(key) ?? added.get(key);
        if (gram === undefined) {
          gram = base + added.size + 1;
          added.set(key, gram);
        }
        prefix[from] = gram;
        found[from] = gram;
      }
      for (const gram of found.sort()) {
        if (grams.length > starts[n - 1]! && grams.at(-1) === gram) times[times.length - 1]!++;
        else times[grams.push(gram) - 1] = 1;
      }
      starts.push(grams.length);
    }
    return {grams: Int32Array.from(grams), times, starts, length: Math.max(0, tokens.length - 1)};
  }

  private intern(tokens: readonly string[]): number {
    let gram = 0;
    for (const token of tokens) {
      const id = this.ids.get(token) ?? this.ids.size;
      this.ids.set(token, id);
      const key = gram * WORDS + id;
      gram = this.trie.get(key) ?? this.trie.size + 1;
      this.trie.set(key, gram);
    }
    return gram;
  }

  private vector({grams, times, starts, length}: Counted): Vector {
    const weights = Float64Array.from(
      grams,
      (gram, k) => times[k]! * (this.logImages - (this.logFrequency[gram] ?? 0)),
    );
    const norms = Array.from({length: ORDER}, (_, n) => {
      let squares = 0;
      for (let k = starts[n]!; k < starts[n + 1]!; k++) squares += weights[k]! ** 2;
      return Math.sqrt(squares);
    });
    return {grams, weights, starts, norms, length};
  }
}

const WORDS = 2 ** 26;

interface Counted {
  /** Distinct n-grams, order by order, and how often each occurs. */
  readonly grams: Int32Array;
  readonly times: readonly number[];
  readonly starts: readonly number[];
  /** Number of bigrams: what the reference implementation calls the length. */
  readonly length: number;
}

/** Sum over n of the clipped cosines. @param weights of the hypothesis, by n-gram. */
function similarity(hypothesis: Vector, weights: Float64Array, reference: Vector): number {
  let total = 0;
  for (let n = 0; n < ORDER; n++) {
    let value = 0;
    for (let k = reference.starts[n]!; k < reference.starts[n + 1]!; k++) {
      const ours = weights[reference.grams[k]!]!;
      // Zero: not in the hypothesis. (A gram whose idf is zero is zero on both sides.)
      if (ours !== 0) value += Math.min(ours, reference.weights[k]!) * reference.weights[k]!;
    }
    const norm = hypothesis.norms[n]! * reference.norms[n]!;
    total += norm === 0 ? value : value / norm;
  }
  return total * Math.exp(-((hypothesis.length - reference.length) ** 2) / (2 * SIGMA ** 2));
}
