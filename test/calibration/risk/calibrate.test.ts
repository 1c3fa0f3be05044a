import {type CalibrationOptions, calibrate} from '../../../src/calibration/risk/calibrate.js';
import {itemCosts} from '../../../src/calibration/risk/losses.js';
import {mean} from '../../../src/statistics/descriptive.js';
import {riskPValue} from '../../../src/statistics/hoeffding-bentkus.js';
import {PolicyReplay} from '../../../src/calibration/replay/policy-replay.js';
import {exitPlanSchema} from '../../../src/exit/plan/schema.js';
import {JOINT_HEADER, syntheticRecording, TOWERS_HEADER} from '../../support/data/synthetic-recording.js';

const recording = syntheticRecording(300);
const replay = new PolicyReplay(recording);
const options: CalibrationOptions & {goal: {maxDrop: number}} = {
  delta: 0.1,
  risk: 'quality-gap',
  unit: 'item',
  cost: 'macs',
  policies: ['softmax-margin'],
  grid: 5,
  seed: 3,
  goal: {maxDrop: 0.05},
};

test.each(['quality-gap', 'consistency'] as const)(
  'calibrate: the chosen plan of %s is certified, and its numbers can be checked',
  (risk) => {
    const {plan, certificate} = calibrate(replay, {...options, risk}, 'ef');
    const {tested, chosen, n1, n2, expected} = certificate;
    expect(exitPlanSchema.safeParse(JSON.parse(JSON.stringify(plan))).success).toBe(true);
    expect(plan).toMatchObject({
      model: recording.header.model,
      task: 'snli-ve',
      certificate: {data: recording.header.data, recording: 'ef'},
    });
    expect([n1 + n2, certificate.n, certificate.pictures]).toEqual([300, 300, 100]);
    for (const {risk: seen, pValue, accepted} of tested) {
      expect(pValue).toBeCloseTo(riskPValue(seen, n2, 0.05, 'binomial'), 12);
      expect(accepted).toBe(pValue! <= 0.1);
    }
    // Up to the first failure, in the order of the risk on the first part.
    expect(tested.slice(0, -1).every(({accepted}) => accepted)).toBe(true);
    expect(tested.map(({frontRisk}) => frontRisk)).toEqual(
      tested.map(({frontRisk}) => frontRisk).sort((a, b) => a - b),
    );
    expect(chosen).toEqual(tested.filter(({accepted}) => accepted).at(-1));
    if (risk === 'quality-gap') expect(expected!.macs.saved).toBeGreaterThan(0.05);
    const outcomes = replay.outcomes(chosen!.setting);
    expect(expected!.accuracy).toBeCloseTo(outcomes.correct.reduce((a, b) => a + b) / 300, 12);
  },
);

test('calibrate: the same seed gives the same certificate, another split another', () => {
  const json = (seed: number): string => JSON.stringify(calibrate(replay, {...options, seed}, 'ef'));
  expect(json(3)).toBe(json(3));
  expect(json(3)).not.toBe(json(4));
});

test('calibrate: pictures as the unit are tested by Hoeffding-Bentkus', () => {
  const {certificate} = calibrate(replay, {...options, unit: 'picture', goal: {maxDrop: 0.2}}, 'ef');
  expect([certificate.n1, certificate.n2, certificate.test]).toEqual([50, 50, 'hoeffding-bentkus']);
  expect(certificate.tested[0]!.pValue).toBeCloseTo(riskPValue(certificate.tested[0]!.risk, 50, 0.2), 12);
});

test('calibrate: of too few items no plan, and how many it takes', () => {
  const {plan, certificate} = calibrate(
    new PolicyReplay(syntheticRecording(30)),
    {...options, goal: {maxDrop: 0.01}},
    'ef',
  );
  expect(plan).toBeUndefined();
  expect(certificate.chosen).toBeNull();
  expect(certificate.itemsNeeded).toBe(230); // 0.99 ** 230 < 0.1
});

test('calibrate: within a budget the least risk, with a bound', () => {
  const {plan, certificate} = calibrate(replay, {...options, goal: {budget: {cost: 'layers', most: 3}}}, 'ef');
  expect(plan).toBeDefined();
  const {chosen, expected, riskUpperBound} = certificate;
  // The budget is kept on the first part; on all items it is nearly.
  expect((expected!.layers.image + expected!.layers.text!) / 2 + expected!.layers.decoder).toBeLessThan(3.3);
  expect(riskUpperBound).toBeGreaterThan(chosen!.risk);
  expect(calibrate(replay, {...options, goal: {budget: {cost: 'macs', most: 1}}}, 'ef').plan).toBeUndefined();
});

test('calibrate: layers of three towers are counted one by one, as sweeps count them', () => {
  const towers = new PolicyReplay(syntheticRecording(300, {header: TOWERS_HEADER}));
  const {certificate} = calibrate(towers, {...options, cost: 'layers', goal: {maxDrop: 0.1}}, 'ef');
  const {chosen, expected, n1, n2, tested} = certificate;
  const {image, text, decoder} = expected!.layers;
  // The layers saved, as a sweep states them, and the cost that was compared are of one kind.
  expect(expected!.etr).toBeCloseTo(1 - (image + text! + decoder) / 9, 12);
  const costs = itemCosts(towers, towers.outcomes(chosen!.setting), 'layers');
  expect(mean(costs)).toBeCloseTo(image + text! + decoder, 12);
  // No cost is below one layer of each tower, which would count 2 as streams and a decoder.
  expect(n1 + n2).toBe(300);
  for (const {frontCost} of tested) expect(frontCost).toBeGreaterThanOrEqual(3);
});

test('calibrate: a certificate holds milliseconds of a layer by place, as files name the stacks', () => {
  const ms = {base: 5, layers: {vision: 10, text: 1, multimodal: 2}, rows: 80, explained: 1};
  const towers = new PolicyReplay(syntheticRecording(60, {header: TOWERS_HEADER}), {ms});
  const goal = {budget: {cost: 'ms', most: 30}} as const;
  const {certificate} = calibrate(towers, {...options, cost: 'ms', goal}, 'ef');
  expect(JSON.stringify(certificate.ms!.layers)).toBe(
    '{"base":5,"image":10,"text":1,"decoder":2,"rows":80,"explained":1}',
  );
  const {image, text, decoder} = certificate.expected!.layers;
  expect(certificate.ms!.expected).toBeCloseTo(5 + 10 * image + text! + 2 * decoder, 9);
});

test('calibrate: a joint encoder and a decoder are two stacks, and certified as such', () => {
  const joint = new PolicyReplay(syntheticRecording(300, {header: JOINT_HEADER}));
  const {plan, certificate} = calibrate(joint, {...options, goal: {maxDrop: 0.1}}, 'ef');
  expect(Object.keys(plan!.stacks)).toEqual(['encoder', 'decoder']);
  const {image, decoder, ...none} = certificate.expected!.layers;
  expect(none).toEqual({});
  expect(certificate.expected!.etr).toBeCloseTo(1 - (image + decoder) / 7, 12);
  expect(certificate.expected!.macs.saved).toBeGreaterThan(0.05);
});
