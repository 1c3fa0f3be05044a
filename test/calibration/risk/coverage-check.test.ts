import {mergeRecordings} from '../../../src/calibration/recording/merge.js';
import {PolicyReplay} from '../../../src/calibration/replay/policy-replay.js';
import type {CalibrationOptions} from '../../../src/calibration/risk/calibrate.js';
import {coverageCheck} from '../../../src/calibration/risk/coverage-check.js';
import {syntheticRecording, TOWERS_HEADER} from '../../support/data/synthetic-recording.js';

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

test('coverageCheck: the promise is kept on samples of a pool', () => {
  const pool = new PolicyReplay(mergeRecordings(syntheticRecording(300), syntheticRecording(200, {seed: 9})));
  const check = coverageCheck(pool, options, {samples: 100, n: 250});
  expect(check).toMatchObject({pool: 500, n: 250, samples: 100});
  expect(check.limit).toBeCloseTo(0.1 + 2 * Math.sqrt(0.09 / 100), 12);
  expect(check.certified).toBeGreaterThan(50);
  expect(check.meanCost).toBeLessThan(1);
  expect(check.kept).toBe(true);
});

test.each(['layers', 'ms'] as const)(
  'coverageCheck: mean cost in %s is a fraction of what full depth costs',
  (cost) => {
    const ms = {base: 0, layers: {vision: 1, text: 1, multimodal: 1}, rows: 2, explained: 1};
    const pool = new PolicyReplay(syntheticRecording(200, {header: TOWERS_HEADER}), {ms});
    const {meanCost, certified} = coverageCheck(pool, {...options, cost, goal: {maxDrop: 0.9}}, {samples: 20, n: 200});
    expect(certified).toBe(20);
    // A drop that large certifies the cheapest candidate nearly always: 3 of 9 layers.
    expect(meanCost).toBeCloseTo(3 / 9, 2);
  },
);
