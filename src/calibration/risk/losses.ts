import {mean} from '../../statistics/descriptive.js';
import type {RiskTest} from '../../statistics/hoeffding-bentkus.js';
import type {PolicySetting} from '../policy-setting.js';
import type {PolicyReplay} from '../replay/policy-replay.js';
import type {ItemOutcomes} from '../replay/threshold-replay.js';
import {weightedLayersEach} from '../stacks.js';
import type {CostName} from '../sweep/sweep.js';
import type {ParetoProblem} from './pareto-testing.js';

// Losses and costs of settings, as calibration tests and compares them.

/**
 * Event that counts as a loss: an answer other than the full model's (`consistency`), or a right answer of the full
 * model that is no longer right (`quality-gap`).
 */
export type ReplayLoss = 'consistency' | 'quality-gap';

/** Unit of one observation of a test. */
export type RiskUnit =
  /** Items, with the exact binomial test. Items of one picture are then taken for independent. */
  | 'item'
  /**
   * Pictures, with their items' mean loss and the Hoeffding-Bentkus test: exact however items of a picture depend, and
   * weaker.
   */
  | 'picture';

/** Cost that is saved or budgeted; milliseconds need a replay that models them. */
export type CalibrationCost = CostName | 'ms';

export interface LossOptions {
  readonly risk: ReplayLoss;
  readonly unit: RiskUnit;
  readonly cost: CalibrationCost;
}

/** The test that is valid for a unit's losses. */
export function testOf(unit: RiskUnit): RiskTest {
  return unit === 'item' ? 'binomial' : 'hoeffding-bentkus';
}

/** Cost of every item: layers as they are counted (`weightedLayers`), or a cost of the replay. */
export function itemCosts({stacks}: PolicyReplay, {layers, costs}: ItemOutcomes, cost: CalibrationCost): Float64Array {
  return cost === 'layers' ? weightedLayersEach(stacks, layers) : costs[cost]!;
}

/** Mean cost of full depth. */
export function fullDepthCost(replay: PolicyReplay, cost: CalibrationCost): number {
  return mean(itemCosts(replay, replay.full(), cost));
}

/** By observation. */
interface SettingLosses {
  readonly losses: ArrayLike<number>;
  /** Answers that differ from those of full depth. */
  readonly changes: ArrayLike<number>;
  readonly costs: ArrayLike<number>;
}

/**
 * The choice among settings as a problem for Pareto Testing. Losses and costs are computed at their first use and kept.
 */
export function calibrationProblem(
  replay: PolicyReplay,
  settings: readonly PolicySetting[],
  {risk, unit, cost}: LossOptions,
): ParetoProblem {
  const right = replay.full().correct;
  const known: (SettingLosses | undefined)[] = [];
  const observed = (values: ArrayLike<number>): ArrayLike<number> =>
    unit === 'item' ? values : pictureMeans(values, replay.pictures);
  const lossesOf = (candidate: number): SettingLosses => {
    const kept = known[candidate];
    if (kept !== undefined) return kept;
    const items = replay.outcomes(settings[candidate]!);
    const changes = items.agrees.map((agrees) => 1 - agrees);
    const losses = risk === 'consistency' ? changes : right.map((was, i) => Math.max(0, was - items.correct[i]!));
    const found = {
      losses: observed(losses),
      changes: observed(changes),
      costs: observed(itemCosts(replay, items, cost)),
    };
    known[candidate] = found;
    return found;
  };
  return {
    candidates: settings.length,
    loss: (candidate) => lossesOf(candidate).losses,
    cost: (candidate) => lossesOf(candidate).costs,
    tieBreak: (candidate) => lossesOf(candidate).changes,
    groups: unit === 'item' ? replay.pictures : undefined,
  };
}

/** Means over the items of each picture. @param pictures of every item, numbered from 0 */
function pictureMeans(values: ArrayLike<number>, pictures: readonly number[]): Float64Array {
  const count = new Set(pictures).size;
  const [sums, items] = [new Float64Array(count), new Float64Array(count)];
  for (const [i, picture] of pictures.entries()) {
    sums[picture]! += values[i]!;
    items[picture]!++;
  }
  return sums.map((sum, p) => sum / items[p]!);
}
