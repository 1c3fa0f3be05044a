import {type Answer, type Entailment, type LayersRun, meanLayers} from '../../tasks/answer.js';
import {errorRecord} from '../core/errors.js';

const digits = (x: number, places: number): string => x.toFixed(places).replace(/\.0+$/, '');
const ms = (x: number): string => `${x.toFixed(x < 9.95 ? 1 : 0)} ms`;
const giga = (macs: number): string => (macs / 1e9).toFixed(2);
/** 'encoder.image' is 'image' to people. */
export const stackLabel = (stack: string): string => stack.replace(/^encoder\./, '');

/** Multiply-accumulates that exits saved, in percent of all. */
export function savedPercent({run, full}: Answer['macs']): number {
  return full === 0 ? 0 : (1 - run / full) * 100;
}

/** Mean layers a stack, such as `image 3/6, text 1/6, decoder 3.8/6`. */
export function layersText(layers: Answer['layers']): string {
  return Object.entries(layers)
    .map(([stack, run]) => `${stackLabel(stack)} ${digits(meanLayers(run as LayersRun), 1)}/${(run as LayersRun).of}`)
    .join(', ');
}

/** An answer for people, on several lines. @param load milliseconds of loading the model; 0 is not told */
export function answerText(image: string, answer: Answer | Entailment, load: number): string {
  const {macs, ms: time} = answer;
  const parts = `picture ${ms(time.preprocess)}, encoding ${ms(time.encode)}, decoding ${ms(time.decode)}`;
  return [
    `${image}`,
    `  ${answer.text === '' ? '(no words)' : answer.text}`,
    ...('scores' in answer ? [`  ${scoresText(answer)}`] : []),
    '',
    `  layers  ${layersText(answer.layers)}`,
    ...(answer.drafting ? [`  drafts  ${draftsText(answer.drafting)}`] : []),
    `  MACs    ${giga(macs.run)} of ${giga(macs.full)} G (${savedPercent(macs).toFixed(1)} % saved)`,
    `  time    ${ms(time.total)} (${parts})${load > 0 ? `; model loaded in ${ms(load)}` : ''}`,
  ].join('\n');
}

/** What was drafted: `15 tokens run for 13 kept, verified in 4 rounds; 35 layer calls one after the other`. */
function draftsText({positions, kept, rounds, ties, layerCalls}: NonNullable<Answer['drafting']>): string {
  const again = ties > 0 ? `, ${ties} run again for ties` : '';
  return `${positions} tokens run for ${kept} kept, verified in ${rounds} rounds${again}; ${layerCalls} layer calls`;
}

/** An answer for people, on one line. @param width columns of the names of the images */
export function answerLine(image: string, answer: Answer | Entailment, width: number): string {
  const {macs, ms: time} = answer;
  const cost = `${layersText(answer.layers)}; ${savedPercent(macs).toFixed(0)} % of MACs saved; ${ms(time.total)}`;
  return `${image.padEnd(width)}  ${answer.text || '(no words)'}  [${cost}]`;
}

function scoresText({scores}: Entailment): string {
  return (['yes', 'no', 'maybe'] as const)
    .map((word) => `${word} ${(Math.exp(scores[word]) * 100).toFixed(1)} %`)
    .join(', ');
}

/** A line for every pass through a stack: its exit layer, and every score with its threshold. */
export function traceText({trace}: Answer): string {
  const number = (x: number | null): string => (x === null ? '–' : x.toFixed(4));
  return trace
    .map(({stack, step, exitLayer, depth, scores, thresholds}) => {
      const seen = scores.map((score, i) =>
        score === null ? '–' : `${number(score)}/${number(thresholds[i] ?? null)}`,
      );
      return `  ${stack}${step === undefined ? '' : ` step ${step}`}: ${exitLayer}/${depth}  ${seen.join(' ')}`;
    })
    .join('\n');
}

/** Circumstances of an answer. */
export interface AnswerContext {
  readonly image: string;
  /** Milliseconds of loading the model; 0 for every image but the first. */
  readonly load: number;
  readonly backend: string;
  /** Add what was measured at every layer. */
  readonly trace: boolean;
}

/** The JSON object of one image. */
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
    ...(answer.drafting ? {drafting: answer.drafting} : {}),
    ms: round({load, preprocess: ms.preprocess, encode: ms.encode, decode: ms.decode, total: load + ms.total}),
    backend,
    ...(trace ? {trace: answer.trace.map(traceJson)} : {}),
  };
}

function traceJson({stack, step, exitLayer, depth, scores, thresholds}: Answer['trace'][number]): object {
  return {stack, ...(step === undefined ? {} : {step}), exitLayer, depth, similarity: scores, threshold: thresholds};
}

/** The JSON object of an image that failed. */
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
