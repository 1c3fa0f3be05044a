import {type CalibrationOptions, calibrate} from '../../../src/calibration/risk/calibrate.js';
import {riskPValue} from '../../../src/statistics/hoeffding-bentkus.js';
import {mergeRecordings} from '../../../src/calibration/recording/merge.js';
import {PolicyReplay} from '../../../src/calibration/replay/policy-replay.js';
import {promiseCheck} from '../../../src/calibration/risk/coverage-check.js';
import {exitPlanSchema} from '../../../src/exit/plan/schema.js';
import {UsageError} from '../../../src/runtime/errors.js';
import {SYNTHETIC_HEADER, syntheticRecording} from '../../support/data/synthetic-recording.js';

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
  'the chosen plan of %s is certified, and its numbers can be checked',
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

test('the same seed gives the same certificate, another split another', () => {
  const json = (seed: number): string => JSON.stringify(calibrate(replay, {...options, seed}, 'ef'));
  expect(json(3)).toBe(json(3));
  expect(json(3)).not.toBe(json(4));
});

test('pictures as the unit are tested by Hoeffding-Bentkus', () => {
  const {certificate} = calibrate(replay, {...options, unit: 'picture', goal: {maxDrop: 0.2}}, 'ef');
  expect([certificate.n1, certificate.n2, certificate.test]).toEqual([50, 50, 'hoeffding-bentkus']);
  expect(certificate.tested[0]!.pValue).toBeCloseTo(riskPValue(certificate.tested[0]!.risk, 50, 0.2), 12);
});

test('too few items: no plan, and how many it takes', () => {
  const {plan, certificate} = calibrate(
    new PolicyReplay(syntheticRecording(30)),
    {...options, goal: {maxDrop: 0.01}},
    'ef',
  );
  expect(plan).toBeUndefined();
  expect(certificate.chosen).toBeNull();
  expect(certificate.itemsNeeded).toBe(230); // 0.99 ** 230 < 0.1
});

test('a budget: within it, the least risk, with a bound', () => {
  const {plan, certificate} = calibrate(replay, {...options, goal: {budget: {cost: 'layers', most: 3}}}, 'ef');
  expect(plan).toBeDefined();
  const {chosen, expected, riskUpperBound} = certificate;
  // The budget is kept on the first part; on all items it is nearly.
  expect((expected!.layers.image + expected!.layers.text) / 2 + expected!.layers.decoder).toBeLessThan(3.3);
  expect(riskUpperBound).toBeGreaterThan(chosen!.risk);
  expect(calibrate(replay, {...options, goal: {budget: {cost: 'macs', most: 1}}}, 'ef').plan).toBeUndefined();
});

test('the promise is kept on samples of a pool', () => {
  const pool = new PolicyReplay(mergeRecordings(recording, syntheticRecording(200, {seed: 9})));
  const check = promiseCheck(pool, options, {samples: 100, n: 250});
  expect(check).toMatchObject({pool: 500, n: 250, samples: 100});
  expect(check.limit).toBeCloseTo(0.1 + 2 * Math.sqrt(0.09 / 100), 12);
  expect(check.certified).toBeGreaterThan(50);
  expect(check.meanCost).toBeLessThan(1);
  expect(check.kept).toBe(true);
});

test('recordings of different models are not pooled', () => {
  const other = syntheticRecording(3, {header: {...SYNTHETIC_HEADER, model: '00'}});
  expect(() => mergeRecordings(recording, other)).toThrow(UsageError);
});
