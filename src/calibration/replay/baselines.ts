import {firstAgreement} from '../../exit/policies/static.js';
import {weigh} from './layer-weights.js';
import type {PolicyReplay} from './policy-replay.js';
import type {ItemOutcomes} from './threshold-replay.js';

// What no policy can beat, and what every policy has to: both replayed exactly.

/** What an oracle knows: the answer of the last layer behind the same encoder cut, or the right answer. */
export type OracleKind = 'agreement' | 'correct';

/** The decoder leaves at the first layer that an oracle likes, behind encoders at fixed depths; where there is none, it runs to the end. */
export function decoderOracle(replay: PolicyReplay, image: number, text: number, kind: OracleKind): ItemOutcomes {
  const {measures, recording} = replay;
  const {n, labels} = recording;
  return replay.at(new Uint8Array(n).fill(image), new Uint8Array(n).fill(text), (first, layers) => {
    const words = Array.from(measures.answer.subarray(first, first + layers));
    if (kind === 'agreement') return firstAgreement(words);
    return words.indexOf(labels[Math.floor(first / measures.grid)]!) + 1 || layers;
  });
}

/**
 * Every stack leaves as early as an oracle of all combinations lets it: the one of least cost that gives full depth's answer,
 * or the right one (the cheapest of all, if none does).
 */
export function cheapestOracle(replay: PolicyReplay, kind: OracleKind, cost: 'layers' | 'macs'): ItemOutcomes {
  const {measures, recording} = replay;
  const {n, labels, depths} = recording;
  const {grid, answer} = measures;
  const found = {image: new Uint8Array(n), text: new Uint8Array(n), decoder: new Uint8Array(n)};
  const layers = Float64Array.from({length: grid}, (_, cell) => {
    const {image, text, decoder} = cellDepths(cell, depths);
    return weigh(replay.weights, image, text, decoder);
  });
  for (let i = 0; i < n; i++) {
    const wanted = kind === 'agreement' ? answer[(i + 1) * grid - 1] : labels[i];
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (let cell = 0; cell < grid; cell++) {
      if (answer[i * grid + cell] !== wanted) continue;
      const price = cost === 'layers' ? layers[cell]! : replay.cellMacs(i, cell);
      if (price < least) [best, least] = [cell, price];
    }
    const {image, text, decoder} = cellDepths(Math.max(best, 0), depths);
    [found.image[i], found.text[i], found.decoder[i]] = [image, text, decoder];
  }
  return replay.at(found.image, found.text, (first) => found.decoder[Math.floor(first / grid)]!);
}

/** What items' depths would be worth if they were dealt out at random: expected values, exact. */
export interface RandomExpectation {
  readonly accuracy: number;
  readonly agreement: number;
  readonly macs: number;
}

/** Depths drawn from the histogram of combinations that a policy used, for every item alike. */
export function randomWithHistogram(
  replay: PolicyReplay,
  {imageLayers, textLayers, decoderLayers}: ItemOutcomes,
): RandomExpectation {
  const {recording, measures} = replay;
  const {n, depths, labels} = recording;
  const {grid, answer} = measures;
  const histogram = new Float64Array(grid);
  for (let i = 0; i < n; i++)
    histogram[((imageLayers[i]! - 1) * depths.text + textLayers[i]! - 1) * depths.decoder + decoderLayers[i]! - 1]! +=
      1 / n;
  const sums = {accuracy: 0, agreement: 0, macs: 0};
  for (let cell = 0; cell < grid; cell++) {
    if (histogram[cell] === 0) continue;
    const cellSums = {accuracy: 0, agreement: 0, macs: 0};
    for (let i = 0; i < n; i++) {
      cellSums.accuracy += Number(answer[i * grid + cell] === labels[i]);
      cellSums.agreement += Number(answer[i * grid + cell] === answer[(i + 1) * grid - 1]);
      cellSums.macs += replay.cellMacs(i, cell);
    }
    for (const name of ['accuracy', 'agreement', 'macs'] as const)
      sums[name] += (histogram[cell]! * cellSums[name]) / n;
  }
  return sums;
}

/** Depths, from 1, of a combination: its index in [image × text × decoder]. */
export function cellDepths(
  cell: number,
  {text, decoder}: {readonly text: number; readonly decoder: number},
): {readonly image: number; readonly text: number; readonly decoder: number} {
  return {
    image: 1 + Math.floor(cell / (text * decoder)),
    text: 1 + (Math.floor(cell / decoder) % text),
    decoder: 1 + (cell % decoder),
  };
}
