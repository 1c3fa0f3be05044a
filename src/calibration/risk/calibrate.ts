import type {ExitPlan} from '../../exit/plan/schema.js';
import type {LinearHead} from '../../exit/policies/linear-head.js';
import {mean, meanAt, range} from '../../statistics/descriptive.js';
import {type DecoderPolicy, type PolicySetting, settingPlan} from '../policy-setting.js';
import type {PolicyReplay} from '../replay/policy-replay.js';
import {settingGrid} from '../settings/grid.js';
import {sweepMeans} from '../sweep/sweep.js';
import {riskUpperBound} from './bounds.js';
import {
  ASSUMPTIONS,
  type Budget,
  layerTimes,
  type PlanCertificate,
  promiseText,
  type TestedSetting,
} from './certificate.js';
import {calibrationProblem, type LossOptions, testOf} from './losses.js';
import {type ParetoProblem, paretoTesting, splitItems} from './pareto-testing.js';

export interface CalibrationOptions extends LossOptions {
  /** Probability with which the promise may fail. */
  readonly delta: number;
  readonly policies: readonly DecoderPolicy[];
  /** Thresholds for each stack. */
  readonly grid: number;
  /** Seed of the split, and of the training of `linear-head`. */
  readonly seed: number;
  /** Largest risk; or the largest mean cost, of which the plan of least risk is chosen. */
  readonly goal: {readonly maxDrop: number} | {readonly budget: Budget};
  /** For `linear-head`. */
  readonly head?: LinearHead;
}

export interface Calibration {
  /** undefined if nothing can be certified, or no candidate is within the budget. */
  readonly plan: ExitPlan | undefined;
  readonly certificate: PlanCertificate;
}

/** Fraction of the pictures that chooses the candidates; the others test them. */
const SPLIT = 0.5;

/**
 * Chooses a plan from a recording: the cheapest whose risk is certified, or the safest within a budget. Thresholds come
 * from the scores of the first part of the pictures, the test from the second.
 * @param sha256 of the recording's rows
 */
export function calibrate(replay: PolicyReplay, options: CalibrationOptions, sha256: string): Calibration {
  const {recording, pictures, stacks} = replay;
  const {header, n} = recording;
  const {delta, risk, unit, cost, policies, grid, seed, goal, head} = options;
  const items = range(0, n - 1);
  const [first] = splitItems({loss: () => items, groups: pictures}, SPLIT, seed);
  const settings = settingGrid(replay, {policies, count: grid, items: first, seed});
  const problem = calibrationProblem(replay, settings, options);
  const found =
    'maxDrop' in goal
      ? certified(problem, settings, goal.maxDrop, options)
      : withinBudget(replay, problem, settings, goal.budget, options);
  const outcomes = found.chosen && replay.outcomes(found.chosen.setting);
  const alpha = 'maxDrop' in goal ? goal.maxDrop : null;
  const times = replay.options.ms;
  const certificate: PlanCertificate = {
    method: alpha === null ? 'budget' : 'pareto-testing',
    task: header.task,
    model: header.model,
    data: header.data,
    recording: sha256,
    risk,
    unit,
    test: testOf(unit),
    alpha,
    delta,
    seed,
    cost,
    budget: 'budget' in goal ? goal.budget : null,
    policies,
    n,
    pictures: new Set(pictures).size,
    ...found,
    expected: outcomes && sweepMeans(replay, outcomes),
    ms: times ? {layers: layerTimes(times, stacks), expected: outcomes && mean(outcomes.costs['ms']!)} : null,
    promise: promiseText(risk, alpha, delta),
    assumptions: ASSUMPTIONS[unit],
  };
  return {
    plan: found.chosen ? {...settingPlan(found.chosen.setting, header, head), certificate} : undefined,
    certificate,
  };
}

/** Part of a certificate that the search for a plan fills. */
type Found = Pick<
  PlanCertificate,
  'n1' | 'n2' | 'candidates' | 'frontSize' | 'approachSize' | 'tested' | 'chosen' | 'riskUpperBound' | 'itemsNeeded'
>;

/** The cheapest setting whose risk is certified to be at most α. */
function certified(
  problem: ParetoProblem,
  settings: readonly PolicySetting[],
  alpha: number,
  {delta, seed, unit}: CalibrationOptions,
): Found {
  const test = testOf(unit);
  const found = paretoTesting(problem, {alpha, delta, seed, split: SPLIT, test});
  const {n1, n2, candidates, frontSize, approachSize, chosen, itemsNeeded} = found;
  const tested = found.tested.map(({candidate, frontRisk, frontCost, risk, pValue, accepted}) => ({
    setting: settings[candidate]!,
    frontRisk,
    frontCost,
    risk,
    pValue,
    accepted,
  }));
  return {
    n1,
    n2,
    candidates,
    frontSize,
    approachSize,
    tested,
    chosen: tested.findLast(({accepted}) => accepted) ?? null,
    riskUpperBound: chosen && riskUpperBound(chosen.risk, n2, delta, test),
    itemsNeeded,
  };
}

/** The setting of least risk whose mean cost is within the budget, both by the first part of the pictures. */
function withinBudget(
  replay: PolicyReplay,
  problem: ParetoProblem,
  settings: readonly PolicySetting[],
  budget: Budget,
  options: CalibrationOptions,
): Found {
  const {delta, seed, unit} = options;
  const [part1, part2] = splitItems(problem, SPLIT, seed);
  const budgeted =
    budget.cost === options.cost ? problem : calibrationProblem(replay, settings, {...options, cost: budget.cost});
  let best: TestedSetting | null = null;
  let chosen = -1;
  for (const [c, setting] of settings.entries()) {
    const price = meanAt(budgeted.cost(c), part1);
    if (price > budget.most) continue;
    const [frontRisk, frontCost] = [meanAt(problem.loss(c), part1), meanAt(problem.cost(c), part1)];
    if (best !== null && (frontRisk > best.frontRisk || (frontRisk === best.frontRisk && frontCost >= best.frontCost)))
      continue;
    best = {setting, frontRisk, frontCost, risk: Number.NaN, pValue: null, accepted: true};
    chosen = c;
  }
  const counts = {
    n1: part1.length,
    n2: part2.length,
    candidates: settings.length,
    frontSize: best ? 1 : 0,
    approachSize: 0,
    itemsNeeded: null,
  };
  if (best === null) return {...counts, tested: [], chosen: null, riskUpperBound: null};
  const risk = meanAt(problem.loss(chosen), part2);
  const tested = {...best, risk};
  return {
    ...counts,
    tested: [tested],
    chosen: tested,
    riskUpperBound: riskUpperBound(risk, part2.length, delta, testOf(unit)),
  };
}
