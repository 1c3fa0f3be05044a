import type {PolicySetting} from '../../../src/calibration/policy-setting.js';
import {PolicyReplay} from '../../../src/calibration/replay/policy-replay.js';
import {calibrationProblem, fullDepthCost, itemCosts} from '../../../src/calibration/risk/losses.js';
import {similar} from '../../support/settings.js';
import {syntheticRecording, TOWERS_HEADER} from '../../support/data/synthetic-recording.js';

const replay = new PolicyReplay(syntheticRecording(60));
const settings: readonly PolicySetting[] = [
  similar(0.7, 0.7, {policy: 'softmax-margin', decoder: 0.3}),
  {encoder: 'fixed', policy: 'fixed', image: 1, text: 2, decoder: 1},
];

test('itemCosts: depths 2, 2, 1 are 3 layers of two streams and a decoder, and 5 of three towers', () => {
  const setting: PolicySetting = {encoder: 'fixed', policy: 'fixed', image: 2, text: 2, decoder: 1};
  const layers = (of: PolicyReplay): number[] => [...new Set(itemCosts(of, of.outcomes(setting), 'layers'))];
  expect(layers(replay)).toEqual([3]);
  const towers = new PolicyReplay(syntheticRecording(60, {header: TOWERS_HEADER}));
  expect(layers(towers)).toEqual([5]);
  expect([fullDepthCost(replay, 'layers'), fullDepthCost(towers, 'layers')]).toEqual([6.5, 9]);
});

test('calibrationProblem: losses of both kinds, item by item', () => {
  const full = replay.full();
  const gap = calibrationProblem(replay, settings, {risk: 'quality-gap', unit: 'item', cost: 'macs'});
  const other = calibrationProblem(replay, settings, {risk: 'consistency', unit: 'item', cost: 'layers'});
  expect([gap.candidates, gap.groups]).toEqual([2, replay.pictures]);
  for (const [candidate, setting] of settings.entries()) {
    const {correct, agrees, costs} = replay.outcomes(setting);
    expect(Array.from(gap.loss(candidate))).toEqual(
      Array.from(correct, (right, i) => (full.correct[i] === 1 && right === 0 ? 1 : 0)),
    );
    expect(Array.from(gap.cost(candidate))).toEqual([...costs['macs']!]);
    const changes = Array.from(agrees, (same) => (same === 1 ? 0 : 1));
    expect(Array.from(other.loss(candidate))).toEqual(changes);
    expect(Array.from(gap.tieBreak!(candidate))).toEqual(changes);
  }
  // (1 image layer + 2 text layers) / 2 + 1 decoder layer.
  expect(new Set(Array.from(other.cost(1)))).toEqual(new Set([2.5]));
});

test('calibrationProblem: of pictures, means over the items of each, without groups', () => {
  const options = {risk: 'consistency', cost: 'macs'} as const;
  const items = calibrationProblem(replay, settings, {...options, unit: 'item'});
  const pictures = calibrationProblem(replay, settings, {...options, unit: 'picture'});
  expect(pictures.groups).toBeUndefined();
  const losses = items.loss(0);
  // Three items a picture.
  expect(Array.from(pictures.loss(0))).toEqual(
    Array.from({length: 20}, (_, p) => (losses[3 * p]! + losses[3 * p + 1]! + losses[3 * p + 2]!) / 3),
  );
});
