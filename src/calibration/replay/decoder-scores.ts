import {REPLAY_RULES} from '../../exit/plan/policies.js';
import {confidence} from '../../exit/policies/confidence.js';
import {headScore, type LinearHead} from '../../exit/policies/linear-head.js';
import type {ExitSide} from '../../exit/policies/threshold.js';
import {UsageError} from '../../runtime/errors.js';
import type {DecoderPolicy, StackSetting} from '../policy-setting.js';
import {predictions, type Recording} from '../recording/entailment.js';
import {cellCount, lastStack} from '../stacks.js';

// Scores that every policy would have seen, from what was recorded.   n items, C combinations of depths (cells)

/** Measures of the last stack at every combination; arrays [n × C], its layers running fastest. */
export interface DecoderMeasures {
  /** Layers of the last stack. */
  readonly layers: number;
  /** C, the combinations that an item has. */
  readonly grid: number;
  readonly similarity: Float32Array;
  readonly margin: Float32Array;
  readonly max: Float32Array;
  /** In nats. */
  readonly entropy: Float32Array;
  /** Answer, the first of equals. */
  readonly answer: Uint8Array;
}

/**
 * Scores of one stack and the rule by which they exit: those of the policies that run (src/exit), rounded to float32.
 */
export interface StackScores {
  readonly scores: Float32Array;
  readonly rule: ExitSide;
}

/** Measures that follow from the recorded logits. */
export function decoderMeasures(recording: Recording): DecoderMeasures {
  const {logits, header, similarity} = recording;
  const {stack, depth} = lastStack(header.stacks);
  const answers = header.answers.length;
  const cells = logits.length / answers;
  const [margin, max, entropy] = [new Float32Array(cells), new Float32Array(cells), new Float32Array(cells)];
  for (let c = 0; c < cells; c++) {
    const measure = confidence(logits.subarray(c * answers, (c + 1) * answers));
    margin[c] = measure.margin;
    max[c] = measure.max;
    entropy[c] = measure.entropy;
  }
  return {
    layers: depth,
    grid: cellCount(header.stacks),
    similarity: similarity[stack]!,
    margin,
    max,
    entropy,
    answer: predictions(recording),
  };
}

/** Scores of a stack before the last. @param similarity after each of its layers, [n × depth] */
export function encoderScores({policy}: StackSetting, similarity: Float32Array, depth: number): StackScores {
  if (policy === 'fixed') return {scores: layerNumbers(similarity.length, depth), rule: 'at-least'};
  return {scores: similarity, rule: 'above'};
}

/**
 * Scores of the last stack.
 * @param heads of `linear-head`, by item: one that has not seen the item, where the replay is to be honest
 * @throws UsageError for `linear-head` without heads, and for a policy that is no threshold on one score, such as
 *   `quantile-budget`, whose thresholds differ by layer
 */
export function decoderScores(
  measures: DecoderMeasures,
  {policy, patience = 2}: {readonly policy: DecoderPolicy; readonly patience?: number},
  heads?: (item: number) => LinearHead,
): StackScores {
  const {layers} = measures;
  switch (policy) {
    case 'patience':
      return {scores: agreeingRun(measures.answer, layers), rule: 'at-least'};
    case 'patience-confidence':
      return {scores: runConfidence(measures, patience), rule: 'at-least'};
    case 'linear-head':
      if (heads === undefined)
        throw new UsageError('head-untrained', 'a linear head must be trained before it is replayed');
      return {scores: headScores(measures, heads), rule: 'at-least'};
    case 'fixed':
      return {scores: layerNumbers(measures.answer.length, layers), rule: 'at-least'};
  }
  const rule = REPLAY_RULES.get(policy);
  if (rule === undefined)
    throw new UsageError('policy', `replay: '${policy}' is no threshold on a score that recordings hold`);
  const {similarity, margin, max, entropy} = measures;
  const scores = new Float32Array(margin.length);
  for (let c = 0; c < scores.length; c++)
    scores[c] = rule.score({similarity: similarity[c]!, margin: margin[c]!, max: max[c]!, entropy: entropy[c]!});
  return {scores, rule: rule.exits};
}

/** The number of each layer: a threshold on it is a fixed depth. */
function layerNumbers(length: number, layers: number): Float32Array {
  return Float32Array.from({length}, (_, i) => 1 + (i % layers));
}

/** Length of the run of equal answers that ends at each layer. */
function agreeingRun(answer: Uint8Array, layers: number): Float32Array {
  const run = new Float32Array(answer.length);
  for (let c = 0; c < run.length; c++) run[c] = c % layers > 0 && answer[c] === answer[c - 1] ? run[c - 1]! + 1 : 1;
  return run;
}

/**
 * The least confidence of the last `patience` layers where they agree, else −1: it reaches λ exactly where
 * `patience({patience, threshold: λ})` exits.
 */
function runConfidence({answer, max, layers}: DecoderMeasures, patience: number): Float32Array {
  const run = agreeingRun(answer, layers);
  const least = new Float32Array(run.length);
  for (let c = 0; c < run.length; c++) {
    least[c] = run[c]! < patience ? -1 : max[c]!;
    for (let back = 1; back < patience && run[c]! >= patience; back++) least[c] = Math.min(least[c]!, max[c - back]!);
  }
  return least;
}

function headScores(measures: DecoderMeasures, heads: (item: number) => LinearHead): Float32Array {
  const {similarity, margin, max, entropy, layers, grid} = measures;
  const cells = margin.length;
  const scores = new Float32Array(cells);
  let head: LinearHead | undefined;
  const features = [0, 0, 0, 0];
  for (let c = 0; c < cells; c++) {
    if (c % grid === 0) head = heads(c / grid);
    features[0] = similarity[c]!;
    features[1] = margin[c]!;
    features[2] = max[c]!;
    features[3] = entropy[c]!;
    scores[c] = headScore(head!, 1 + (c % layers), features);
  }
  return scores;
}
