import type {StackName} from './policy.js';

/** What one pass through a stack did. */
export interface StackTrace {
  readonly stack: StackName;
  /** Decoding step, absent in encoders and scoring. */
  readonly step?: number;
  /** Layers run, 1 … depth. */
  readonly exitLayer: number;
  readonly depth: number;
  /** Whether the policy said stop; at the last layer this saves nothing, but is not the same as never. */
  readonly exited: boolean;
  /** What the policy measured after each layer, null where it did not look; and what it compared with, null for never. */
  readonly scores: readonly (number | null)[];
  readonly thresholds: readonly (number | null)[];
}

/** Decisions that measured something. */
export function exitTestCount({scores}: StackTrace): number {
  return scores.filter((score) => score !== null).length;
}

/** Multiply-accumulates of an answer: those run, and those of the same answer (the same words) at full depth. */
export interface Macs {
  readonly run: number;
  readonly full: number;
}

/** What one picture of a batch came to. Its costs are those that it would have alone. */
export interface ImageRun {
  /** Where one policy decided for all pictures, each has the same. */
  readonly traces: readonly StackTrace[];
  readonly macs: Macs;
}

export function addMacs(...parts: readonly Macs[]): Macs {
  return {run: parts.reduce((sum, m) => sum + m.run, 0), full: parts.reduce((sum, m) => sum + m.full, 0)};
}
