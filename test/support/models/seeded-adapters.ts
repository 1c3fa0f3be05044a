import {ExitAdapters, type ExitAdaptersConfig} from '../../../src/nn/exit-adapters.js';
import {seededRandom} from '../../../src/runtime/random.js';

/** Exit adapters with seeded weights between −½ and ½, far from the identity; the caller's. */
export async function seededAdapters(config: ExitAdaptersConfig, seed = 1): Promise<ExitAdapters> {
  const adapters = new ExitAdapters(config);
  const shapes = new Map(adapters.storedWeights().map(({name, shape}) => [name, shape]));
  const random = seededRandom(seed);
  await adapters.load({
    names: () => [...shapes.keys()],
    shape: (name) => shapes.get(name),
    read: (name) =>
      Promise.resolve(
        Float32Array.from({length: shapes.get(name)!.reduce((a, b) => a * b, 1)}, () => random.next() - 0.5),
      ),
  });
  return adapters;
}
