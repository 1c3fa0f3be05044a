import type {ExitPolicy} from '../../../src/exit/policy.js';
import type {StackTrace} from '../../../src/exit/trace.js';
import type {Decoding} from '../../../src/models/model.js';

export interface GreedyRules {
  readonly start: number;
  readonly end: number;
  /** Most tokens, and fewest, start and end counted; the last one is forced to be the end. */
  readonly seqLen: number;
  readonly minSeqLen: number;
}

/** Likeliest token after likeliest token, for one row. */
export async function greedyCaption(
  decoding: Decoding,
  policy: ExitPolicy,
  {start, end, seqLen, minSeqLen}: GreedyRules,
): Promise<{tokens: number[]; traces: (readonly StackTrace[])[]}> {
  const tokens = [start];
  const traces: (readonly StackTrace[])[] = [];
  while (tokens.length < seqLen && (tokens.length === 1 || tokens.at(-1) !== end)) {
    const {logits, traces: step} = await decoding.step([tokens.at(-1)!], policy);
    const values = Float32Array.from(await logits.data());
    logits.dispose();
    traces.push(step[0]!);
    if (tokens.length < minSeqLen) values[end] = Number.NEGATIVE_INFINITY;
    tokens.push(tokens.length + 1 === seqLen ? end : values.reduce((best, v, i) => (v > values[best]! ? i : best), 0));
  }
  return {tokens, traces};
}
