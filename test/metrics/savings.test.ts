import {encoderLayers, expectedTimeReduction, meanRetention, retention} from '../../src/metrics/savings.js';
import {UsageError} from '../../src/runtime/errors.js';

const depth = {encoder: 6, decoder: 6};

test.each([
  // MuE's tables (docs/reference/early-exit.md A5) and the reference table of the scenes models.
  ['OFA-Tiny against Base', 4, 4, 4, 1 / 3],
  ['entailment, published', 2.03, 6, 1.985, 0.5],
  ['captions, published', 6, 2, 3.176, 0.402],
  ['scenes, .61 / .5432 / .8824', 1.11, 1.14, 3.05, 0.652],
  ['everything runs', 6, 6, 6, 0],
])('expectedTimeReduction: %s', (_, image, text, decoder, saved) => {
  expect(expectedTimeReduction([{encoder: encoderLayers(image, text), decoder}], depth)).toBeCloseTo(saved, 3);
});

test('expectedTimeReduction: sums over items, and refuses a depth without layers', () => {
  const items = [
    {encoder: 2, decoder: 1},
    {encoder: 6, decoder: 6},
  ];
  expect(expectedTimeReduction(items, depth)).toBeCloseTo(1 - 15 / 24, 12);
  expect(() => expectedTimeReduction(items, {encoder: 0, decoder: 0})).toThrow(UsageError);
});

test('retention and meanRetention: shares of scores that are kept', () => {
  expect(retention(137, 146.7)).toBeCloseTo(0.934, 3);
  expect(retention(0, 0)).toBe(1);
  // Table 5 of the paper with METEOR and SPICE: the mean of eight is the "96 %".
  const full = {b1: 83.4, b2: 68.3, b3: 54.1, b4: 42.8, m: 31.7, r: 62.1, c: 146.7, s: 25.8};
  const early = {b1: 81.2, b2: 66.8, b3: 52.9, b4: 41.6, m: 30.6, r: 60.2, c: 137, s: 24.4};
  expect(meanRetention(early, full)).toBeCloseTo(0.9645, 3);
  expect(meanRetention({c: 137}, full)).toBeCloseTo(0.934, 3);
});
