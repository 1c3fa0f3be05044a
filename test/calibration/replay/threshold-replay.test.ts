import fc from 'fast-check';
import {type ReplayData, type ReplayRules, ThresholdReplay} from '../../../src/calibration/replay/threshold-replay.js';
import {replayProblem} from '../../../src/calibration/risk/calibrate.js';
import {expectedTimeReduction} from '../../../src/metrics/savings.js';
import {InputError, UsageError} from '../../../src/runtime/errors.js';
import {seededRandom} from '../../../src/runtime/random.js';

const depths = {image: 3, text: 2, decoder: 4};
const grid = depths.image * depths.text * depths.decoder;

function recording(n: number, seed: number): ReplayData {
  const random = seededRandom(seed);
  const scores = (length: number): Float32Array =>
    Float32Array.from({length}, () => Math.floor(random.next() * 10) / 10);
  const classes = (length: number): Uint8Array => Uint8Array.from({length}, () => random.below(3));
  return {
    n,
    depths,
    image: scores(n * depths.image),
    text: scores(n * depths.text),
    decoder: scores(n * grid),
    predictions: classes(n * grid),
    labels: classes(n),
    costs: {
      macs: Float64Array.from({length: n * grid}, () => random.next()),
      layers: Float64Array.from({length: grid}, (_, i) => i),
    },
  };
}

/** The definition, written out: first layer that passes, else all. */
function slow(data: ReplayData, thresholds: readonly number[], rules: ReplayRules) {
  const passes = {
    above: (s: number, t: number) => s > t,
    'at-least': (s: number, t: number) => s >= t,
    'at-most': (s: number, t: number) => s <= t,
    below: (s: number, t: number) => s < t,
  };
  const exit = (scores: Float32Array, rule: keyof typeof passes, threshold: number): number => {
    const at = [...scores].slice(0, -1).findIndex((score) => passes[rule](score, threshold));
    return at < 0 ? scores.length : at + 1;
  };
  return Array.from({length: data.n}, (_, i) => {
    const image = exit(data.image.subarray(i * 3, i * 3 + 3), rules.image ?? 'above', thresholds[0]!);
    const text = exit(data.text.subarray(i * 2, i * 2 + 2), rules.text ?? 'above', thresholds[1]!);
    const row = i * grid + ((image - 1) * 2 + text - 1) * 4;
    const decoder = exit(data.decoder.subarray(row, row + 4), rules.decoder ?? 'above', thresholds[2]!);
    const cell = row + decoder - 1;
    const prediction = data.predictions[cell]!;
    return {
      image,
      text,
      decoder,
      prediction,
      correct: prediction === data.labels[i] ? 1 : 0,
      agrees: prediction === data.predictions[(i + 1) * grid - 1] ? 1 : 0,
      macs: data.costs!.macs![cell]!,
      layers: data.costs!.layers![cell - i * grid]!,
    };
  });
}

test('sweep and outcomes are the definition, for every rule', () => {
  const rule = fc.constantFrom('above', 'at-least', 'at-most', 'below');
  const threshold = fc.oneof(
    fc.integer({min: 0, max: 10}).map((x) => Math.fround(x / 10)),
    fc.constantFrom(Number.NaN, Infinity, -Infinity),
  );
  fc.assert(
    fc.property(
      fc.nat(),
      fc.record({image: rule, text: rule, decoder: rule}),
      fc.array(fc.tuple(threshold, threshold, threshold), {minLength: 1, maxLength: 4}),
      (seed, rules, settings) => {
        const data = recording(7, seed);
        const replay = new ThresholdReplay(data, rules);
        const table = replay.sweep(settings.flat());
        settings.forEach((setting, s) => {
          const wanted = slow(data, setting, rules);
          const mean = (of: (item: (typeof wanted)[number]) => number): number =>
            wanted.reduce((sum, x) => sum + of(x), 0) / wanted.length;
          expect(table.accuracy[s]).toBeCloseTo(
            mean((x) => x.correct),
            12,
          );
          expect(table.agreement[s]).toBeCloseTo(
            mean((x) => x.agrees),
            12,
          );
          expect(table.imageLayers[s]).toBeCloseTo(
            mean((x) => x.image),
            12,
          );
          expect(table.textLayers[s]).toBeCloseTo(
            mean((x) => x.text),
            12,
          );
          expect(table.decoderLayers[s]).toBeCloseTo(
            mean((x) => x.decoder),
            12,
          );
          expect(table.costs.macs![s]).toBeCloseTo(
            mean((x) => x.macs),
            12,
          );
          expect(table.costs.layers![s]).toBeCloseTo(
            mean((x) => x.layers),
            12,
          );
          const run = wanted.map(({image, text, decoder}) => ({encoder: (image + text) / 2, decoder}));
          expect(table.etr[s]).toBeCloseTo(expectedTimeReduction(run, {encoder: 2.5, decoder: 4}), 12);
          const items = replay.outcomes(...setting);
          expect([...items.imageLayers]).toEqual(wanted.map((x) => x.image));
          expect([...items.textLayers]).toEqual(wanted.map((x) => x.text));
          expect([...items.decoderLayers]).toEqual(wanted.map((x) => x.decoder));
          expect([...items.predictions]).toEqual(wanted.map((x) => x.prediction));
          expect([...items.correct]).toEqual(wanted.map((x) => x.correct));
          expect([...items.agrees]).toEqual(wanted.map((x) => x.agrees));
          expect([...items.costs.macs!]).toEqual(wanted.map((x) => x.macs));
        });
      },
    ),
    {numRuns: 60},
  );
});

test('a score equal to the threshold exits under "at-least", not under "above"', () => {
  const data = recording(1, 0);
  const same = {...data, decoder: data.decoder.map(() => 0.5)};
  expect(new ThresholdReplay(same).outcomes(2, 2, 0.5).decoderLayers[0]).toBe(4);
  expect(new ThresholdReplay(same, {decoder: 'at-least'}).outcomes(2, 2, 0.5).decoderLayers[0]).toBe(1);
});

test('fixed depths, and thresholds that never exit, agree with the recording', () => {
  const data = recording(9, 2);
  const replay = new ThresholdReplay(data);
  const deep = replay.fixed(3, 2, 4);
  expect(replay.outcomes(2, 2, 2)).toEqual(deep);
  expect([...deep.agrees]).toEqual(new Array<number>(9).fill(1));
  expect([...replay.fixed(2, 1, 3).predictions]).toEqual(
    Array.from({length: 9}, (_, i) => data.predictions[i * grid + 1 * 8 + 0 * 4 + 2]!),
  );
  expect(() => replay.fixed(0, 1, 1)).toThrow(UsageError);
});

test('refuses NaN scores but not behind the last layer, wrong lengths, and nothing', () => {
  const data = recording(2, 3);
  const spoilt = (at: number): ReplayData => ({
    ...data,
    decoder: data.decoder.map((score, i) => (i === at ? Number.NaN : score)),
  });
  expect(() => new ThresholdReplay(spoilt(4))).toThrow('decoder score after layer 1 is NaN');
  expect(() => new ThresholdReplay(spoilt(7))).not.toThrow();
  expect(() => new ThresholdReplay({...data, labels: new Uint8Array(1)})).toThrow(
    'labels has 1 numbers; the depths ask for 2',
  );
  expect(() => new ThresholdReplay({...data, n: 0})).toThrow(InputError);
  expect(() => new ThresholdReplay(data).sweep([0.5, 0.5])).toThrow(UsageError);
});

test('thresholds as a problem for Pareto Testing: both losses, any recorded cost', () => {
  const data = recording(40, 6);
  const replay = new ThresholdReplay(data);
  const thresholds = [0.3, 0.5, 0.2, 0.9, 0.1, 0.6];
  const full = replay.fixed(3, 2, 4);
  for (const candidate of [0, 1]) {
    const [image, text, decoder] = thresholds.slice(3 * candidate) as [number, number, number];
    const items = replay.outcomes(image, text, decoder);
    const gap = replayProblem(replay, thresholds, {loss: 'quality-gap', cost: 'macs'});
    expect(gap.candidates).toBe(2);
    expect(Array.from(gap.loss(candidate))).toEqual(
      Array.from(items.correct, (right, i) => (full.correct[i] === 1 && right === 0 ? 1 : 0)),
    );
    expect(Array.from(gap.cost(candidate))).toEqual(Array.from(items.costs.macs!, Math.fround));
    const same = replayProblem(replay, thresholds, {loss: 'consistency', cost: 'layers'});
    expect(Array.from(same.loss(candidate))).toEqual(Array.from(items.agrees, (agrees) => 1 - agrees));
    const layers = same.cost(candidate);
    for (let i = 0; i < 40; i++)
      expect(layers[i]).toBe((items.imageLayers[i]! + items.textLayers[i]!) / 2 + items.decoderLayers[i]!);
  }
  expect(() => replayProblem(replay, thresholds, {loss: 'consistency', cost: 'ms'})).toThrow(
    "no cost 'ms' was recorded",
  );
});
