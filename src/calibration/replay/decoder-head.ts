import {type HeadExample, type LinearHead, trainHead} from '../../exit/policies/linear-head.js';
import {seededRandom} from '../../runtime/random.js';
import type {DecoderMeasures} from './decoder-scores.js';

/** Examples that training looks at, about. */
const EXAMPLES = 3000;

/**
 * Trains an exit head for the last stack on items of a recording, behind depths of the other stacks that are drawn at
 * random. Labels are not used: it learns agreement with the last layer.
 * @param items indices of the items to learn from
 * @param seed  of the draws
 */
export function decoderHead(
  {layers, grid, similarity, margin, max, entropy, answer}: DecoderMeasures,
  items: ArrayLike<number>,
  seed: number,
): LinearHead {
  // A stack of one layer has no exit, and nothing to learn.
  if (layers === 1) return {weights: [0, 0, 0, 0], biases: []};
  const cuts = grid / layers;
  const perItem = Math.max(1, Math.min(cuts, Math.floor(EXAMPLES / (items.length * (layers - 1)))));
  const random = seededRandom(seed);
  const examples: HeadExample[] = [];
  for (let i = 0; i < items.length; i++) {
    for (let k = 0; k < perItem; k++) {
      const first = items[i]! * grid + random.below(cuts) * layers;
      for (let c = first; c < first + layers - 1; c++) {
        const features = [similarity[c]!, margin[c]!, max[c]!, entropy[c]!];
        examples.push({layer: c - first + 1, features, agrees: answer[c] === answer[first + layers - 1]});
      }
    }
  }
  return trainHead(examples, layers - 1, {steps: 500});
}

/**
 * Two heads, each trained on the items of one half of the groups (pictures), for the items of the other.
 * @param groups of every item, numbered from 0
 * @returns      the head for an item
 */
export function crossFittedHeads(
  measures: DecoderMeasures,
  groups: readonly number[],
  seed: number,
): (item: number) => LinearHead {
  const names = new Set(groups);
  const half = (item: number): 0 | 1 => (groups[item]! % 2) as 0 | 1;
  const all = groups.map((_, i) => i);
  // With one picture there is nothing to hold out.
  if (names.size === 1) {
    const head = decoderHead(measures, all, seed);
    return () => head;
  }
  const trained = ([0, 1] as const).map((part) =>
    decoderHead(
      measures,
      all.filter((item) => half(item) !== part),
      seed,
    ),
  );
  return (item) => trained[half(item)]!;
}
