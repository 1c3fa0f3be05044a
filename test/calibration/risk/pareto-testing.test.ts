import {riskPValue} from '../../../src/statistics/hoeffding-bentkus.js';
import {paretoTesting, splitItems} from '../../../src/calibration/risk/pareto-testing.js';
import {InputError, UsageError} from '../../../src/runtime/errors.js';
import {seededRandom} from '../../../src/runtime/random.js';

/**
 * Items on which candidate c errs with a probability that grows with c while its cost falls; some candidates are
 * dominated.
 */
function pool(
  items: number,
  candidates: number,
  seed: number,
): {losses: Uint8Array[]; costs: Float64Array[]; risks: number[]} {
  const random = seededRandom(seed);
  const difficulty = Float64Array.from({length: items}, () => random.next());
  const losses = Array.from({length: candidates}, (_, c) => {
    const rate = 0.06 * (c / candidates) ** 2;
    return Uint8Array.from(difficulty, (d) => (random.next() < 2 * rate * d ? 1 : 0));
  });
  const costs = Array.from({length: candidates}, (_, c) =>
    Float64Array.from(difficulty, (d) => 12 - (10 * c) / candidates + (c % 3) * d),
  );
  return {losses, costs, risks: losses.map((list) => list.reduce((sum, x) => sum + x, 0) / items)};
}

const problem = ({losses, costs}: ReturnType<typeof pool>, items?: Int32Array) => ({
  candidates: losses.length,
  loss: (c: number) => losses[c]!,
  cost: (c: number) => costs[c]!,
  ...(items === undefined ? {} : {items}),
});

test.each(['binomial', 'hoeffding-bentkus'] as const)(
  'paretoTesting: the guarantee holds over 200 calibration samples (%s)',
  (kind) => {
    const [alpha, delta, n] = [0.02, 0.1, 897];
    const all = pool(2394, 60, 3);
    const random = seededRandom(99);
    let violated = 0;
    let chosen = 0;
    for (let sample = 0; sample < 200; sample++) {
      const items = Int32Array.from({length: n}, () => random.below(2394));
      const certificate = paretoTesting(problem(all, items), {alpha, delta, seed: sample, test: kind});
      if (certificate.chosen === null) continue;
      chosen++;
      if (all.risks[certificate.chosen.candidate]! > alpha) violated++;
    }
    expect(chosen).toBeGreaterThan(150);
    expect(violated / 200).toBeLessThanOrEqual(delta + 2 * Math.sqrt((delta * (1 - delta)) / 200));
  },
);

test('paretoTesting: the certificate can be checked: order, p-values, first failure, cheapest accepted', () => {
  const all = pool(1000, 40, 7);
  const options = {alpha: 0.03, delta: 0.05, seed: 5, split: 0.4};
  const certificate = paretoTesting(problem(all), options);
  expect(JSON.parse(JSON.stringify(certificate))).toEqual(certificate);
  expect(paretoTesting(problem(all), options)).toEqual(certificate);
  expect([certificate.n1, certificate.n2]).toEqual([400, 600]);
  const {tested, chosen} = certificate;
  expect(tested.length).toBeGreaterThan(1);
  tested.forEach((point, i) => {
    expect(point.pValue).toBe(riskPValue(point.risk, 600, 0.03));
    expect(point.accepted).toBe(i < tested.length - 1 || point.pValue <= 0.05);
    if (i > 0) expect(point.frontCost).toBeLessThan(tested[i - 1]!.frontCost);
    // On the way to the front no candidate erred more on part 1 than its first point, along it each does.
    const before = tested[i - 1]?.frontRisk;
    if (before !== undefined && i > certificate.approachSize) expect(point.frontRisk).toBeGreaterThan(before);
    else
      expect(point.frontRisk).toBeLessThanOrEqual(
        tested[Math.min(certificate.approachSize, tested.length - 1)]!.frontRisk,
      );
  });
  expect(certificate.approachSize).toBeGreaterThan(0);
  const accepted = tested.filter((point) => point.accepted);
  expect(chosen?.candidate).toBe(accepted.at(-1)!.candidate);
  const cost = all.costs[chosen!.candidate]!;
  expect(chosen!.cost).toBeCloseTo(cost.reduce((sum, x) => sum + x, 0) / cost.length, 9);
});

test('paretoTesting: where many candidates never erred on part 1, dearer ones are tested before the boldest', () => {
  // Candidate c > 0 errs on one item of the second part, for certain; the cheapest never errs on the first.
  const n = 900;
  const [, part2] = splitItems({loss: () => new Uint8Array(n)}, 0.5, 1);
  const losses = [new Uint8Array(n), new Uint8Array(n), new Uint8Array(n)];
  for (const c of [1, 2]) for (const item of part2.subarray(0, c)) losses[c]![item] = 1;
  const given = {candidates: 3, loss: (c: number) => losses[c]!, cost: (c: number) => new Float64Array(n).fill(9 - c)};
  const {tested, chosen, frontSize} = paretoTesting(given, {alpha: 0.01, delta: 0.05, seed: 1, test: 'binomial'});
  expect(frontSize).toBe(1);
  // 0.99 ** 450 = 0.011; with one error it is 0.06.
  expect(tested.map(({candidate, accepted}) => [candidate, accepted])).toEqual([
    [0, true],
    [1, false],
  ]);
  expect(chosen?.candidate).toBe(0);
});

test('paretoTesting: items of one group stay in one part', () => {
  const items = 300;
  const groups = Int32Array.from({length: items}, (_, i) => Math.floor(i / 3));
  // A loss that is 1 on the first item of each group only: any whole number of groups has a mean of exactly 1/3.
  const losses = groups.map((_, i) => (i % 3 === 0 ? 1 : 0));
  const {tested, n1, n2} = paretoTesting(
    {candidates: 1, loss: () => losses, cost: () => losses, groups},
    {alpha: 0.5, delta: 0.05, seed: 1},
  );
  expect([n1, n2]).toEqual([150, 150]);
  expect(tested[0]!.risk).toBeCloseTo(1 / 3, 12);
  expect(tested[0]!.frontRisk).toBeCloseTo(1 / 3, 12);
});

test('paretoTesting: where nothing can be certified, says how many items would do', () => {
  const few = paretoTesting(
    {candidates: 1, loss: () => new Uint8Array(100), cost: () => new Uint8Array(100)},
    {alpha: 0.01, delta: 0.05, seed: 0},
  );
  expect(few.chosen).toBeNull();
  expect(few.itemsNeeded).toBe(299);
  const hopeless = new Uint8Array(100).fill(1);
  expect(
    paretoTesting({candidates: 1, loss: () => hopeless, cost: () => hopeless}, {alpha: 0.01, delta: 0.05, seed: 0}),
  ).toMatchObject({
    chosen: null,
    itemsNeeded: null,
  });
});

test('paretoTesting: refuses no candidates, a single item, and a split that leaves nothing', () => {
  const one = {candidates: 1, loss: () => [0], cost: () => [0]};
  const options = {alpha: 0.01, delta: 0.05, seed: 0};
  expect(() => paretoTesting({...one, candidates: 0}, options)).toThrow(InputError);
  expect(() => paretoTesting(one, options)).toThrow('1 calibration items');
  expect(() => paretoTesting(one, {...options, split: 1})).toThrow(UsageError);
  expect(() => paretoTesting(one, {...options, delta: 0})).toThrow(UsageError);
});
