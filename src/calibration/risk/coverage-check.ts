import {seededRandom} from '../../runtime/random.js';
import {mean} from '../../statistics/descriptive.js';
import type {PolicyReplay} from '../replay/policy-replay.js';
import {settingGrid} from '../settings/grid.js';
import type {CalibrationOptions} from './calibrate.js';
import {calibrationProblem, fullDepthCost, testOf} from './losses.js';
import {paretoTesting} from './pareto-testing.js';

/** How often a promise was broken on samples of a known population. */
export interface PromiseCount {
  readonly samples: number;
  /** Samples whose chosen plan loses more, on the whole pool, than was promised. */
  readonly violations: number;
  readonly rate: number;
  /** δ + 2 √(δ(1 − δ) / samples): the rate that chance allows. */
  readonly limit: number;
  readonly kept: boolean;
}

/** Count of broken promises of calibration on samples of a known population. */
export interface CoverageCheck extends PromiseCount {
  /** Items of each sample. */
  readonly n: number;
  readonly pool: number;
  readonly alpha: number;
  readonly delta: number;
  /** Samples where something was certified, and the mean cost of the plans chosen, as a fraction of full depth's. */
  readonly certified: number;
  readonly meanCost: number;
}

/**
 * Calibrates on samples drawn with replacement from a pool of items, whose risks on the whole pool are then the true
 * ones. Candidates are those of the pool's scores, the same for all samples; draws are independent, so that groups are
 * not needed.
 */
export function coverageCheck(
  pool: PolicyReplay,
  options: CalibrationOptions & {readonly goal: {readonly maxDrop: number}},
  {samples, n}: {readonly samples: number; readonly n: number},
): CoverageCheck {
  const {delta, seed, goal, unit} = options;
  const alpha = goal.maxDrop;
  const settings = settingGrid(pool, {policies: options.policies, count: options.grid, seed});
  const {groups: _, ...problem} = calibrationProblem(pool, settings, options);
  const observations = problem.loss(0).length;
  const full = fullDepthCost(pool, options.cost);
  const random = seededRandom(seed);
  let [violations, certified, cost] = [0, 0, 0];
  for (let s = 0; s < samples; s++) {
    const items = Int32Array.from({length: n}, () => random.below(observations));
    const {chosen} = paretoTesting({...problem, items}, {alpha, delta, seed: random.uint32(), test: testOf(unit)});
    if (chosen !== null) certified++;
    // Nothing certified means full depth, which has no loss.
    if (chosen !== null && mean(problem.loss(chosen.candidate)) > alpha) violations++;
    cost += chosen === null ? 1 : mean(problem.cost(chosen.candidate)) / full;
  }
  const promise = promiseCount(violations, samples, delta);
  return {...promise, n, pool: observations, alpha, delta, certified, meanCost: cost / samples};
}

/** @returns whether a promise was broken no more often than δ and chance allow, and what says so */
export function promiseCount(violations: number, samples: number, delta: number): PromiseCount {
  const limit = delta + 2 * Math.sqrt((delta * (1 - delta)) / samples);
  const rate = violations / samples;
  return {samples, violations, rate, limit, kept: rate <= limit};
}
