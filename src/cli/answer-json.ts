import type {Answer, Entailment} from '../tasks/answer.js';
import {errorRecord} from './fail.js';

/** What a picture's answer cost beside the answer. */
export interface AnswerContext {
  readonly image: string;
  /** Milliseconds of loading the model; 0 for every picture but the first. */
  readonly load: number;
  readonly backend: string;
  /** Add what was measured at every layer. */
  readonly trace: boolean;
}

/** The JSON object of one picture. */
export function answerJson(answer: Answer | Entailment, {image, load, backend, trace}: AnswerContext): object {
  const {text, tokens, score, hypotheses, layers, macs, ms} = answer;
  return {
    image,
    text,
    ...('scores' in answer ? {scores: pick(answer.scores, ['yes', 'no', 'maybe'])} : {}),
    tokens,
    score,
    hypotheses: hypotheses.map((h) => ({text: h.text, tokens: h.tokens, score: h.score})),
    layers,
    macs,
    ms: round({load, preprocess: ms.preprocess, encode: ms.encode, decode: ms.decode, total: load + ms.total}),
    backend,
    ...(trace ? {trace: answer.trace.map(traceJson)} : {}),
  };
}

function traceJson({stack, step, exitLayer, depth, scores, thresholds}: Answer['trace'][number]): object {
  return {stack, ...(step === undefined ? {} : {step}), exitLayer, depth, similarity: scores, threshold: thresholds};
}

/** The JSON object of a picture that failed. */
export function errorJson(image: string, error: unknown): object {
  return {image, error: errorRecord(error)};
}

function pick<K extends string>(record: Readonly<Record<K, number>>, keys: readonly K[]): Record<string, number> {
  return Object.fromEntries(keys.map((key) => [key, record[key]]));
}

/** Microseconds are enough. */
function round(times: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, Math.round(ms * 1e3) / 1e3]));
}
