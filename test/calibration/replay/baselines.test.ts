import type {PolicySetting} from '../../../src/calibration/policy-setting.js';
import {
  cheapestOracle,
  decoderOracle,
  randomWithHistogram,
  staticMix,
} from '../../../src/calibration/replay/baselines.js';
import {PolicyReplay} from '../../../src/calibration/replay/policy-replay.js';
import {syntheticRecording} from '../../support/data/synthetic-recording.js';

const recording = syntheticRecording(30);
const replay = new PolicyReplay(recording);
const L = 4;
const G = 3 * 2 * L;
const depths = (image: number, text: number, decoder: number) => ({
  'encoder.image': image,
  'encoder.text': text,
  decoder,
});

test('decoderOracle: leaves at the first layer that agrees with the last, or is right', () => {
  const {answer} = replay.measures;
  const agreement = decoderOracle(replay, depths(1, 2, 1), 'agreement');
  const correct = decoderOracle(replay, depths(1, 2, 1), 'correct');
  for (let i = 0; i < 30; i++) {
    const words = Array.from(answer.subarray(i * G + L, i * G + 2 * L));
    expect(agreement.layers.decoder![i]).toBe(words.indexOf(words[L - 1]!) + 1);
    const right = words.indexOf(recording.labels[i]!);
    expect(correct.layers.decoder![i]).toBe(right < 0 ? L : right + 1);
  }
});

test('cheapestOracle: every item at the cheapest combination with its answer at full depth', () => {
  const {answer} = replay.measures;
  const cheapest = cheapestOracle(replay, 'agreement', 'macs');
  for (let i = 0; i < 30; i++) {
    const costs = Array.from({length: G}, (_, c) => c)
      .filter((c) => answer[i * G + c] === answer[i * G + G - 1])
      .map((c) => replay.cellMacs(i, c));
    expect(cheapest.costs['macs']![i]).toBeCloseTo(Math.min(...costs), 9);
  }
  expect(cheapest.agrees.every((x) => x === 1)).toBe(true);
});

test('randomWithHistogram: of one depth for all it is that fixed depth; of mixed depths, the mean over dealings', () => {
  const fixed = replay.fixed(depths(2, 1, 3));
  expect(randomWithHistogram(replay, fixed).accuracy).toBeCloseTo(replay.means(fixed).accuracy[0]!, 12);
  const setting: PolicySetting = {encoder: 'fixed', policy: 'softmax-margin', image: 1, text: 1, decoder: 0.6};
  const mixed = replay.outcomes(setting);
  const accuracies = Array.from(
    mixed.layers.decoder!,
    (layer) => replay.means(replay.fixed(depths(1, 1, layer))).accuracy[0]!,
  );
  expect(randomWithHistogram(replay, mixed).accuracy).toBeCloseTo(accuracies.reduce((a, b) => a + b) / 30, 12);
});

test('staticMix: the best mix of two points at a cost; none below the cheapest, the dearest alone above all', () => {
  const front = [
    {index: 4, cost: 1, quality: 0.5},
    {index: 7, cost: 2, quality: 0.6},
    {index: 9, cost: 3, quality: 0.9},
  ];
  // A third of the way from the first to the last is better than two thirds to the second.
  expect(staticMix(front, 5 / 3)).toEqual({from: 4, to: 9, share: expect.closeTo(1 / 3, 12)});
  expect(staticMix(front, 0.9)).toBeUndefined();
  expect(staticMix(front, 7)).toEqual({from: 9, to: 9, share: 0});
});
