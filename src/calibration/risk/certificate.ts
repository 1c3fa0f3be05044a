import type {DecoderPolicy, PolicySetting} from '../policy-setting.js';
import type {LayerMilliseconds} from '../replay/layer-milliseconds.js';
import {type ByPlace, byPlace, type RecordedStacks} from '../stacks.js';
import type {SweepMeans} from '../sweep/sweep.js';
import type {CalibrationCost, ReplayLoss, RiskUnit} from './losses.js';
import type {ParetoCertificate} from './pareto-testing.js';

/** Record of how a plan was chosen, kept in the plan. Plain data. */
export interface PlanCertificate {
  readonly method: 'pareto-testing' | 'budget';
  readonly task: string;
  /** SHA-256 of the weights, of the data file, and of the recording's rows. */
  readonly model: string;
  readonly data: string;
  readonly recording: string;
  readonly risk: ReplayLoss;
  readonly unit: RiskUnit;
  readonly test: ParetoCertificate['test'];
  readonly alpha: number | null;
  readonly delta: number;
  readonly seed: number;
  readonly cost: CalibrationCost;
  readonly budget: Budget | null;
  readonly policies: readonly DecoderPolicy[];
  /** Items and pictures in all; observations that chose candidates, and that tested them. */
  readonly n: number;
  readonly pictures: number;
  readonly n1: number;
  readonly n2: number;
  readonly candidates: number;
  readonly frontSize: number;
  /** Dearer settings that were tested before the front. */
  readonly approachSize: number;
  readonly tested: readonly TestedSetting[];
  readonly chosen: TestedSetting | null;
  /** Upper bound of the chosen point's risk on the second part, alone: it lies above with probability at most δ. */
  readonly riskUpperBound: number | null;
  /** Means of the chosen point over all items, and its savings. */
  readonly expected: SweepMeans | null;
  /** Milliseconds of a layer, and of the chosen point by that; null unless they were a cost. */
  readonly ms: {readonly layers: LayerTimes; readonly expected: number | null} | null;
  /**
   * Observations that the second part would need, were the risk of the safest point what it is here; null if no number
   * would do, or none is missing.
   */
  readonly itemsNeeded: number | null;
  readonly promise: string;
  readonly assumptions: string;
}

/** Largest mean cost of a plan. */
export interface Budget {
  readonly cost: CalibrationCost;
  readonly most: number;
}

export interface TestedSetting {
  readonly setting: PolicySetting;
  readonly frontRisk: number;
  readonly frontCost: number;
  readonly risk: number;
  readonly pValue: number | null;
  readonly accepted: boolean;
}

/** `LayerMilliseconds` by place. */
export type LayerTimes = Omit<LayerMilliseconds, 'layers'> & ByPlace<number>;

export function layerTimes({base, layers, rows, explained}: LayerMilliseconds, stacks: RecordedStacks): LayerTimes {
  return {base, ...byPlace(stacks, layers), rows, explained};
}

/** The promise in words. @param alpha null if a budget was the goal */
export function promiseText(risk: ReplayLoss, alpha: number | null, delta: number): string {
  const event = risk === 'consistency' ? 'gives another answer than full depth' : 'is wrong where full depth is right';
  const most = alpha === null ? 'the share riskUpperBound' : `a share ${alpha}`;
  return `Except with probability ${delta} over calibration sets, the plan ${event} for at most ${most} of items.`;
}

/** Assumptions of the promise in words. */
export const ASSUMPTIONS: Readonly<Record<RiskUnit, string>> = {
  item:
    'Holds for items drawn independently from where the calibration items come from. Items of one picture are kept in one part, but the binomial ' +
    "test takes them for independent; where a picture's items fail together the true error probability is larger. --unit picture does without.",
  picture:
    'Holds for pictures drawn independently from where the calibration pictures come from; their items may depend on each other.',
};
