import * as tf from '@tensorflow/tfjs';
import {confidence, softmaxMargin} from '../../src/exit/policies/confidence.js';
import {similarity} from '../../src/exit/policies/similarity.js';
import {fixed} from '../../src/exit/policies/static.js';
import {never} from '../../src/exit/policy.js';
import {recordingPolicy} from '../../src/exit/recording.js';
import {runStack} from '../../src/exit/run-stack.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

/** Layer i turns the state [1, 0] by less and less. */
const ANGLES = [0, 1, 1.5, 1.6, 1.61];
const state = (layer: number): tf.Tensor3D =>
  tf.tensor3d([Math.cos(ANGLES[layer]!), Math.sin(ANGLES[layer]!)], [1, 1, 2]);
const LOGITS = [
  [0, 0, 1],
  [3, 0, 1],
  [4, 0, 1],
  [1, 5, 1],
];
const run = async (policy: Parameters<typeof runStack>[3], step = 0) => {
  let layer = 0;
  const x = state(0);
  const result = await runStack(x, (_, l) => state(l + 1), {stack: 'decoder', depth: 4, step, maxSteps: 3}, policy, {
    logits: () => tf.tensor2d(LOGITS[layer++]!, [1, 3]),
  });
  x.dispose();
  result.x.dispose();
  return result.trace;
};

test('every layer is measured at full depth, and the exit of the policy only noted', async () => {
  const before = tf.memory().numTensors;
  const {policy, passes} = recordingPolicy(similarity({threshold: 0.8}));
  const trace = await run(policy);
  await run(policy, 1);
  expect(tf.memory().numTensors).toBe(before);
  expect(trace).toMatchObject({exitLayer: 4, exited: false});
  expect(passes).toMatchObject([
    {stack: 'decoder', step: 0, depth: 4, exit: 2},
    {step: 1, exit: 2},
  ]);
  const {layers} = passes[0]!;
  expect(layers.map(({layer}) => layer)).toEqual([1, 2, 3, 4]);
  layers.forEach(({similarity: cosine, confidences, words}, i) => {
    expect(cosine).toBeCloseTo(Math.cos(ANGLES[i + 1]! - ANGLES[i]!), 5);
    expect(words).toBe(3);
    const expected = confidence(LOGITS[i]!);
    expect(confidences![0]!.argmax).toBe(expected.argmax);
    for (const key of ['margin', 'max', 'entropy'] as const)
      expect(confidences![0]![key]).toBeCloseTo(expected[key], 6);
  });
  // Above its exit the policy was not asked.
  expect(layers.map(({threshold}) => threshold)).toEqual([0.8, 0.8, undefined, undefined]);
});

test('following takes the exits of the policy', async () => {
  const {policy, passes} = recordingPolicy(softmaxMargin({threshold: 0.7}), {follow: true});
  expect(await run(policy)).toMatchObject({exitLayer: 2, exited: true, thresholds: [0.7, 0.7]});
  expect(passes[0]).toMatchObject({exit: 2, layers: [{layer: 1}, {layer: 2}]});
});

test('stacks without a head are never asked for words; never and fixed are policies as any', async () => {
  const x = state(0);
  for (const [inner, exit] of [
    [never, undefined],
    [fixed({layers: 3}), 3],
  ] as const) {
    const {policy, passes} = recordingPolicy(inner);
    const {x: last} = await runStack(x, (_, l) => state(l + 1), {stack: 'encoder.image', depth: 4}, policy);
    last.dispose();
    expect(passes).toHaveLength(1);
    expect(passes[0]!.exit).toBe(exit);
    expect(passes[0]!.layers).toHaveLength(4);
    expect(passes[0]!.layers[3]).not.toHaveProperty('confidences');
  }
  x.dispose();
});
