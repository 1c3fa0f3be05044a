import * as tf from '@tensorflow/tfjs';
import {DECODER_POLICIES, type PolicySetting, settingPlan} from '../../../src/calibration/policy-setting.js';
import {parseRecording} from '../../../src/calibration/recording/entailment.js';
import {crossFittedHeads, decoderHead} from '../../../src/calibration/replay/decoder-head.js';
import {PolicyReplay} from '../../../src/calibration/replay/policy-replay.js';
import {settingGrid} from '../../../src/calibration/settings/grid.js';
import {confidence} from '../../../src/exit/policies/confidence.js';
import {createPolicy} from '../../../src/exit/plan/policies.js';
import type {StackName} from '../../../src/exit/policy.js';
import {InputError} from '../../../src/runtime/errors.js';
import {mean} from '../../../src/statistics/descriptive.js';
import {
  JOINT_HEADER,
  SYNTHETIC_HEADER,
  syntheticRecording,
  TOWERS_HEADER,
} from '../../support/data/synthetic-recording.js';
import {similar} from '../../support/settings.js';

const recording = syntheticRecording(30);
const replay = new PolicyReplay(recording);
const L = 4;
const heads = crossFittedHeads(replay.measures, replay.pictures, 0);

/** Two states with this cosine, to 14 digits, in float32. */
function states(cosine: number): readonly [tf.Tensor3D, tf.Tensor3D] {
  const large = Math.fround(Math.sqrt(1 - cosine ** 2) * (1 - 1e-7));
  const rest = Math.sqrt(1 - cosine ** 2 - large ** 2);
  return [tf.tensor3d([[[1, 0, 0]]]), tf.tensor3d([[[cosine, large, rest]]])];
}

/** Runs a policy over the layers of a stack. @returns the layer after which it leaves */
async function exitLayer(
  plan: ReturnType<typeof settingPlan>,
  {stack, depth}: {readonly stack: StackName; readonly depth: number},
  similarity: Float32Array,
  logits: (layer: number) => number[],
): Promise<number> {
  const policy = createPolicy({...plan, stacks: {[stack]: plan.stacks[stack]!}}, {[stack]: depth});
  for (let layer = 1; layer < depth; layer++) {
    const [before, after] = states(similarity[layer - 1]!);
    const scores = tf.tensor2d([logits(layer)]);
    const {exit} = await policy.observe(before, after, {stack, layer, depth}, () => scores);
    tf.dispose([before, after, scores]);
    if (exit) return layer;
  }
  return depth;
}

const MODELS = {streams: SYNTHETIC_HEADER, joint: JOINT_HEADER};
const cases = DECODER_POLICIES.flatMap((policy) =>
  (['streams', 'joint'] as const).map((model) => [policy, model] as const),
);

test.each(cases)('PolicyReplay: %s exits where the running policy does, in every stack: %s', async (policy, model) => {
  const recorded = syntheticRecording(30, {header: MODELS[model]});
  const {header, similarity, logits, labels} = recorded;
  const replayed = new PolicyReplay(recorded);
  const learnt = crossFittedHeads(replayed.measures, replayed.pictures, 0);
  const scoresAt = (cell: number): number[] => Array.from(logits.subarray(3 * cell, 3 * cell + 3));
  const grid = settingGrid(replayed, {policies: [policy], count: 4});
  const settings = grid.filter((_, i) => i % Math.ceil(grid.length / 12) === 0).concat(grid.at(-1)!);
  expect(new Set(grid.map((setting) => setting.policy))).toEqual(new Set([policy]));
  const table = replayed.sweep(settings);
  const {stacks} = header;
  for (const [s, setting] of settings.entries()) {
    const items = replayed.outcomes(setting);
    // Every second item: of each picture one, or two.
    for (let i = 0; i < recorded.n; i += 2) {
      const plan = settingPlan(setting, header, learnt(i));
      const run: number[] = [];
      let cell = 0;
      let macs = 100 + (i % 3);
      for (const [k, own] of stacks.entries()) {
        const last = k === stacks.length - 1;
        const first = last ? (i * replayed.measures.grid) / own.depth + cell : i;
        const seen = similarity[own.stack]!.subarray(first * own.depth, (first + 1) * own.depth);
        const scores = (layer: number): number[] => (last ? scoresAt(first * own.depth + layer - 1) : [0]);
        const layers = await exitLayer(plan, own, seen, scores);
        run.push(layers);
        cell = cell * own.depth + layers - 1;
        macs += (last ? 5 : [20, 2][k]!) * (layers - 1);
      }
      expect({setting, i, run: stacks.map(({stack}) => items.layers[stack]![i])}).toEqual({setting, i, run});
      expect(items.predictions[i]).toBe(confidence(scoresAt(i * replayed.measures.grid + cell)).argmax);
      expect(items.costs['macs']![i]).toBe(macs);
      expect(items.correct[i]).toBe(Number(items.predictions[i] === labels[i]));
    }
    expect(table.accuracy[s]).toBeCloseTo(mean(items.correct), 12);
    expect(table.layers.decoder![s]).toBeCloseTo(mean(items.layers.decoder!), 12);
  }
});

test('PolicyReplay: a setting of a model with another number of stacks is refused', () => {
  const joint = new PolicyReplay(syntheticRecording(6, {header: JOINT_HEADER}));
  const {text: _, ...shorter} = similar(0.9, null);
  expect(joint.outcomes(shorter).layers).toHaveProperty('encoder');
  const refused = expect.objectContaining({code: 'settings-stacks'}) as unknown as Error;
  expect(() => joint.outcomes(similar(0.9, null))).toThrow(refused);
  expect(() => replay.outcomes(shorter)).toThrow(refused);
});

describe('PolicyReplay: one item, worked out by hand', () => {
  // Behind every cut the last stack has similarities .5, .9, and answers 0, 0, 1 that get surer: largest probabilities
  // .333, .787, .909, entropies 1.099, .665, .366 nats.
  const floats = (values: readonly number[]): string =>
    Buffer.from(Float32Array.from(values).buffer).toString('base64');
  const cuts = [1, 2, 3, 4];
  const header = {
    ...SYNTHETIC_HEADER,
    stacks: [
      {stack: 'encoder.image', depth: 2},
      {stack: 'encoder.text', depth: 2},
      {stack: 'decoder', depth: 3},
    ],
  };
  const row = {
    index: 0,
    id: 'a',
    imageId: 'a',
    label: 'yes',
    encoder: [
      [0.5, 0.9],
      [0.2, 0.8],
    ],
    similarity: floats(cuts.flatMap(() => [0.5, 0.9, 1])),
    logits: floats(
      cuts.flatMap(() =>
        [
          [0, 0, 0],
          [2, 0, 0],
          [0, 3, 0],
        ].flat(),
      ),
    ),
    macs: {base: 10, layer: [1, 2, 4]},
  };
  const item = new PolicyReplay(parseRecording(header, [row], 'by hand'));
  const fixed = (policy: PolicySetting['policy'], decoder: number | null, rest: Partial<PolicySetting> = {}) =>
    ({encoder: 'fixed', image: 1, text: 1, policy, decoder, ...rest}) as const;

  test.each<readonly [number, PolicySetting]>([
    [1, fixed('similarity', 0.4)],
    [2, fixed('similarity', 0.5)],
    [3, fixed('similarity', 0.95)],
    [3, fixed('similarity', 1)],
    [3, fixed('similarity', null)],
    [1, fixed('softmax-max', 1 / 3)],
    [2, fixed('softmax-max', 0.7)],
    [3, fixed('softmax-max', 0.8)],
    [2, fixed('softmax-margin', 0.6)],
    [2, fixed('entropy', 1)],
    [3, fixed('entropy', 0.6)],
    [1, fixed('patience', 1)],
    [2, fixed('patience', 2)],
    [3, fixed('patience', 3)],
    [2, fixed('patience-confidence', 0.3, {patience: 2})],
    [3, fixed('patience-confidence', 0.5, {patience: 2})],
    [2, fixed('fixed', 2)],
    [2, fixed('quantile-budget', 1, {score: 'similarity', thresholds: [0.6, 0.85, null]})],
    [3, fixed('quantile-budget', 1, {score: 'softmax-margin', thresholds: [0.1, null, null]})],
  ])('the last stack runs %d layers under %j', (layers, setting) => {
    expect(item.outcomes(setting)).toMatchObject({
      layers: {'encoder.image': Uint8Array.of(1), 'encoder.text': Uint8Array.of(1), decoder: Uint8Array.of(layers)},
      predictions: Uint8Array.of(layers === 3 ? 1 : 0),
      correct: Uint8Array.of(layers === 3 ? 1 : 0),
      agrees: Uint8Array.of(layers === 3 ? 1 : 0),
      costs: {macs: Float64Array.of(10 + 4 * (layers - 1))},
    });
  });

  test.each<readonly [readonly [number, number], PolicySetting]>([
    [[1, 1], similar(0.4, 0.1)],
    [[2, 1], similar(0.5, 0.1)],
    [[1, 2], similar(0.4, 1)],
    [[2, 2], similar(null, null)],
    [[2, 1], {...fixed('similarity', null), image: 2}],
    [[1, 2], {...fixed('similarity', null), text: null}],
  ])('the stacks before it run %j layers under %j', ([image, text], setting) => {
    const {layers, costs} = item.outcomes(setting);
    expect([...layers['encoder.image']!, ...layers['encoder.text']!]).toEqual([image, text]);
    expect([...costs['macs']!]).toEqual([10 + (image - 1) + 2 * (text - 1) + 4 * 2]);
  });
});

test('PolicyReplay: a head is trained on other pictures than it is replayed on', () => {
  const even = replay.pictures.flatMap((p, i) => (p % 2 === 0 ? [i] : []));
  expect(heads(3)).toEqual(decoderHead(replay.measures, even, 0));
  expect(heads(0)).not.toEqual(heads(3));
});

test('PolicyReplay: one item, items that are all equal, no item', () => {
  const one = new PolicyReplay(syntheticRecording(1));
  expect(one.sweep(settingGrid(one, {count: 4})).accuracy.every((x) => x === 0 || x === 1)).toBe(true);
  const half = (scores: Float32Array | undefined): Float32Array => scores!.map(() => 0.5);
  const {'encoder.image': image, 'encoder.text': text, decoder} = recording.similarity;
  const similarity = {'encoder.image': half(image), 'encoder.text': text, decoder: half(decoder)};
  const flat = new PolicyReplay({...recording, similarity});
  const {layers} = flat.sweep(settingGrid(flat, {policies: ['similarity'], count: 6}));
  expect([...new Set(layers.decoder)]).toEqual([1, L]);
  expect(() => new PolicyReplay(syntheticRecording(0))).toThrow(InputError);
});

test('PolicyReplay: stacks are those of the recording, whatever their names', () => {
  const towers = new PolicyReplay(syntheticRecording(30, {header: TOWERS_HEADER}));
  const setting = similar(0.7, null, {policy: 'softmax-margin', decoder: 0.4});
  const {layers, ...rest} = towers.outcomes(setting);
  const {layers: streams, ...same} = replay.outcomes(setting);
  expect(rest).toEqual(same);
  expect(layers).toEqual({
    vision: streams['encoder.image'],
    text: streams['encoder.text'],
    multimodal: streams.decoder,
  });
});
