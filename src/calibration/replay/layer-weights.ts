import {layerWeight} from '../../exit/stacks.js';
import type {RecordingHeader} from '../recording/entailment.js';

/** How much a layer counts of each of the three stacks that replays know, whatever their names are in the model. */
export interface LayerWeights {
  readonly image: number;
  readonly text: number;
  readonly decoder: number;
}

/** Two streams of an encoder, and a decoder. */
export const STREAM_WEIGHTS: LayerWeights = {image: 0.5, text: 0.5, decoder: 1};

/** Those of a recording's stacks. */
export function layerWeights({stacks}: Pick<RecordingHeader, 'stacks'>): LayerWeights {
  const [image, text, decoder] = stacks.map(({stack}) => layerWeight(stack)) as [number, number, number];
  return {image, text, decoder};
}

/** Layers as they are counted. */
export function weigh(weights: LayerWeights, image: number, text: number, decoder: number): number {
  return weights.image * image + weights.text * text + weights.decoder * decoder;
}
