import {UsageError} from '../runtime/errors.js';
import {STREAM_WEIGHTS, weigh} from './replay/layer-weights.js';
import type {ParetoProblem} from './pareto-testing.js';
import type {ItemOutcomes, ReplayData, ThresholdReplay} from './replay/threshold-replay.js';

/** What counts as a loss: an answer other than the full model's; or a right answer of the full model that is no longer right. */
export type ReplayLoss = 'consistency' | 'quality-gap';

/**
 * The choice among threshold triples as a problem for Pareto Testing. Losses are 0 or 1 (use the binomial test); costs
 * are one of the recording's, or 'layers': (image + text) / 2 + decoder. Computed at the first use of a candidate and
 * kept: settings × items × 5 bytes.
 * @param thresholds [settings × 3]: image, text, decoder.
 */
export function replayProblem(
  replay: ThresholdReplay,
  thresholds: ArrayLike<number>,
  {loss, cost}: {readonly loss: ReplayLoss; readonly cost: string},
): Pick<ParetoProblem, 'candidates' | 'loss' | 'cost'> {
  const {n, depths, costs = {}} = replay.data;
  if (cost !== 'layers' && !Object.hasOwn(costs, cost))
    throw new UsageError('cost', `replay: no cost '${cost}' was recorded; there are: ${['layers', ...Object.keys(costs)].join(', ')}.`);
  const right = replay.fixed(depths.image, depths.text, depths.decoder).correct;
  const known: ({readonly losses: Uint8Array; readonly costs: Float32Array} | undefined)[] = [];
  const evaluate = (candidate: number): {readonly losses: Uint8Array; readonly costs: Float32Array} => {
    const kept = known[candidate];
    if (kept !== undefined) return kept;
    const items = replay.outcomes(thresholds[3 * candidate]!, thresholds[3 * candidate + 1]!, thresholds[3 * candidate + 2]!);
    const losses = new Uint8Array(n);
    for (let i = 0; i < n; i++) losses[i] = loss === 'consistency' ? 1 - items.agrees[i]! : Math.max(0, right[i]! - items.correct[i]!);
    const result = {losses, costs: cost === 'layers' ? layersRun(replay.data, items) : Float32Array.from(items.costs[cost]!)};
    known[candidate] = result;
    return result;
  };
  return {
    candidates: thresholds.length / 3,
    loss: (candidate) => evaluate(candidate).losses,
    cost: (candidate) => evaluate(candidate).costs,
  };
}

function layersRun({weights = STREAM_WEIGHTS}: ReplayData, {imageLayers, textLayers, decoderLayers}: ItemOutcomes): Float32Array {
  const layers = new Float32Array(imageLayers.length);
  for (let i = 0; i < layers.length; i++) layers[i] = weigh(weights, imageLayers[i]!, textLayers[i]!, decoderLayers[i]!);
  return layers;
}
