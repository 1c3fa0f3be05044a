import type {Checkpoint} from '../../../src/checkpoint/checkpoint.js';
import {type ImportedWeight, readImported, toStored} from '../../../src/models/weights.js';
import type {WeightSource} from '../../../src/nn/block.js';

/** Weights of a checkpoint as a converted model has them, in float32, without writing one. */
export function importedSource(checkpoint: Checkpoint, weights: readonly ImportedWeight[]): WeightSource {
  const stored = new Map(weights.map((weight) => [weight.name, weight]));
  return {
    names: () => [...stored.keys()],
    shape: (name) => stored.get(name)?.shape,
    read: async (name) => {
      const weight = stored.get(name)!;
      return toStored(await readImported(checkpoint, weight), weight, 'F32') as Float32Array;
    },
  };
}
