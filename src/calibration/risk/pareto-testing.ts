import {InputError, UsageError} from '../../runtime/errors.js';
import {seededRandom} from '../../runtime/random.js';
import {meanAt, range} from '../../statistics/descriptive.js';
import {itemsNeeded, type RiskTest, riskPValue} from '../../statistics/hoeffding-bentkus.js';
import {paretoFront} from '../../statistics/pareto-front.js';
import {checkDelta, fixedSequence, meanLoss, type TestedPoint} from './p-values.js';

/** Candidates to choose from, and their losses and costs on the calibration items. */
export interface ParetoProblem {
  readonly candidates: number;
  /** Losses of one candidate, each in [0, 1], by item. Called once for each candidate, and again for those tested. */
  readonly loss: (candidate: number) => ArrayLike<number>;
  /** Cost of one candidate by item, in any unit (layers, MACs, milliseconds). */
  readonly cost: (candidate: number) => ArrayLike<number>;
  /** Stricter losses, which order candidates of one risk; default: the losses. */
  readonly tieBreak?: (candidate: number) => ArrayLike<number>;
  /** Calibration items, as indices into losses and costs; may repeat. Default: all of them. */
  readonly items?: ArrayLike<number>;
  /** Group of every item (its picture): a group is never split between the two parts. By index into losses. */
  readonly groups?: ArrayLike<number>;
}

/** Guarantee that is wanted, and how it is tested. */
export interface ParetoOptions {
  /** Largest risk. */
  readonly alpha: number;
  /** Probability with which the guarantee may fail. */
  readonly delta: number;
  readonly seed: number;
  /** Fraction of the items (or groups) that chooses the front; the rest tests it. Default 0.5. */
  readonly split?: number;
  readonly test?: RiskTest;
}

/** A point of the front, its two estimates, and its test. */
export interface ParetoTestedPoint extends TestedPoint {
  /** Mean loss and mean cost on part 1, which put the point where it is in the sequence. */
  readonly frontRisk: number;
  readonly frontCost: number;
}

/** Record from which the choice can be checked: plain data, safe to print as JSON. */
export interface ParetoCertificate {
  readonly method: 'pareto-testing';
  readonly test: RiskTest;
  readonly alpha: number;
  readonly delta: number;
  readonly seed: number;
  readonly split: number;
  /** Items of part 1 (chooses the front) and part 2 (tests it). */
  readonly n1: number;
  readonly n2: number;
  readonly candidates: number;
  readonly frontSize: number;
  /** Dearer candidates that are tested before the front. */
  readonly approachSize: number;
  /** The sequence as tested: up to and including the first failure. */
  readonly tested: readonly ParetoTestedPoint[];
  /** The cheapest accepted point; null if nothing can be certified. Cost is the mean over all items. */
  readonly chosen: (TestedPoint & {readonly cost: number}) | null;
  /**
   * If nothing is certified: items part 2 would need, were the risk of the safest point what it is here; null if no
   * number would do.
   */
  readonly itemsNeeded: number | null;
}

/**
 * Pareto Testing (docs/reference/early-exit.md B4): part 1 of the calibration items chooses and orders the Pareto front
 * of (risk, cost), part 2 tests it in that order until the first failure; the cheapest accepted point is chosen. Then,
 * with probability 1 − δ over calibration sets of independent items, its true risk is at most α.
 *
 * The safest point of a front is its boldest guess where many candidates never erred on part 1, so some dearer ones
 * that did not err more are tested before it: the order is still fixed by part 1 alone. Items that share pictures are
 * not independent: `groups` keeps the parts apart, but only losses averaged by picture make the test itself exact.
 * @throws UsageError for a δ, split or loss that makes no sense
 * @throws InputError `no-candidates`, `too-few-items`
 */
export function paretoTesting(problem: ParetoProblem, options: ParetoOptions): ParetoCertificate {
  const {alpha, delta, seed, split = 0.5, test = 'hoeffding-bentkus'} = options;
  checkDelta(delta);
  if (!(split > 0 && split < 1))
    throw new UsageError('split', `Pareto testing: split is ${split}; a number between 0 and 1 is needed.`);
  if (problem.candidates === 0)
    throw new InputError('no-candidates', 'Pareto testing: no candidates; at least one is needed.');
  const [part1, part2] = splitItems(problem, split, seed);
  const risks = new Float64Array(problem.candidates);
  const costs = new Float64Array(problem.candidates);
  for (let candidate = 0; candidate < problem.candidates; candidate++) {
    risks[candidate] = meanLoss(problem.loss(candidate), part1, candidate, test);
    costs[candidate] = meanAt(problem.cost(candidate), part1);
  }
  const front = paretoFront(risks, costs);
  const approach = approachTo(front[0]!, problem, part1, risks, costs);
  const tests: Omit<ParetoTestedPoint, 'accepted'>[] = [];
  const pValues = function* (): Generator<number> {
    for (const candidate of [...approach, ...front]) {
      const risk = meanLoss(problem.loss(candidate), part2, candidate, test);
      const pValue = riskPValue(risk, part2.length, alpha, test);
      tests.push({candidate, frontRisk: risks[candidate]!, frontCost: costs[candidate]!, risk, pValue});
      yield pValue;
    }
  };
  const count = fixedSequence(pValues(), delta);
  const tested = tests.map((point, k): ParetoTestedPoint => ({...point, accepted: k < count}));
  // Costs fall along the sequence, so the last accepted point is the cheapest.
  const last = tested[count - 1];
  let chosen: ParetoCertificate['chosen'] = null;
  if (last !== undefined) {
    const cost = problem.cost(last.candidate);
    const total = meanAt(cost, part1) * part1.length + meanAt(cost, part2) * part2.length;
    chosen = {...last, cost: total / (part1.length + part2.length)};
  }
  const needed =
    chosen === null && tested[0] !== undefined
      ? itemsNeeded(alpha, delta, tested[0].risk, test)
      : Number.POSITIVE_INFINITY;
  return {
    method: 'pareto-testing',
    test,
    alpha,
    delta,
    seed,
    split,
    n1: part1.length,
    n2: part2.length,
    candidates: problem.candidates,
    frontSize: front.length,
    approachSize: approach.length,
    tested,
    chosen,
    itemsNeeded: Number.isFinite(needed) ? needed : null,
  };
}

/** Most dearer candidates that are tested on the way to the front. */
const RUNGS = 12;

/**
 * Candidates that erred no more on part 1 than the first of the front, from the dearest down in equal steps of cost; of
 * each step the most cautious.
 * @param first of the front
 * @param risks mean losses of all candidates on part 1
 * @param costs mean costs of all candidates on part 1
 */
function approachTo(
  first: number,
  problem: ParetoProblem,
  part1: Int32Array,
  risks: Float64Array,
  costs: Float64Array,
): number[] {
  const [safe, to] = [risks[first]!, costs[first]!];
  const dearer = range(0, costs.length - 1).filter((c) => risks[c]! <= safe && costs[c]! > to);
  const from = dearer.reduce((most, c) => Math.max(most, costs[c]!), to);
  const tieBreak = (c: number): number => (problem.tieBreak ? meanAt(problem.tieBreak(c), part1) : risks[c]!);
  return Array.from({length: RUNGS}, (_, rung) => {
    const [high, low] = [from - ((from - to) * rung) / RUNGS, from - ((from - to) * (rung + 1)) / RUNGS];
    const step = dearer.filter(
      (c) => costs[c]! <= high && (costs[c]! > low || (rung === RUNGS - 1 && costs[c]! >= low)),
    );
    return step
      .map((c) => ({c, tieBreak: tieBreak(c)}))
      .sort((a, b) => a.tieBreak - b.tieBreak || costs[a.c]! - costs[b.c]! || a.c - b.c)[0]?.c;
  })
    .filter((c) => c !== undefined)
    .sort((a, b) => costs[b]! - costs[a]! || a - b);
}

/**
 * The two parts that `paretoTesting` works with. Thresholds that are quantiles of scores may be taken from the first:
 * it chooses the candidates.
 * @throws InputError `too-few-items` if one of them is empty
 */
export function splitItems(
  {loss, items, groups}: Pick<ParetoProblem, 'loss' | 'items' | 'groups'>,
  split: number,
  seed: number,
): [Int32Array, Int32Array] {
  const all = Int32Array.from(items ?? range(0, loss(0).length - 1));
  const groupOf = (item: number): number => groups?.[item] ?? item;
  const random = seededRandom(seed);
  let part1: Set<number> | undefined;
  if (groups !== undefined) {
    const names = random.shuffle(Float64Array.from(new Set(Array.from(all, groupOf))));
    part1 = new Set(names.subarray(0, Math.round(split * names.length)));
  } else {
    random.shuffle(all);
  }
  const parts: [Int32Array, Int32Array] =
    part1 === undefined
      ? [all.slice(0, Math.round(split * all.length)), all.slice(Math.round(split * all.length))]
      : [all.filter((item) => part1.has(groupOf(item))), all.filter((item) => !part1.has(groupOf(item)))];
  if (parts[0].length === 0 || parts[1].length === 0)
    throw new InputError(
      'too-few-items',
      `Pareto testing: ${all.length} calibration items; both parts of the split need at least one.`,
    );
  return parts;
}
