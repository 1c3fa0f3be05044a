import {confidence} from '../../exit/policies/confidence.js';
import {headScore, type LinearHead} from '../../exit/policies/linear-head.js';
import {UsageError} from '../../runtime/errors.js';
import type {DecoderPolicy} from '../policy-setting.js';
import {predictions, type Recording} from '../recording/entailment.js';
import type {ExitRule} from './threshold-replay.js';

// What every policy would have seen in the decoder, from what was recorded.   n items; I, T, L depths; arrays [n × I × T × L]

/** Measures of the answers' scores at every combination. */
export interface DecoderMeasures {
  /** Decoder layers, and combinations an item has: I × T × L. */
  readonly layers: number;
  readonly grid: number;
  readonly similarity: Float32Array;
  readonly margin: Float32Array;
  readonly max: Float32Array;
  readonly entropy: Float32Array;
  /** Answer, the first of equals. */
  readonly answer: Uint8Array;
}

/** Scores and the rule by which they exit: those of the policies that run (src/exit), to the rounding to float32. */
export interface DecoderScores {
  readonly scores: Float32Array;
  readonly rule: ExitRule;
}

export function decoderMeasures(recording: Recording): DecoderMeasures {
  const {logits, header, similarity, depths} = recording;
  const answers = header.answers.length;
  const cells = logits.length / answers;
  const [margin, max, entropy] = [new Float32Array(cells), new Float32Array(cells), new Float32Array(cells)];
  for (let c = 0; c < cells; c++) {
    const measure = confidence(logits.subarray(c * answers, (c + 1) * answers));
    margin[c] = measure.margin;
    max[c] = measure.max;
    entropy[c] = measure.entropy;
  }
  const grid = depths.image * depths.text * depths.decoder;
  return {layers: depths.decoder, grid, similarity, margin, max, entropy, answer: predictions(recording)};
}

/**
 * @param heads of `linear-head`, by item: one that has not seen the item, where the replay is to be honest
 * @throws UsageError for `quantile-budget`, whose thresholds differ by layer, and for `linear-head` without heads
 */
export function decoderScores(
  measures: DecoderMeasures,
  {policy, patience = 2}: {readonly policy: DecoderPolicy; readonly patience?: number | undefined},
  heads?: (item: number) => LinearHead,
): DecoderScores {
  const {layers} = measures;
  switch (policy) {
    case 'similarity':
      return {scores: measures.similarity, rule: 'above'};
    case 'softmax-margin':
      return {scores: measures.margin, rule: 'at-least'};
    case 'softmax-max':
      return {scores: measures.max, rule: 'at-least'};
    case 'entropy':
      return {scores: measures.entropy, rule: 'below'};
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
    case 'quantile-budget':
      throw new UsageError('policy', "replay: 'quantile-budget' has a threshold a layer, not one score");
  }
}

/** The number of each layer: a threshold on it is a fixed depth. */
export function layerNumbers(length: number, layers: number): Float32Array {
  return Float32Array.from({length}, (_, i) => 1 + (i % layers));
}

/** How many layers up to each one gave the same answer in a row. */
function agreeingRun(answer: Uint8Array, layers: number): Float32Array {
  const run = new Float32Array(answer.length);
  for (let c = 0; c < run.length; c++) run[c] = c % layers > 0 && answer[c] === answer[c - 1] ? run[c - 1]! + 1 : 1;
  return run;
}

/** The least confidence of the last `patience` layers where they agree, else −1: it reaches λ exactly where `patience({patience, threshold: λ})` exits. */
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
