import type {EntailmentLabel} from '../data/dataset.js';
import type {StackName} from '../exit/policy.js';
import type {DraftCounts} from '../generation/drafted-decoding.js';
import {ENTAILMENT_ANSWERS} from './prompts.js';
import {addMacs, type Macs, type ImageRun, type StackTrace} from '../exit/trace.js';

/** Milliseconds of one answer, by part. */
export interface Milliseconds {
  /** Decoding and resizing the image. */
  readonly preprocess: number;
  readonly encode: number;
  readonly decode: number;
  readonly total: number;
}

/** Layers that ran in a stack: one number, or one for every decoding step. */
export interface LayersRun {
  readonly run: number | readonly number[];
  readonly of: number;
}

export interface AnswerHypothesis {
  readonly text: string;
  /** Without begin and end symbol. */
  readonly tokens: readonly number[];
  readonly score: number;
}

/** An image or text as a vector of unit length: the product of two is the cosine between them. */
export interface Embedding {
  readonly vector: Float32Array;
  readonly layers: Answer['layers'];
  readonly macs: Macs;
  readonly ms: Milliseconds;
  readonly trace: readonly StackTrace[];
  readonly notes: readonly string[];
}

/** Answer of any task. */
export interface Answer extends AnswerHypothesis {
  /** All that a search found, best first; the first is the answer. */
  readonly hypotheses: readonly AnswerHypothesis[];
  readonly layers: Readonly<Partial<Record<StackName, LayersRun>>>;
  readonly macs: Macs;
  readonly ms: Milliseconds;
  readonly trace: readonly StackTrace[];
  /** Messages for people: what was cut or assumed. */
  readonly notes: readonly string[];
  /** What was drafted and verified, where the exits lose nothing (policy `draft`). */
  readonly drafting?: DraftCounts;
}

/** Answer of an entailment question, with the log-softmax over the three answers. */
export interface Entailment extends Answer {
  readonly text: EntailmentLabel;
  readonly scores: Readonly<Record<EntailmentLabel, number>>;
}

/** @param scores in the order of ENTAILMENT_ANSWERS */
export function entailmentScores(scores: readonly number[]): Entailment['scores'] {
  return Object.fromEntries(ENTAILMENT_ANSWERS.map((word, i) => [word, scores[i]!])) as unknown as Entailment['scores'];
}

/** The first of a search's finds, which may be none: then an empty text that is impossible. */
export function bestHypothesis(hypotheses: readonly AnswerHypothesis[]): AnswerHypothesis {
  return hypotheses[0] ?? {text: '', tokens: [], score: Number.NEGATIVE_INFINITY};
}

/**
 * @param hypotheses   best first
 * @param runs         the parts of the answer
 */
export function answerOf(
  hypotheses: readonly AnswerHypothesis[],
  runs: readonly ImageRun[],
  ms: Milliseconds,
  notes: readonly string[] = [],
): Answer {
  const best = bestHypothesis(hypotheses);
  const trace = runs.flatMap(({traces}) => traces);
  return {
    ...best,
    hypotheses,
    layers: layersRun(trace),
    macs: addMacs(runs.map(({macs}) => macs)),
    ms,
    trace,
    notes,
  };
}

/** Layers by stack, from the traces of one answer. */
export function layersRun(traces: readonly StackTrace[]): Answer['layers'] {
  const stacks = new Map<StackName, StackTrace[]>();
  for (const trace of traces) stacks.set(trace.stack, [...(stacks.get(trace.stack) ?? []), trace]);
  return Object.fromEntries(
    [...stacks].map(([stack, of]) => [
      stack,
      {
        run: of[0]!.step === undefined && of.length === 1 ? of[0]!.exitLayer : of.map(({exitLayer}) => exitLayer),
        of: of[0]!.depth,
      },
    ]),
  );
}

/** Mean layers run in a stack. */
export function meanLayers({run}: LayersRun): number {
  return typeof run === 'number' ? run : run.reduce((sum, n) => sum + n, 0) / run.length;
}

/** Milliseconds of an answer's parts, between laps, shared by the images of a batch. */
export class Clock {
  readonly #start = performance.now();
  #last = this.#start;
  readonly #laps = {preprocess: 0, encode: 0, decode: 0};

  constructor(private readonly images = 1) {}

  lap(part: 'preprocess' | 'encode' | 'decode'): void {
    const now = performance.now();
    this.#laps[part] += (now - this.#last) / this.images;
    this.#last = now;
  }

  read(): Milliseconds {
    return {...this.#laps, total: (this.#last - this.#start) / this.images};
  }
}
