import type {LinearHead} from '../../exit/policies/linear-head.js';
import type {ExitPlan} from '../../exit/plan/schema.js';
import {UsageError} from '../../runtime/errors.js';
import {type DecoderPolicy, type PolicySetting, settingPlan} from '../policy-setting.js';
import type {LayerMilliseconds} from '../replay/layer-milliseconds.js';
import {STREAM_WEIGHTS, weigh} from '../replay/layer-weights.js';
import type {PolicyReplay} from '../replay/policy-replay.js';
import type {ItemOutcomes, ReplayData, ThresholdReplay} from '../replay/threshold-replay.js';
import {settingGrid} from '../settings/grid.js';
import {type CostName, type SweepMeans, sweepMeans} from '../sweep/sweep.js';
import {type ParetoCertificate, type ParetoProblem, paretoTesting, splitItems} from './pareto-testing.js';
import {riskUpperBound} from './bounds.js';

/** What counts as a loss: an answer other than the full model's; or a right answer of the full model that is no longer right. */
export type ReplayLoss = 'consistency' | 'quality-gap';

/**
 * The choice among threshold triples as a problem for Pareto Testing. Losses are 0 or 1 (use the binomial test); costs
 * are one of the recording's, or 'layers': (image + text) / 2 + decoder. Computed at the first use of a candidate and
 * kept: settings × items × 5 bytes.
 * @param thresholds [settings × 3]: image, text, decoder.
 */
export function replayProblem(
  replay: ThresholdReplay,
  thresholds: ArrayLike<number>,
  {loss, cost}: {readonly loss: ReplayLoss; readonly cost: string},
): Pick<ParetoProblem, 'candidates' | 'loss' | 'cost'> {
  const {n, depths, costs = {}} = replay.data;
  if (cost !== 'layers' && !Object.hasOwn(costs, cost))
    throw new UsageError(
      'cost',
      `replay: no cost '${cost}' was recorded; there are: ${['layers', ...Object.keys(costs)].join(', ')}.`,
    );
  const right = replay.fixed(depths.image, depths.text, depths.decoder).correct;
  const known: ({readonly losses: Uint8Array; readonly costs: Float32Array} | undefined)[] = [];
  const evaluate = (candidate: number): {readonly losses: Uint8Array; readonly costs: Float32Array} => {
    const kept = known[candidate];
    if (kept !== undefined) return kept;
    const items = replay.outcomes(
      thresholds[3 * candidate]!,
      thresholds[3 * candidate + 1]!,
      thresholds[3 * candidate + 2]!,
    );
    const losses = new Uint8Array(n);
    for (let i = 0; i < n; i++)
      losses[i] = loss === 'consistency' ? 1 - items.agrees[i]! : Math.max(0, right[i]! - items.correct[i]!);
    const result = {
      losses,
      costs: cost === 'layers' ? layersRun(replay.data, items) : Float32Array.from(items.costs[cost]!),
    };
    known[candidate] = result;
    return result;
  };
  return {
    candidates: thresholds.length / 3,
    loss: (candidate) => evaluate(candidate).losses,
    cost: (candidate) => evaluate(candidate).costs,
  };
}

function layersRun(
  {weights = STREAM_WEIGHTS}: ReplayData,
  {imageLayers, textLayers, decoderLayers}: ItemOutcomes,
): Float32Array {
  const layers = new Float32Array(imageLayers.length);
  for (let i = 0; i < layers.length; i++)
    layers[i] = weigh(weights, imageLayers[i]!, textLayers[i]!, decoderLayers[i]!);
  return layers;
}

/** Losses and costs by observation: by item, or as means by picture. */
export interface SettingLosses {
  readonly losses: ArrayLike<number>;
  /** Answers that differ from those of full depth. */
  readonly changes: ArrayLike<number>;
  readonly costs: ArrayLike<number>;
}

/** What Pareto Testing asks of a list of settings, computed at the first use and kept. */
export function settingLosses(
  replay: PolicyReplay,
  settings: readonly PolicySetting[],
  {risk, unit, cost}: {readonly risk: ReplayLoss; readonly unit: RiskUnit; readonly cost: CalibrationCost},
): (candidate: number) => SettingLosses {
  const {n, depths} = replay.recording;
  const right = replay.fixed(depths.image, depths.text, depths.decoder).correct;
  const known: (SettingLosses | undefined)[] = [];
  return (candidate) => {
    const kept = known[candidate];
    if (kept !== undefined) return kept;
    const items = replay.outcomes(settings[candidate]!);
    const [losses, changes] = [new Uint8Array(n), Uint8Array.from(items.agrees, (agrees) => 1 - agrees)];
    for (let i = 0; i < n; i++)
      losses[i] = risk === 'consistency' ? changes[i]! : Math.max(0, right[i]! - items.correct[i]!);
    const costs = cost === 'layers' ? new Float64Array(n) : Float64Array.from(items.costs[cost]!);
    if (cost === 'layers')
      for (let i = 0; i < n; i++)
        costs[i] = (items.imageLayers[i]! + items.textLayers[i]!) / 2 + items.decoderLayers[i]!;
    const of = (values: ArrayLike<number>): ArrayLike<number> =>
      unit === 'item' ? values : byPicture(values, replay.pictures);
    const result = {losses: of(losses), changes: of(changes), costs: of(costs)};
    known[candidate] = result;
    return result;
  };
}

function byPicture(values: ArrayLike<number>, pictures: readonly number[]): Float64Array {
  const count = new Set(pictures).size;
  const [sums, items] = [new Float64Array(count), new Float64Array(count)];
  for (const [i, picture] of pictures.entries()) {
    sums[picture]! += values[i]!;
    items[picture]!++;
  }
  return sums.map((sum, p) => sum / items[p]!);
}

/** What is tested as one observation. */
export type RiskUnit =
  /** Items, with the exact binomial test. Items of one picture are then taken for independent. */
  | 'item'
  /** Pictures, with their items' mean loss and the Hoeffding-Bentkus test: exact however items of a picture depend, and weaker. */
  | 'picture';

/** What is saved or budgeted; milliseconds need a replay that models them. */
export type CalibrationCost = CostName | 'ms';

export interface CalibrationOptions {
  /** Probability with which the promise may fail. */
  readonly delta: number;
  readonly risk: ReplayLoss;
  readonly unit: RiskUnit;
  /** What is to be saved. */
  readonly cost: CalibrationCost;
  readonly policies: readonly DecoderPolicy[];
  /** Thresholds a stack. */
  readonly grid: number;
  readonly seed: number;
  /** Largest risk; or the largest mean cost, of which the plan of least risk is chosen. */
  readonly goal:
    | {readonly maxDrop: number}
    | {readonly budget: {readonly cost: CalibrationCost; readonly most: number}};
  readonly head?: LinearHead | undefined;
}

/** What a plan says about how it came to be. Plain data. */
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
  readonly budget: {readonly cost: CalibrationCost; readonly most: number} | null;
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
  /** Means of the chosen point over all items, and what that is worth. */
  readonly expected: SweepMeans | null;
  /** Where milliseconds were a cost: what a layer takes, and what the chosen point takes by that. */
  readonly ms: {readonly layers: LayerMilliseconds; readonly expected: number | null} | null;
  /** Observations that the second part would need, were the risk of the safest point what it is here; null if none would do, or none is missing. */
  readonly itemsNeeded: number | null;
  readonly promise: string;
  readonly assumptions: string;
}

export interface TestedSetting {
  readonly setting: PolicySetting;
  readonly frontRisk: number;
  readonly frontCost: number;
  readonly risk: number;
  readonly pValue: number | null;
  readonly accepted: boolean;
}

export interface Calibration {
  /** undefined if nothing can be certified, or no candidate is within the budget. */
  readonly plan: ExitPlan | undefined;
  readonly certificate: PlanCertificate;
}

/**
 * Chooses a plan from a recording: the cheapest whose risk is certified, or the safest within a budget. Thresholds come from the scores
 * of the first part of the pictures, the test from the second. @param sha256 of the recording's rows
 */
export function calibrate(replay: PolicyReplay, options: CalibrationOptions, sha256: string): Calibration {
  const {recording} = replay;
  const {seed, unit, goal} = options;
  const modelled = replay.options.ms ?? null;
  const items = Array.from({length: recording.n}, (_, i) => i);
  const byPicture = replay.pictures;
  const [first] = splitItems({loss: () => items, groups: byPicture}, SPLIT, seed);
  const settings = settingGrid(replay, {policies: options.policies, count: options.grid, items: first, seed});
  const problem = calibrationProblem(replay, settings, options);
  const found =
    'maxDrop' in goal
      ? certified(problem, settings, goal.maxDrop, options)
      : withinBudget(replay, problem, settings, goal.budget, options);
  const {chosen} = found;
  const {header, n} = recording;
  const certificate: PlanCertificate = {
    method: 'maxDrop' in goal ? 'pareto-testing' : 'budget',
    task: header.task,
    model: header.model,
    data: header.data,
    recording: sha256,
    risk: options.risk,
    unit,
    test: testOf(unit),
    alpha: 'maxDrop' in goal ? goal.maxDrop : null,
    delta: options.delta,
    seed,
    cost: options.cost,
    budget: 'budget' in goal ? goal.budget : null,
    policies: options.policies,
    n,
    pictures: new Set(byPicture).size,
    ...found,
    expected: chosen && sweepMeans(replay, replay.outcomes(chosen.setting)),
    ms: modelled && {layers: modelled, expected: chosen && average(replay.outcomes(chosen.setting).costs['ms']!)},
    promise: promise(options),
    assumptions: ASSUMPTIONS[unit],
  };
  return {
    plan: chosen ? {...settingPlan(chosen.setting, recording.header, options.head), certificate} : undefined,
    certificate,
  };
}

/** Losses and costs of settings, by observation. Every setting's are kept once computed. */
export function calibrationProblem(
  replay: PolicyReplay,
  settings: readonly PolicySetting[],
  {risk, unit, cost}: Pick<CalibrationOptions, 'risk' | 'unit' | 'cost'>,
): ParetoProblem {
  const of = settingLosses(replay, settings, {risk, unit, cost});
  const problem = {
    candidates: settings.length,
    loss: (c: number) => of(c).losses,
    cost: (c: number) => of(c).costs,
    caution: (c: number) => of(c).changes,
  };
  return unit === 'item' ? {...problem, groups: replay.pictures} : problem;
}

function average(values: Float64Array): number {
  return values.reduce((sum, x) => sum + x, 0) / values.length;
}

/** Share of the pictures that chooses the candidates. */
const SPLIT = 0.5;
const ASSUMPTIONS: Readonly<Record<RiskUnit, string>> = {
  item:
    'Holds for items drawn independently from where the calibration items come from. Items of one picture are kept in one part, but the binomial ' +
    "test takes them for independent; where a picture's items fail together the true error probability is larger. --unit picture does without.",
  picture:
    'Holds for pictures drawn independently from where the calibration pictures come from; their items may depend on each other.',
};

export function testOf(unit: RiskUnit): ParetoCertificate['test'] {
  return unit === 'item' ? 'binomial' : 'hoeffding-bentkus';
}

function promise({goal, delta, risk}: CalibrationOptions): string {
  const event = risk === 'consistency' ? 'gives another answer than full depth' : 'is wrong where full depth is right';
  return 'maxDrop' in goal
    ? `Except with probability ${delta} over calibration sets, the plan ${event} for at most a share ${goal.maxDrop} of items.`
    : `Except with probability ${delta} over calibration sets, the plan ${event} for at most the share riskUpperBound of items.`;
}

type Found = Pick<
  PlanCertificate,
  'n1' | 'n2' | 'candidates' | 'frontSize' | 'approachSize' | 'tested' | 'chosen' | 'riskUpperBound' | 'itemsNeeded'
>;

function certified(
  problem: ParetoProblem,
  settings: readonly PolicySetting[],
  alpha: number,
  {delta, seed, unit}: CalibrationOptions,
): Found {
  const {n1, n2, candidates, frontSize, approachSize, tested, chosen, itemsNeeded} = paretoTesting(problem, {
    alpha,
    delta,
    seed,
    split: SPLIT,
    test: testOf(unit),
  });
  const named = tested.map(({candidate, frontRisk, frontCost, risk, pValue, accepted}) => ({
    setting: settings[candidate]!,
    frontRisk,
    frontCost,
    risk,
    pValue,
    accepted,
  }));
  const last = named.findLast(({accepted}) => accepted) ?? null;
  const bound = chosen && riskUpperBound(chosen.risk, n2, delta, testOf(unit));
  return {n1, n2, candidates, frontSize, approachSize, tested: named, chosen: last, riskUpperBound: bound, itemsNeeded};
}

function withinBudget(
  replay: PolicyReplay,
  problem: ParetoProblem,
  settings: readonly PolicySetting[],
  budget: {readonly cost: CalibrationCost; readonly most: number},
  options: CalibrationOptions,
): Found {
  const {delta, seed, unit} = options;
  const [part1, part2] = splitItems(problem, SPLIT, seed);
  const budgeted =
    budget.cost === options.cost ? problem : calibrationProblem(replay, settings, {...options, cost: budget.cost});
  const mean = (values: ArrayLike<number>, items: Int32Array): number =>
    items.reduce((sum, i) => sum + values[i]!, 0) / items.length;
  let best: TestedSetting | null = null;
  let chosen = -1;
  for (const [c, setting] of settings.entries()) {
    const price = mean(budgeted.cost(c), part1);
    if (price > budget.most) continue;
    const [frontRisk, frontCost] = [mean(problem.loss(c), part1), mean(problem.cost(c), part1)];
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
  const risk = mean(problem.loss(chosen), part2);
  const tested = {...best, risk};
  return {
    ...counts,
    tested: [tested],
    chosen: tested,
    riskUpperBound: riskUpperBound(risk, part2.length, delta, testOf(unit)),
  };
}
