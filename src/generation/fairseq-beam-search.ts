import {type PolicyPerImage, policiesOfImages} from '../exit/policy.js';
import type {StackTrace} from '../exit/trace.js';
import type {Decoding, Follower} from '../models/model.js';
import {checkArguments, COUNT, fields, FUNCTION, OBJECT} from '../runtime/check-arguments.js';
import {throwIfAborted} from '../runtime/errors.js';
import {TensorScope} from '../runtime/tensor-scope.js';
import type {TokenTrie} from './token-trie.js';
import {bestNextTokens, repeatingTokens, type NextToken} from './logits.js';
import {append, largest, smallest} from '../runtime/extremes.js';

// Beam search of fairseq (docs/reference/ofa-mue.md 9).   b image, k beam, row = b·K + k, s step, N most tokens before
// the end symbol

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
  /** Tokens that every answer must begin with, after the begin symbol; one list for each image. */
  readonly prefixes?: readonly (readonly number[])[];
  /** Answers that may follow the prefix. */
  readonly trie?: TokenTrie;
  /**
   * Whether beams without any finite score take part in the exit decision, as they do in the release. Their tokens are
   * arbitrary, so a decision that includes them is, too (docs/reference/ofa-mue.md 17).
   */
  readonly includeDeadBeams?: boolean;
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
  /** Traces of the unfinished images, in order. */
  readonly traces: readonly StackTrace[];
  /** Tokens that every row had been fed so far, begin symbol included. */
  readonly inputs: readonly (readonly number[])[];
  /** The 2·K best continuations of each unfinished image. */
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
  readonly traces: StackTrace[];
}

/**
 * Beam search as fairseq's SequenceGenerator does it for OFA.
 *
 * While the beams of an image are all the same (until the first free choice) there is one row of it; a prefix that all
 * images have, or as much of it as all have, is fed at once. With `includeDeadBeams` K rows run from the start: the
 * copies are the dead beams that the authors' release lets decide.
 * @param decoding   of K rows an image; stepped, reordered and left to the caller
 * @param policy     a list has one for each image, and every image then gets what it would get alone
 * @returns          hypotheses of each image, best first, and the trace of every step that it took
 */
export async function fairseqBeamSearch(
  decoding: Decoding,
  images: number,
  policy: PolicyPerImage,
  options: SearchOptions,
): Promise<{hypotheses: readonly (readonly Hypothesis[])[]; traces: readonly (readonly StackTrace[])[]}> {
  checkArguments('fairseqBeamSearch', {
    decoding: [decoding, fields({step: FUNCTION, reorder: FUNCTION})],
    images: [images, COUNT],
    policy: [policy, OBJECT],
    options: [options, fields({beams: COUNT, maxLength: COUNT})],
  });
  const {beams, maxLength, signal, includeDeadBeams = false} = options;
  const first = includeDeadBeams ? beams : 1;
  const all: Sentence[] = Array.from({length: images}, (_, index) => ({
    index,
    finished: [],
    rows: new Array<Row>(first).fill({tokens: [BOS], score: 0}),
    traces: [],
  }));
  if (first < beams)
    decoding.reorder(
      all.map(({index}) => index * beams),
      first,
    );
  const ahead = includeDeadBeams ? [] : await prefixSteps(decoding, images, policy, options);
  let open = all;
  for (let step = 0; open.length > 0; step++) {
    throwIfAborted(signal);
    const rows = open.flatMap((sentence) => sentence.rows);
    const {values, traces} = ahead[step] ?? (await oneStep(decoding, open, step, policy, options));
    const size = values.length / rows.length;
    const width = rows.length / open.length;
    for (const [b, sentence] of open.entries()) append(sentence.traces, traces[b]!);

    const candidates = open.map((sentence, b) =>
      extend(
        sentence,
        step,
        options,
        Array.isArray(policy),
        (k, rules) =>
          bestNextTokens(values.subarray((b * width + k) * size, (b * width + k + 1) * size), 2 * beams, rules),
        size,
      ),
    );
    options.onStep?.({step, traces: traces.flat(), inputs: rows.map(({tokens}) => tokens), candidates});
    const fed = step + 1 < ahead.length;
    const next: Sentence[] = [];
    const from: number[] = [];
    for (const [b, sentence] of open.entries()) {
      const found = candidates[b]!;
      finish(sentence, found, step, options);
      if (sentence.finished.length >= beams || step >= maxLength) continue;
      const kept = found.filter(({token}) => token !== EOS).slice(0, fed ? 1 : beams);
      next.push({
        ...sentence,
        rows: kept.map(({beam, token, score}) => ({tokens: [...sentence.rows[beam]!.tokens, token], score})),
      });
      append(
        from,
        kept.map(({beam}) => b * width + beam),
      );
    }
    if (next.length > 0 && !fed && (from.length !== rows.length || from.some((row, i) => row !== i)))
      decoding.reorder(from, beams);
    open = next;
  }
  return {
    hypotheses: all.map(({finished}) => [...finished].sort((a, b) => b.score - a.score)),
    traces: all.map((sentence) => sentence.traces),
  };
}

interface StepResult {
  /** Next-token logits, row by row. */
  readonly values: Float32Array;
  /** Traces of each unfinished image. */
  readonly traces: readonly (readonly StackTrace[])[];
}

async function oneStep(
  decoding: Decoding,
  open: readonly Sentence[],
  step: number,
  policy: PolicyPerImage,
  options: SearchOptions,
): Promise<StepResult> {
  using scope = new TensorScope();
  const {beams, includeDeadBeams, signal} = options;
  const rows = open.flatMap((sentence) => sentence.rows);
  // If all beams of an image are dead, its answer is lost, whichever decide.
  const counts = open.flatMap((sentence) => {
    const alive = sentence.rows.map(({score}) => score > -Infinity);
    return alive.includes(true) ? alive : alive.map(() => true);
  });
  const deciding =
    includeDeadBeams || !counts.includes(false) ? {} : {rows: counts.flatMap((counted, r) => (counted ? [r] : []))};
  const {logits, traces} = await decoding.step(
    rows.map(({tokens}) => tokens[step]!),
    policiesOfImages(
      policy,
      open.map(({index}) => index),
    ),
    {
      signal,
      ...deciding,
      ...(beams === 1 && {follow: (row, drafted, scores) => follower(open[row]!, step, drafted, scores, options)}),
    },
  );
  return {values: (await scope.hold(logits).data()) as Float32Array, traces};
}

/**
 * How a search of one beam goes on behind tokens that it has not chosen yet.
 * @param drafted   tokens behind those of the sentence
 * @param logits    next-token logits behind them
 */
function follower(
  sentence: Sentence,
  step: number,
  drafted: readonly number[],
  logits: Float32Array,
  options: SearchOptions,
): Follower {
  const rows = [{tokens: [...sentence.rows[0]!.tokens, ...drafted], score: 0}];
  const [best, second] = extend(
    {...sentence, rows},
    step + drafted.length,
    options,
    true,
    (_, rules) => bestNextTokens(logits, 2, rules),
    logits.length,
  ) as [Candidate, Candidate];
  const ends = best.token === EOS || best.score === -Infinity || step + drafted.length >= options.maxLength;
  return {token: ends ? undefined : best.token, lead: best.score - second.score};
}

/**
 * Results of the steps that feed the tokens with which all images must begin, and of the one after; none without a
 * prefix.
 */
async function prefixSteps(
  decoding: Decoding,
  images: number,
  policy: PolicyPerImage,
  options: SearchOptions,
): Promise<StepResult[]> {
  const prefixes = Array.from({length: images}, (_, b) => options.prefixes?.[b] ?? []);
  const shared = smallest(prefixes.map((prefix) => certain(prefix, options)));
  if (shared === 0) return [];
  using scope = new TensorScope();
  const tokens = prefixes.map((prefix) => [BOS, ...prefix.slice(0, shared)]);
  const {logits, traces} = await decoding.prefill(tokens, policy, {signal: options.signal});
  const values = (await scope.hold(logits).data()) as Float32Array;
  const steps = shared + 1;
  const size = values.length / (steps * images);
  return Array.from({length: steps}, (_, step) => {
    const scores = new Float32Array(images * size);
    for (let b = 0; b < images; b++)
      scores.set(values.subarray((b * steps + step) * size, (b * steps + step + 1) * size), b * size);
    return {values: scores, traces: traces.map((own) => own.filter((trace) => trace.step === step))};
  });
}

/**
 * Number of tokens of a prefix that are certain whatever the logits: up to one that the rules forbid, or that ends the
 * answer.
 */
function certain(prefix: readonly number[], {maxLength, noRepeatNgram}: SearchOptions): number {
  const free = prefix.findIndex(
    (token, step) =>
      step >= maxLength ||
      token === EOS ||
      token === PAD ||
      repeating([BOS, ...prefix.slice(0, step)], step, noRepeatNgram).has(token),
  );
  return free < 0 ? Math.min(prefix.length, maxLength) : free;
}

/**
 * The rule that keeps a search from a token, by the name of its option; behind any prefix.
 * @param fed tokens that the row was fed so far, begin symbol first
 */
export function forbiddenBy(
  fed: readonly number[],
  token: number,
  {minLength, noRepeatNgram}: Pick<SearchOptions, 'minLength' | 'noRepeatNgram'>,
): 'min_length' | 'no_repeat_ngram_size' | undefined {
  const step = fed.length - 1;
  if (token === EOS && step < minLength) return 'min_length';
  return repeating(fed, step, noRepeatNgram).has(token) ? 'no_repeat_ngram_size' : undefined;
}

/** Tokens that would repeat an n-gram. */
function repeating(tokens: readonly number[], step: number, noRepeatNgram: number): ReadonlySet<number> {
  return repeatingTokens(tokens, step >= noRepeatNgram - 2 ? noRepeatNgram : 0);
}

/** The best next tokens of one beam under some rules. */
type NextTokens = (beam: number, rules: Parameters<typeof bestNextTokens>[2]) => NextToken[];

/** The 2·K best continuations of one image's beams, best first; impossible ones only where nothing else is left. */
function extend(
  {index, rows}: Sentence,
  step: number,
  options: SearchOptions,
  alone: boolean,
  nextTokens: NextTokens,
  vocabulary: number,
): Candidate[] {
  const {beams, maxLength, minLength, noRepeatNgram, temperature = 1, unkPenalty = 0, trie} = options;
  const prefix = options.prefixes?.[index] ?? [];
  // In a batch that decides as one, the release takes all prefixes to be as long as the longest.
  const longest = alone ? prefix.length : Math.max(0, largest((options.prefixes ?? []).map((p) => p.length)));
  const inPrefix = step < longest && step < maxLength;
  // At the first step all beams are the same: only the first is extended.
  const found = (step === 0 ? rows.slice(0, 1) : rows).flatMap(({tokens, score}, beam) => {
    if (score === -Infinity) return [];
    const banned = new Set([PAD, ...repeating(tokens, step, noRepeatNgram)]);
    if (!inPrefix && step < minLength) banned.add(EOS);
    const forced = inPrefix ? prefix[step] : undefined;
    const allowed = trie && step >= prefix.length ? trie.allowed(tokens.slice(1 + prefix.length)) : undefined;
    const only = step >= maxLength ? EOS : forced;
    if (only === EOS) banned.delete(EOS);
    return nextTokens(beam, {temperature, allowed, banned, only, unk: UNK, unkPenalty}).map(
      ({token, logProbability}) => ({
        score: score + logProbability,
        token,
        beam,
      }),
    );
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

/** Adds the hypotheses that end here: among the first K candidates, while there are fewer than K. */
function finish(
  {rows, finished}: Sentence,
  candidates: readonly Candidate[],
  step: number,
  {beams, normalize, lengthPenalty}: SearchOptions,
): void {
  for (const {token, score, beam} of candidates.slice(0, beams)) {
    if (token !== EOS || score === -Infinity || finished.length >= beams) continue;
    finished.push({
      tokens: [...rows[beam]!.tokens.slice(1), EOS],
      score: normalize ? score / (step + 1) ** lengthPenalty : score,
    });
  }
}
