import {type PolicyPerImage, policiesOfImages} from '../exit/policy.js';
import type {StackTrace} from '../exit/trace.js';
import type {Decoding} from '../models/model.js';
import {topKTokens, logSoftmax, penalizeRepetition} from './logits.js';
import {feedPrompt, nextLogits, type DecodingOptions, type GeneratedText} from './step.js';
import {append} from '../runtime/extremes.js';

// Beam search of open_clip (docs/reference/coca.md 7).   b image, k beam, row = b·K + k

export interface OpenClipBeamOptions extends DecodingOptions {
  /** K. open_clip's groups have no diversity term, so that G groups of K beams find what K / G beams find. */
  readonly beams: number;
}

interface Row {
  readonly tokens: readonly number[];
  /** Sum of the scores of its tokens. */
  readonly sum: number;
}

interface Candidate extends Row {
  readonly beam: number;
}

interface Search {
  readonly rows: readonly Row[];
  /** Complete texts, the K best; the later of equals is the better. */
  readonly found: readonly GeneratedText[];
  readonly done: boolean;
}

/**
 * Beam search by either rule set.
 * @param decoding   stepped, reordered and left to the caller
 * @param policy     a list has one for each image
 * @returns          texts of each image, best first, and the traces of every step that it took
 */
export async function openClipBeamSearch(
  decoding: Decoding,
  images: number,
  policy: PolicyPerImage,
  options: OpenClipBeamOptions,
): Promise<{texts: readonly (readonly GeneratedText[])[]; traces: readonly (readonly StackTrace[])[]}> {
  const {beams, prompt, maxLength, rules, signal} = options;
  const extend = rules === 'classic' ? extendClassic : extendCurrent;
  // At the first step all rows are the same: all but the first are as good as ruled out.
  const first = Array.from({length: beams}, (_, k): Row => ({tokens: prompt, sum: k === 0 ? 0 : -1e9}));
  const all = Array.from({length: images}, (): Search => ({rows: first, found: [], done: false}));
  const traces = await feedPrompt(decoding, images, beams, policy, options);
  let open = all.map((_, b) => b);
  for (let length = prompt.length; open.length > 0 && length < maxLength; length++) {
    const inputs = open.flatMap((b) => all[b]!.rows.map(({tokens}) => tokens));
    const next = await nextLogits(
      decoding,
      inputs.map((tokens) => tokens.at(-1)!),
      policiesOfImages(policy, open),
      signal,
    );
    const from: number[] = [];
    for (const [place, b] of open.entries()) {
      append(traces[b]!, next.traces[place]!);
      const {rows} = all[b]!;
      const candidates = bestContinuations(rows, next.logits.slice(place * beams, (place + 1) * beams), options);
      const {kept, ...search} = extend(all[b]!, candidates, options);
      all[b] = search;
      if (!search.done)
        append(
          from,
          kept.map(({beam}) => place * beams + beam),
        );
    }
    options.onStep?.({step: length - prompt.length, traces: next.traces.flat(), inputs, tokens: []});
    open = open.filter((b) => !all[b]!.done);
    if (open.length > 0 && (from.length !== inputs.length || from.some((row, i) => row !== i))) decoding.reorder(from);
  }
  return {texts: all.map(({found}) => found), traces};
}

/** The 2·K best continuations of an image's rows, best first, ends among them. */
function bestContinuations(
  rows: readonly Row[],
  scores: readonly Float64Array[],
  options: OpenClipBeamOptions,
): Candidate[] {
  const {beams, rules, repetitionPenalty, minLength, end} = options;
  const candidates = rows.flatMap(({tokens, sum}, beam) => {
    // The releases add raw scores, which is no probability of anything; `current` adds log-probabilities.
    const added = rules === 'classic' ? scores[beam]! : logSoftmax(scores[beam]!);
    penalizeRepetition(added, tokens, repetitionPenalty);
    if (tokens.length < minLength) added[end] = Number.NEGATIVE_INFINITY;
    return topKTokens(added, 2 * beams).map(({token, score}) => ({tokens: [...tokens, token], sum: sum + score, beam}));
  });
  return candidates
    .sort((a, b) => b.sum - a.sum || a.beam - b.beam || a.tokens.at(-1)! - b.tokens.at(-1)!)
    .slice(0, 2 * beams);
}

type Extend = (
  search: Search,
  candidates: readonly Candidate[],
  options: OpenClipBeamOptions,
) => Search & {readonly kept: readonly Candidate[]};

const extendClassic: Extend = ({found}, candidates, {beams, end, maxLength}) => {
  const isEnd = ({tokens}: Row): boolean => tokens.at(-1) === end;
  // The whole length counts, begin and end included.
  const complete = (row: Row): GeneratedText => ({tokens: row.tokens, score: row.sum / row.tokens.length});
  // An end behind the K best is dropped, and no continuation takes its place in the order.
  const ended = candidates.slice(0, beams).filter(isEnd).map(complete);
  const kept = candidates.filter((row) => !isEnd(row)).slice(0, beams);
  const best = ended.reduce((list, text) => insert(list, text, beams), found);
  const length = candidates[0]!.tokens.length;
  const done = best.length === beams && best.at(-1)!.score >= candidates[0]!.sum / length;
  if (done || length < maxLength) return {rows: kept, found: best, done, kept};
  // Cut off: unfinished rows take part, without an end.
  return {
    rows: kept,
    found: kept.map(complete).reduce((list, text) => insert(list, text, beams), best),
    done: true,
    kept,
  };
};

const extendCurrent: Extend = ({found}, candidates, {beams, prompt, end, maxLength}) => {
  const length = candidates[0]!.tokens.length;
  const isOver = ({tokens}: Row): boolean => length === maxLength || tokens.at(-1) === end;
  // Only generated tokens count.
  const score = (row: Row): number => row.sum / (length - prompt.length);
  const best = candidates
    .slice(0, beams)
    .filter(isOver)
    .reduce((list, row) => insert(list, {tokens: row.tokens, score: score(row)}, beams), found);
  const kept = candidates.filter((row) => !isOver(row)).slice(0, beams);
  const done = kept.length === 0 || (best.length === beams && score(kept[0]!) <= best.at(-1)!.score);
  return {rows: kept, found: best, done, kept};
};

/** Adds a text where it belongs; only the best stay, and of equals the later comes first. */
function insert(list: readonly GeneratedText[], text: GeneratedText, most: number): readonly GeneratedText[] {
  if (list.length === most && !(text.score > list.at(-1)!.score)) return list;
  const place = list.findIndex(({score}) => text.score >= score);
  return (place < 0 ? [...list, text] : list.toSpliced(place, 0, text)).slice(0, most);
}
