import type {StackName} from './policy.js';

/** One pass through a stack: how far it went, and what its policy measured. */
export interface StackTrace {
  readonly stack: StackName;
  /** Decoding step; absent in encoders and in scoring. */
  readonly step?: number;
  /** Layers run, 1 … depth; 0 where the pass left before the first. */
  readonly exitLayer: number;
  readonly depth: number;
  /** Whether the policy said exit. At the last layer this saves nothing, but is not the same as never. */
  readonly exited: boolean;
  /** Score after each layer; null where the policy measured nothing. */
  readonly scores: readonly (number | null)[];
  /** Threshold that each score was compared with; null for never. */
  readonly thresholds: readonly (number | null)[];
}

/** The part of a trace that multiply-accumulates depend on. */
export type TracedDepth = Pick<StackTrace, 'exitLayer' | 'depth' | 'scores'>;

/** Exit tests of a pass that measured something. */
export function exitTestCount({scores}: TracedDepth): number {
  return scores.filter((score) => score !== null).length;
}

/** One pass through a stack, with what its cost depends on besides the layers of the trace. */
export interface StackPass {
  readonly trace: TracedDepth;
  /** Layers after which an exit test computed next-token logits. */
  readonly logitsAt: readonly number[];
  /** Whether the last exit test computed the logits of all rows, so that the answer need not compute them again. */
  readonly logitsKnown: boolean;
}

/** One token of a decoding in one stack. */
export interface StepPass extends StackPass {
  /** K, rows (beams) that were fed. */
  readonly rows: number;
  /** Rows that the exit tests looked at. */
  readonly decidingRows: number;
  /** Given for a token that the first layers drafted. */
  readonly drafted?: DraftedToken;
}

/** A token that the first layers ran alone, and the others in one pass with all tokens that were drafted with it. */
export interface DraftedToken {
  /** d */
  readonly layers: number;
  /** Position of the token, from 0. */
  readonly position: number;
  /** Keys of the layers above d in the pass that verified it, those of later drafts included. */
  readonly keys: number;
  /** False for a token that was taken back: it cost what it cost, but is no part of the answer. */
  readonly kept: boolean;
}

/** Marks all passes of a decoding but the first `length` that are kept as taken back; all of these were drafted. */
export function takeBack<P extends {readonly drafted?: DraftedToken}>(passes: P[], length: number): void {
  let kept = 0;
  for (const [i, pass] of passes.entries())
    if (pass.drafted?.kept !== false && kept++ >= length)
      passes[i] = {...pass, drafted: {...pass.drafted!, kept: false}};
}

/** The layers of a stack that one drafted token ran through, each with the tokens computed and keys attended to. */
export function draftedLayers(
  depth: number,
  {layers, position, keys}: DraftedToken,
): readonly {readonly tokens: number; readonly keys: number}[] {
  return Array.from({length: depth}, (_, layer) => ({tokens: 1, keys: layer < layers ? position + 1 : keys}));
}

/** Multiply-accumulates of the exit adapter of one state after so many layers; 0 where there is none, as at the last. */
export type AdapterMacs = (layer: number) => number;

export const withoutAdapters: AdapterMacs = () => 0;

/**
 * Multiply-accumulates of a pass' exit adapters, for one state.
 * @returns   those of the exit tests that computed logits, and those of the answer's logits
 */
export function adapterMacs(
  {trace, logitsAt, logitsKnown}: StackPass,
  macs: AdapterMacs,
): {readonly tests: number; readonly answer: number} {
  return {
    tests: logitsAt.reduce((sum, layer) => sum + macs(layer), 0),
    answer: logitsKnown ? 0 : macs(trace.exitLayer),
  };
}

/** A pass that left after so many layers, and measured nothing. */
export function withoutTests(exitLayer: number, depth: number): StackPass {
  return {trace: {exitLayer, depth, scores: []}, logitsAt: [], logitsKnown: false};
}

/** Multiply-accumulates of an answer: those run, and those of the same answer (the same tokens) at full depth. */
export interface Macs {
  readonly run: number;
  readonly full: number;
}

/** One image's part of a batch. Its multiply-accumulates are those it would have alone. */
export interface ImageRun {
  /** Where one policy decided for all images, every image has the same traces. */
  readonly traces: readonly StackTrace[];
  readonly macs: Macs;
}

/** The sum of the parts of one answer. */
export function addMacs(parts: readonly Macs[]): Macs {
  return {
    run: parts.reduce((sum, macs) => sum + macs.run, 0),
    full: parts.reduce((sum, macs) => sum + macs.full, 0),
  };
}
