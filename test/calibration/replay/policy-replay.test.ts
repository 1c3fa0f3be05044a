import * as tf from '@tensorflow/tfjs';
import {crossFittedHeads, decoderHead} from '../../../src/calibration/replay/decoder-head.js';
import {decoderMeasures} from '../../../src/calibration/replay/decoder-scores.js';
import {PolicyReplay} from '../../../src/calibration/replay/policy-replay.js';
import {DECODER_POLICIES, type PolicySetting, settingPlan} from '../../../src/calibration/policy-setting.js';
import {
  cellDepths,
  cheapestOracle,
  decoderOracle,
  randomWithHistogram,
} from '../../../src/calibration/replay/baselines.js';
import {settingGrid, staticSettings} from '../../../src/calibration/settings/grid.js';
import {confidence} from '../../../src/exit/policies/confidence.js';
import {headScore} from '../../../src/exit/policies/linear-head.js';
import {exitPlanSchema} from '../../../src/exit/plan/schema.js';
import {createPolicy} from '../../../src/exit/plan/policies.js';
import {InputError} from '../../../src/runtime/errors.js';
import {syntheticRecording} from '../../support/data/synthetic-recording.js';

const recording = syntheticRecording(30);
const replay = new PolicyReplay(recording);
const [I, T, L] = [3, 2, 4];
const G = I * T * L;
const heads = crossFittedHeads(replay.measures, replay.pictures, 0);
const logitsAt = (cell: number): number[] => Array.from(recording.logits.subarray(3 * cell, 3 * cell + 3));

/** Where the policy leaves: its own code is asked where it looks at logits only, else its definition. */
async function decoderDepth(setting: PolicySetting, first: number): Promise<number> {
  const {policy, decoder} = setting;
  if (
    policy === 'patience' ||
    policy === 'patience-confidence' ||
    policy === 'softmax-margin' ||
    policy === 'softmax-max' ||
    policy === 'entropy'
  ) {
    const plan = settingPlan(setting, recording.header);
    const running = createPolicy({...plan, stacks: {decoder: plan.stacks.decoder!}}, {decoder: L});
    for (let layer = 1; layer < L; layer++) {
      const logits = tf.tensor2d([logitsAt(first + layer - 1)]);
      const state = tf.zeros([1, 1, 1]) as tf.Tensor3D;
      const {exit} = await running.observe(state, state, {stack: 'decoder', layer, depth: L}, () => logits);
      tf.dispose([logits, state]);
      if (exit) return layer;
    }
    return L;
  }
  for (let layer = 1; layer < L; layer++) {
    const score = recording.similarity[first + layer - 1]!;
    if (policy === 'similarity' && decoder !== null && decoder < 1 && score > decoder) return layer;
    if (policy === 'fixed' && decoder === layer) return layer;
    if (policy === 'quantile-budget') {
      const value = setting.score === 'similarity' ? score : confidence(logitsAt(first + layer - 1)).margin;
      const threshold = setting.thresholds![layer - 1] ?? null;
      if (threshold !== null && value >= threshold) return layer;
    }
    if (policy === 'linear-head' && decoder !== null) {
      const {margin, max, entropy} = confidence(logitsAt(first + layer - 1));
      if (headScore(heads(Math.floor(first / G)), layer, [score, margin, max, entropy]) >= decoder) return layer;
    }
  }
  return L;
}

function encoderDepth(scores: ArrayLike<number>, value: number | null, fixed: boolean, depth: number): number {
  if (value === null) return depth;
  if (fixed) return value;
  for (let l = 0; l < depth - 1; l++) if (value < 1 && scores[l]! > value) return l + 1;
  return depth;
}

test.each(DECODER_POLICIES)('the replay of %s exits where the policy does', async (policy) => {
  const grid = settingGrid(replay, {policies: [policy], count: 4});
  const settings = grid.filter((_, i) => i % Math.ceil(grid.length / 12) === 0).concat(grid.at(-1)!);
  expect(new Set(grid.map((setting) => setting.policy))).toEqual(new Set([policy]));
  const table = replay.sweep(settings);
  for (const [s, setting] of settings.entries()) {
    const items = replay.outcomes(setting);
    let [right, layers] = [0, 0];
    for (let i = 0; i < recording.n; i++) {
      const fixed = setting.encoder === 'fixed';
      const image = encoderDepth(recording.image.subarray(i * I, i * I + I), setting.image, fixed, I);
      const text = encoderDepth(recording.text.subarray(i * T, i * T + T), setting.text, fixed, T);
      const first = i * G + ((image - 1) * T + text - 1) * L;
      const depth = await decoderDepth(setting, first);
      expect([items.imageLayers[i], items.textLayers[i], items.decoderLayers[i]]).toEqual([image, text, depth]);
      const cell = first + depth - 1;
      expect(items.predictions[i]).toBe(confidence(logitsAt(cell)).argmax);
      expect(items.costs['macs']![i]).toBe(100 + (i % 3) + 20 * (image - 1) + 2 * (text - 1) + 5 * (depth - 1));
      right += Number(items.predictions[i] === recording.labels[i]);
      layers += depth;
    }
    expect(table.accuracy[s]).toBeCloseTo(right / recording.n, 12);
    expect(table.decoderLayers[s]).toBeCloseTo(layers / recording.n, 12);
  }
});

test('a grid goes from leaving at once to never, and thresholds lie between scores', () => {
  for (const policy of ['similarity', 'softmax-margin', 'softmax-max', 'entropy', 'linear-head'] as const) {
    const settings = settingGrid(replay, {policies: [policy], count: 5});
    const {decoderLayers} = replay.sweep(settings);
    expect(Math.min(...decoderLayers)).toBe(1);
    expect(Math.max(...decoderLayers)).toBe(L);
    const seen = new Set(
      policy === 'entropy'
        ? replay.measures.entropy
        : policy === 'similarity'
          ? recording.similarity
          : replay.measures.margin,
    );
    for (const {decoder} of settings)
      expect(decoder === null || !seen.has(Math.fround(decoder)) || !seen.has(decoder)).toBe(true);
  }
});

test('every setting is a plan that the plan reader takes, for the recording’s model', () => {
  const {measures} = replay;
  const head = decoderHead(measures, [0, 1, 2, 3], 0);
  for (const setting of settingGrid(replay, {count: 3})) {
    const plan = settingPlan(setting, recording.header, head);
    const parsed = exitPlanSchema.parse(JSON.parse(JSON.stringify(plan)));
    expect(parsed.model).toBe(recording.header.model);
    expect(createPolicy(parsed, {'encoder.image': I, 'encoder.text': T, decoder: L}).name).toBeDefined();
  }
});

test('static settings are all combinations, in the order of the recording', () => {
  const settings = staticSettings(replay);
  expect(settings.map(({image, text, decoder}) => ({image, text, decoder}))).toEqual(
    Array.from({length: G}, (_, cell) => cellDepths(cell, {text: T, decoder: L})),
  );
  const {accuracy} = replay.sweep(settings);
  const answer = decoderMeasures(recording).answer;
  accuracy.forEach((value, cell) => {
    const right = Array.from({length: 30}, (_, i) => Number(answer[i * G + cell] === recording.labels[i])).reduce(
      (a, b) => a + b,
    );
    expect(value).toBeCloseTo(right / 30, 12);
  });
});

test('oracles know the answer: the first layer that agrees, or is right; the cheapest combination', () => {
  const {answer} = replay.measures;
  const agreement = decoderOracle(replay, 1, 2, 'agreement');
  const correct = decoderOracle(replay, 1, 2, 'correct');
  const cheapest = cheapestOracle(replay, 'agreement', 'macs');
  for (let i = 0; i < 30; i++) {
    const words = Array.from(answer.subarray(i * G + L, i * G + 2 * L));
    expect(agreement.decoderLayers[i]).toBe(words.indexOf(words[L - 1]!) + 1);
    expect(correct.decoderLayers[i]).toBe(
      words.includes(recording.labels[i]!) ? words.indexOf(recording.labels[i]!) + 1 : L,
    );
    const least = Math.min(
      ...Array.from({length: G}, (_, c) => c)
        .filter((c) => answer[i * G + c] === answer[i * G + G - 1])
        .map((c) => replay.cellMacs(i, c)),
    );
    expect(cheapest.costs['macs']![i]).toBeCloseTo(least, 9);
  }
  expect(cheapest.agrees.every((x) => x === 1)).toBe(true);
});

test('random depths: of one depth for all it is that static point; of mixed depths, the mean over dealings', () => {
  const fixed = replay.fixed(2, 1, 3);
  const same = randomWithHistogram(replay, fixed);
  expect(same.accuracy).toBeCloseTo(replay.means(fixed).accuracy[0]!, 12);
  const setting: PolicySetting = {encoder: 'fixed', policy: 'softmax-margin', image: 1, text: 1, decoder: 0.6};
  const {decoderLayers} = replay.outcomes(setting);
  const expected =
    Array.from(decoderLayers, (d) => replay.means(replay.fixed(1, 1, d)).accuracy[0]!).reduce((a, b) => a + b) / 30;
  expect(randomWithHistogram(replay, replay.outcomes(setting)).accuracy).toBeCloseTo(expected, 12);
});

test('a head is trained on other pictures than it is replayed on', () => {
  const even = replay.pictures.flatMap((p, i) => (p % 2 === 0 ? [i] : []));
  expect(heads(3)).toEqual(decoderHead(replay.measures, even, 0));
  expect(heads(0)).not.toEqual(heads(3));
});

test('one item, items that are all equal, no item', () => {
  const one = new PolicyReplay(syntheticRecording(1));
  expect(one.sweep(settingGrid(one, {count: 4})).accuracy.every((x) => x === 0 || x === 1)).toBe(true);
  const equal = {...recording, image: recording.image.map(() => 0.5), similarity: recording.similarity.map(() => 0.5)};
  const flat = new PolicyReplay(equal);
  const {decoderLayers} = flat.sweep(settingGrid(flat, {policies: ['similarity'], count: 6}));
  expect([...new Set(decoderLayers)]).toEqual([1, L]);
  expect(() => new PolicyReplay(syntheticRecording(0))).toThrow(InputError);
});
