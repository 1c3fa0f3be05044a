import type {ExitPolicy} from '../exit/policy.js';
import type {StackTrace} from '../exit/trace.js';
import type {Decoding} from '../models/model.js';
import {throwIfAborted} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import type {TokenTrie} from './token-trie.js';
import {bestWords, repeatingTokens, type WordScore} from './word-scores.js';

// b picture, k beam, row = b·K + k, s step, N most tokens before the end symbol   (ofa_mue section 9)

const BOS = 0;
const PAD = 1;
const EOS = 2;
const UNK = 3;

export interface SearchOptions {
  /** K; 1 is greedy. */
  readonly beams: number;
  /** N: at step N only the end symbol may follow. */
  readonly maxLength: number;
  /** No end symbol before this step. */
  readonly minLength: number;
  readonly noRepeatNgram: number;
  readonly lengthPenalty: number;
  /** Divide the score by length ** lengthPenalty. */
  readonly normalize: boolean;
  readonly temperature?: number;
  readonly unkPenalty?: number;
  /** Tokens that every answer must begin with, after the begin symbol; one list a picture. */
  readonly prefixes?: readonly (readonly number[])[];
  /** What may follow the prefix. */
  readonly trie?: TokenTrie;
  /**
   * Whether beams without any finite score take part in the exit decision, as they do in the release. Their tokens are
   * arbitrary, so a decision that includes them is, too (section 17).
   */
  readonly deadBeamsDecide?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called after every step; for beam 1, `rows[0].tokens` ends with the newest token. */
  readonly onStep?: (step: SearchStep) => void;
}

export interface Hypothesis {
  /** Without the begin symbol, with the end symbol. */
  readonly tokens: readonly number[];
  readonly score: number;
}

export interface Candidate {
  readonly score: number;
  readonly token: number;
  readonly beam: number;
}

export interface SearchStep {
  readonly step: number;
  readonly traces: readonly StackTrace[];
  /** What every row had been fed so far, begin symbol included. */
  readonly inputs: readonly (readonly number[])[];
  /** The 2·K best continuations of each unfinished picture. */
  readonly candidates: readonly (readonly Candidate[])[];
}

interface Row {
  readonly tokens: readonly number[];
  readonly score: number;
}

interface Sentence {
  readonly index: number;
  readonly rows: readonly Row[];
  readonly finished: Hypothesis[];
}

/**
 * Beam search as fairseq's SequenceGenerator does it for OFA. The decoding is stepped, reordered and left to the caller.
 * @returns hypotheses of each picture, best first, and the trace of every step
 */
export async function beamSearch(
  decoding: Decoding,
  pictures: number,
  policy: ExitPolicy,
  options: SearchOptions,
): Promise<{hypotheses: readonly (readonly Hypothesis[])[]; traces: readonly StackTrace[]}> {
  const {beams, maxLength, signal} = options;
  const all: Sentence[] = Array.from({length: pictures}, (_, index) => ({
    index,
    finished: [],
    rows: new Array<Row>(beams).fill({tokens: [BOS], score: 0}),
  }));
  const traces: StackTrace[] = [];
  let open = all;
  for (let step = 0; open.length > 0; step++) {
    throwIfAborted(signal);
    using scope = new TensorScope();
    const rows = open.flatMap((sentence) => sentence.rows);
    const alive = rows.flatMap(({score}, r) => (score > -Infinity ? [r] : []));
    const deciding = options.deadBeamsDecide || alive.length === rows.length ? {} : {rows: alive};
    const result = await decoding.step(
      rows.map(({tokens}) => tokens[step]!),
      policy,
      {signal, ...deciding},
    );
    const values = (await scope.hold(result.logits).data()) as Float32Array;
    const size = values.length / rows.length;
    traces.push(...result.traces);

    const candidates = open.map((sentence, b) =>
      extend(
        sentence,
        step,
        options,
        (k, rules) => bestWords(values.subarray((b * beams + k) * size, (b * beams + k + 1) * size), 2 * beams, rules),
        size,
      ),
    );
    options.onStep?.({step, traces: result.traces, inputs: rows.map(({tokens}) => tokens), candidates});
    const next: Sentence[] = [];
    const from: number[] = [];
    for (const [b, sentence] of open.entries()) {
      const found = candidates[b]!;
      finish(sentence, found, step, options);
      if (sentence.finished.length >= beams || step >= maxLength) continue;
      const kept = found.filter(({token}) => token !== EOS).slice(0, beams);
      next.push({...sentence, rows: kept.map(({beam, token, score}) => ({tokens: [...sentence.rows[beam]!.tokens, token], score}))});
      from.push(...kept.map(({beam}) => b * beams + beam));
    }
    if (next.length > 0 && (from.length !== rows.length || from.some((row, i) => row !== i))) decoding.reorder(from);
    open = next;
  }
  return {hypotheses: all.map(({finished}) => [...finished].sort((a, b) => b.score - a.score)), traces};
}

type Words = (beam: number, rules: Parameters<typeof bestWords>[2]) => WordScore[];

/** The 2·K best continuations of one picture's beams, best first; impossible ones only where nothing else is left. */
function extend({index, rows}: Sentence, step: number, options: SearchOptions, words: Words, vocabulary: number): Candidate[] {
  const {beams, maxLength, minLength, noRepeatNgram, temperature = 1, unkPenalty = 0, trie} = options;
  const prefix = options.prefixes?.[index] ?? [];
  const longest = Math.max(0, ...(options.prefixes ?? []).map((p) => p.length));
  const inPrefix = step < longest && step < maxLength;
  // At the first step all beams are the same: only the first is extended.
  const found = (step === 0 ? rows.slice(0, 1) : rows).flatMap(({tokens, score}, beam) => {
    if (score === -Infinity) return [];
    const banned = new Set([PAD, ...repeatingTokens(tokens, step >= noRepeatNgram - 2 ? noRepeatNgram : 0)]);
    if (!inPrefix && step < minLength) banned.add(EOS);
    const forced = inPrefix ? prefix[step] : undefined;
    const allowed = trie && step >= prefix.length ? trie.allowed(tokens.slice(1 + prefix.length)) : undefined;
    const only = step >= maxLength ? EOS : forced;
    if (only === EOS) banned.delete(EOS);
    return words(beam, {temperature, allowed, banned, only, unk: UNK, unkPenalty}).map(({token, logProbability}) => ({
      score: score + logProbability,
      token,
      beam,
    }));
  });
  found.sort((a, b) => b.score - a.score || a.beam - b.beam || a.token - b.token);
  const best = found.slice(0, 2 * beams);
  const taken = new Set(best.map(({beam, token}) => beam * vocabulary + token));
  const extended = step === 0 ? 1 : rows.length;
  for (let i = 0; best.length < 2 * beams && i < extended * vocabulary; i++) {
    if (!taken.has(i)) best.push({score: -Infinity, token: i % vocabulary, beam: Math.floor(i / vocabulary)});
  }
  return best;
}

/** Hypotheses that end here: among the first K candidates, while there are fewer than K. */
function finish(
  {rows, finished}: Sentence,
  candidates: readonly Candidate[],
  step: number,
  {beams, normalize, lengthPenalty}: SearchOptions,
): void {
  for (const {token, score, beam} of candidates.slice(0, beams)) {
    if (token !== EOS || score === -Infinity || finished.length >= beams) continue;
    finished.push({tokens: [...rows[beam]!.tokens.slice(1), EOS], score: normalize ? score / (step + 1) ** lengthPenalty : score});
  }
}
