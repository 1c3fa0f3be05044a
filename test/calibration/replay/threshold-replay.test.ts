import fc from 'fast-check';
import {type ReplayData, type ReplayRules, ThresholdReplay} from '../../../src/calibration/replay/threshold-replay.js';
import {cellCount, fullDepth, type RecordedStacks} from '../../../src/calibration/stacks.js';
import {expectedTimeReduction} from '../../../src/metrics/savings.js';
import {InputError, UsageError} from '../../../src/runtime/errors.js';
import {seededRandom} from '../../../src/runtime/random.js';

const STACKS: RecordedStacks = [
  {stack: 'encoder.image', depth: 3},
  {stack: 'encoder.text', depth: 2},
  {stack: 'decoder', depth: 4},
];
const grid = cellCount(STACKS);
/** Values of the three stacks by name. */
const named = <T>(image: T, text: T, decoder: T) => ({'encoder.image': image, 'encoder.text': text, decoder});

function recording(n: number, seed: number): ReplayData {
  const random = seededRandom(seed);
  const scores = (length: number): Float32Array =>
    Float32Array.from({length}, () => Math.floor(random.next() * 10) / 10);
  const classes = (length: number): Uint8Array => Uint8Array.from({length}, () => random.below(3));
  return {
    n,
    stacks: STACKS,
    scores: named(scores(n * 3), scores(n * 2), scores(n * grid)),
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
    below: (s: number, t: number) => s < t,
  };
  const exit = (scores: Float32Array, rule: keyof typeof passes, threshold: number): number => {
    const at = [...scores].slice(0, -1).findIndex((score) => passes[rule](score, threshold));
    return at < 0 ? scores.length : at + 1;
  };
  const {'encoder.image': images, 'encoder.text': texts, decoder: decoders} = data.scores;
  return Array.from({length: data.n}, (_, i) => {
    const image = exit(images!.subarray(i * 3, i * 3 + 3), rules['encoder.image'] ?? 'above', thresholds[0]!);
    const text = exit(texts!.subarray(i * 2, i * 2 + 2), rules['encoder.text'] ?? 'above', thresholds[1]!);
    const row = i * grid + ((image - 1) * 2 + text - 1) * 4;
    const decoder = exit(decoders!.subarray(row, row + 4), rules.decoder ?? 'above', thresholds[2]!);
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

test('ThresholdReplay: sweep and outcomes are the definition, for every rule', () => {
  const rule = fc.constantFrom('above', 'at-least', 'below');
  const threshold = fc.oneof(
    fc.integer({min: 0, max: 10}).map((x) => Math.fround(x / 10)),
    fc.constantFrom(Number.NaN, Infinity, -Infinity),
  );
  fc.assert(
    fc.property(
      fc.nat(),
      fc.record({'encoder.image': rule, 'encoder.text': rule, decoder: rule}),
      fc.array(fc.tuple(threshold, threshold, threshold), {minLength: 1, maxLength: 4}),
      (seed, rules, settings) => {
        const data = recording(7, seed);
        const replay = new ThresholdReplay(data, rules);
        const table = replay.sweep(settings.map((setting) => named(...setting)));
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
          expect(table.layers['encoder.image']![s]).toBeCloseTo(
            mean((x) => x.image),
            12,
          );
          expect(table.layers['encoder.text']![s]).toBeCloseTo(
            mean((x) => x.text),
            12,
          );
          expect(table.layers.decoder![s]).toBeCloseTo(
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
          const items = replay.outcomes(named(...setting));
          expect([...items.layers['encoder.image']!]).toEqual(wanted.map((x) => x.image));
          expect([...items.layers['encoder.text']!]).toEqual(wanted.map((x) => x.text));
          expect([...items.layers.decoder!]).toEqual(wanted.map((x) => x.decoder));
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

test('ThresholdReplay: a score equal to the threshold exits under "at-least", not under "above"', () => {
  const data = recording(1, 0);
  const same = {...data, scores: {...data.scores, decoder: data.scores.decoder!.map(() => 0.5)}};
  expect(new ThresholdReplay(same).outcomes(named(2, 2, 0.5)).layers.decoder![0]).toBe(4);
  expect(new ThresholdReplay(same, {decoder: 'at-least'}).outcomes(named(2, 2, 0.5)).layers.decoder![0]).toBe(1);
});

test('ThresholdReplay: fixed depths, and thresholds that never exit, agree with the recording', () => {
  const data = recording(9, 2);
  const replay = new ThresholdReplay(data);
  const deep = replay.fixed(fullDepth(STACKS));
  expect(replay.outcomes(named(2, 2, 2))).toEqual(deep);
  expect([...deep.agrees]).toEqual(new Array<number>(9).fill(1));
  expect([...replay.fixed(named(2, 1, 3)).predictions]).toEqual(
    Array.from({length: 9}, (_, i) => data.predictions[i * grid + 1 * 8 + 0 * 4 + 2]!),
  );
  expect(() => replay.fixed(named(0, 1, 1))).toThrow(UsageError);
});

test('ThresholdReplay: refuses NaN scores but not behind the last layer, wrong lengths, and nothing', () => {
  const data = recording(2, 3);
  const spoilt = (at: number): ReplayData => {
    const decoder = data.scores.decoder!.map((score, i) => (i === at ? Number.NaN : score));
    return {...data, scores: {...data.scores, decoder}};
  };
  expect(() => new ThresholdReplay(spoilt(4))).toThrow('decoder score after layer 1 is NaN');
  expect(() => new ThresholdReplay(spoilt(7))).not.toThrow();
  expect(() => new ThresholdReplay({...data, labels: new Uint8Array(1)})).toThrow(
    'labels has 1 numbers; the depths ask for 2',
  );
  expect(() => new ThresholdReplay({...data, n: 0})).toThrow(InputError);
});
