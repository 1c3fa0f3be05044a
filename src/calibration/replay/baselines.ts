import {firstAgreement} from '../../exit/policies/static.js';
import {type ByStack, cellCount, cellLayers, cellsOf, lastStack, mapStacks, weightedLayers} from '../stacks.js';
import type {PolicyReplay} from './policy-replay.js';
import type {ItemOutcomes} from './threshold-replay.js';

// Baselines: oracles that no policy can beat, and what every policy has to beat. All are replayed exactly.

/** Knowledge of an oracle: the last layer's answer behind the same layers of the stacks before, or the right answer. */
export type OracleKind = 'agreement' | 'correct';

/**
 * The last stack leaves at the first layer that an oracle likes, behind fixed depths of the others; where there is
 * none, it runs to the end.
 * @param layers of the stacks before the last, from 1
 */
export function decoderOracle(replay: PolicyReplay, layers: ByStack<number>, kind: OracleKind): ItemOutcomes {
  const {measures, recording, stacks} = replay;
  const {n, labels} = recording;
  const before = mapStacks(stacks, (stack) => new Uint8Array(n).fill(layers[stack]!));
  return replay.at(before, (first, depth) => {
    const answers = Array.from(measures.answer.subarray(first, first + depth));
    if (kind === 'agreement') return firstAgreement(answers);
    return answers.indexOf(labels[Math.floor(first / measures.grid)]!) + 1 || depth;
  });
}

/**
 * Every stack leaves as early as an oracle of all combinations lets it: the combination of least cost that gives full
 * depth's answer, or the right one (the cheapest of all, if none does).
 */
export function cheapestOracle(replay: PolicyReplay, kind: OracleKind, cost: 'layers' | 'macs'): ItemOutcomes {
  const {measures, recording, stacks} = replay;
  const {n, labels} = recording;
  const {grid, answer} = measures;
  const cells = Array.from({length: grid}, (_, cell) => cellLayers(stacks, cell));
  const layers = cells.map((own) => weightedLayers(stacks, own));
  const found = mapStacks(stacks, () => new Uint8Array(n));
  for (let i = 0; i < n; i++) {
    const wanted = kind === 'agreement' ? answer[(i + 1) * grid - 1] : labels[i];
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (let cell = 0; cell < grid; cell++) {
      if (answer[i * grid + cell] !== wanted) continue;
      const price = cost === 'layers' ? layers[cell]! : replay.cellMacs(i, cell);
      if (price < least) [best, least] = [cell, price];
    }
    for (const {stack} of stacks) found[stack]![i] = cells[Math.max(best, 0)]![stack]!;
  }
  const last = found[lastStack(stacks).stack]!;
  return replay.at(found, (first) => last[Math.floor(first / grid)]!);
}

/** Expected values, exact, of items' depths that are dealt out at random. */
export interface RandomExpectation {
  readonly accuracy: number;
  readonly agreement: number;
  /** Multiply-accumulates. */
  readonly macs: number;
}

/** Depths drawn from the histogram of combinations that a policy used, for every item alike. */
export function randomWithHistogram(replay: PolicyReplay, {layers}: ItemOutcomes): RandomExpectation {
  const {recording, measures, stacks} = replay;
  const {n, labels} = recording;
  const {grid, answer} = measures;
  const histogram = new Float64Array(cellCount(stacks));
  for (const cell of cellsOf(stacks, layers)) histogram[cell]! += 1 / n;
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

/** A point that could be mixed with another: every item at one of the two, drawn at random. */
export interface MixPoint {
  readonly index: number;
  readonly cost: number;
  readonly quality: number;
}

/** The randomized baseline: every item at `from`, or, for a fraction `share` of them, at `to`; indices of points. */
export interface StaticMix {
  readonly from: number;
  readonly to: number;
  readonly share: number;
}

/**
 * The best of all mixes of two points that cost as much as `wanted`; the dearest point alone where that is more than
 * all cost.
 * @param front by ascending cost
 * @returns undefined if every point costs more
 */
export function staticMix(front: readonly MixPoint[], wanted: number): StaticMix | undefined {
  let best: (StaticMix & {readonly quality: number}) | undefined;
  for (const from of front) {
    // Sums in another order differ in the last digits.
    if (from.cost > wanted * (1 + 1e-9)) break;
    for (const to of front) {
      if (to !== from && to.cost <= wanted) continue;
      const share = to === from ? 0 : Math.max(0, (wanted - from.cost) / (to.cost - from.cost));
      const quality = from.quality + share * (to.quality - from.quality);
      if (best === undefined || quality > best.quality) best = {from: from.index, to: to.index, share, quality};
    }
  }
  return best && {from: best.from, to: best.to, share: best.share};
}
