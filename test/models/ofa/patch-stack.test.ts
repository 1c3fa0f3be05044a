import * as tf from '@tensorflow/tfjs';
import {createPolicy} from '../../../src/exit/plan/policies.js';
import {NEVER_PLAN, type StackPlan} from '../../../src/exit/plan/schema.js';
import {type ExitPolicy, never, type PolicyPerImage} from '../../../src/exit/policy.js';
import {similarity} from '../../../src/exit/policies/similarity.js';
import {type OfaConfig, ofaConfigOfSize} from '../../../src/models/ofa/config.js';
import type {OfaEncoded} from '../../../src/models/ofa/encode.js';
import {OfaModel} from '../../../src/models/ofa/model.js';
import {randomWeights} from '../../../src/node/model/random-model.js';
import {TensorScope} from '../../../src/runtime/tensor-scope.js';
import {onBackends} from '../../support/backends.js';
import {closeArrays, STATES} from '../../support/golden/close-to.js';
import {valueWithoutLeaks} from '../../support/leaks.js';

/** A model whose ResNet ends in three blocks that keep the shape of their input, on a map of 2 × 2. */
const CONFIG: OfaConfig = {
  ...ofaConfigOfSize('tiny', {train_mue: true}),
  d_model: 32,
  encoder_layers: 2,
  decoder_layers: 2,
  encoder_ffn_dim: 64,
  decoder_ffn_dim: 64,
  resnet_layers: [1, 1, 4],
  vocab_size: 60,
  code_dict_size: 0,
  num_bins: 0,
  max_source_positions: 32,
  max_target_positions: 32,
  token_bucket_size: 16,
  image_bucket_size: 4,
  patch_image_size: 32,
};
const DEPTH = 3;
const PROMPT = [0, 5, 9, 2];
const BLOCK = 4 * (2 * 1024 * 256 + 9 * 256 ** 2);
const LOOK = 3 * 4 * 1024;

const patchPlan = (plan: StackPlan, model: OfaModel): ExitPolicy =>
  createPolicy({...NEVER_PLAN, stacks: {'encoder.patch': plan}}, {...model.stacks, ...model.optionalStacks});

onBackends('encoder.patch', () => {
  let model: OfaModel;
  let pixels: tf.Tensor4D;
  beforeAll(async () => {
    model = await OfaModel.load(CONFIG, randomWeights(CONFIG));
    pixels = tf.randomUniform([3, 32, 32, 3], -1, 1, 'float32', 7) as tf.Tensor4D;
  });
  afterAll(() => {
    pixels.dispose();
    model[Symbol.dispose]();
  });
  const one = (b: number): tf.Tensor4D => tf.slice(pixels, [b, 0, 0, 0], [1, -1, -1, -1]);
  const read = async (encoded: OfaEncoded): Promise<Float32Array> => (await encoded.states.data()) as Float32Array;
  /** States of image `b`, with what its encoding did. */
  const encode = async (
    b: number,
    policy: PolicyPerImage,
  ): Promise<{states: Float32Array; run: OfaEncoded['runs'][0]}> =>
    await valueWithoutLeaks(async () => {
      using scope = new TensorScope();
      const encoded = scope.hold(await model.encode({pixels: scope.hold(one(b)), prompts: [PROMPT]}, policy));
      return {states: await read(encoded), run: encoded.runs[0]!};
    });
  const fixedAt = (layers: number): ExitPolicy => patchPlan({policy: 'fixed', layers}, model);

  test('is an optional stack of models whose last stage has more than one block', async () => {
    expect(model.optionalStacks).toEqual({'encoder.patch': DEPTH});
    expect(Object.keys(model.stacks)).not.toContain('encoder.patch');
    const short = {...CONFIG, resnet_layers: [1, 1, 1] as const};
    const without = await OfaModel.load(short, randomWeights(short));
    expect(without.optionalStacks).toEqual({});
    expect(() => patchPlan({policy: 'fixed', layers: 1}, without)).toThrow(
      expect.objectContaining({code: 'plan-stack'}),
    );
    without[Symbol.dispose]();
  });

  test.each<[string, () => ExitPolicy]>([
    ['never', () => never],
    ['a plan that says never', () => patchPlan({policy: 'never'}, model)],
    ['a policy for any stack, which would leave at once', () => similarity({threshold: -2})],
  ])('leaves no trace and costs nothing without a plan for it: %s', async (_, policy) => {
    const {run} = await encode(0, policy());
    expect(run.traces.map(({stack}) => stack)).toEqual(['encoder.image', 'encoder.text']);
    expect(run.macs.full).toBe((await encode(0, never)).run.macs.full);
  });

  test('at its full depth gives the same states, to the bit, and the same cost', async () => {
    const [full, wanted] = [await encode(0, fixedAt(DEPTH)), await encode(0, never)];
    expect(full.states).toEqual(wanted.states);
    expect(full.run.macs).toEqual(wanted.run.macs);
    expect(full.run.traces[0]).toMatchObject({stack: 'encoder.patch', exitLayer: DEPTH, depth: DEPTH, exited: false});
  });

  test.each([0, 1, 2])('at depth %d feeds the streams the map after so many blocks', async (layers) => {
    const {states, run} = await encode(1, fixedAt(layers));
    using scope = new TensorScope();
    const {resnet} = model.encoder;
    let map = scope.hold(resnet.forwardFront(scope.hold(one(1))));
    for (let layer = 0; layer < layers; layer++) map = scope.hold(resnet.patchLayer(map, layer));
    const prefix = scope.hold(await model.encoding.encodeFeatures(map, 0, {prompts: [PROMPT]}, never));
    expect(states).toEqual(await read(prefix));
    const {macs} = (await encode(1, never)).run;
    expect(run.macs).toEqual({full: macs.full, run: macs.full - (DEPTH - layers) * BLOCK});
    expect(run.traces[0]).toMatchObject({exitLayer: layers, exited: true});
  });

  test('images of a batch leave each for itself', async () => {
    using scope = new TensorScope();
    const policies = [fixedAt(2), fixedAt(0), never];
    const encoded = scope.hold(await model.encode({pixels, prompts: [PROMPT, PROMPT, PROMPT]}, policies));
    expect(encoded.runs.map(({traces}) => traces[0])).toMatchObject([{exitLayer: 2}, {exitLayer: 0}, {exitLayer: 3}]);
    const states = await read(encoded);
    const size = states.length / 3;
    for (const [b, policy] of policies.entries()) {
      const alone = await encode(b, policy);
      closeArrays(states.slice(b * size, (b + 1) * size), alone.states, STATES);
      expect(encoded.runs[b]!.macs).toEqual(alone.run.macs);
    }
  });

  test('of one image that several prompts are about decides once', async () => {
    using scope = new TensorScope();
    const policies = [fixedAt(1), fixedAt(1)];
    const encoded = scope.hold(await model.encode({pixels: scope.hold(one(0)), prompts: [PROMPT, PROMPT]}, policies));
    const alone = await encode(0, fixedAt(1));
    const states = await read(encoded);
    for (const part of [states.slice(0, states.length / 2), states.slice(states.length / 2)])
      closeArrays(part, alone.states, STATES);
    expect(encoded.runs.map(({macs}) => macs)).toEqual([alone.run.macs, alone.run.macs]);
  });

  test('takes policies that look at states, whose looks are counted', async () => {
    const {run} = await encode(0, patchPlan({policy: 'similarity', threshold: -1}, model));
    expect(run.traces[0]).toMatchObject({exitLayer: 1, scores: [expect.any(Number)], thresholds: [-1]});
    expect(run.macs.full - run.macs.run).toBe((DEPTH - 1) * BLOCK - LOOK);
  });

  test('can be interrupted between two blocks, and leaves no tensor', async () => {
    using scope = new TensorScope();
    const controller = new AbortController();
    const policy: ExitPolicy = {
      name: 'aborts',
      stacks: ['encoder.patch'],
      observe: () => {
        controller.abort();
        return Promise.resolve({exit: false});
      },
    };
    const input = {pixels: scope.hold(one(0)), prompts: [PROMPT]};
    const before = tf.memory().numTensors;
    await expect(model.encode(input, policy, {signal: controller.signal})).rejects.toMatchObject({code: 'aborted'});
    expect(tf.memory().numTensors).toBe(before);
  });
});

test('createPolicy: depth 0 is for encoder.patch alone', () => {
  const plan = {policy: 'fixed', layers: 0};
  const depths = {'encoder.patch': 5, 'encoder.image': 6} as const;
  const policy = createPolicy({...NEVER_PLAN, stacks: {'encoder.patch': plan}}, depths);
  expect([policy.stacks, policy.skips?.('encoder.patch'), policy.skips?.('encoder.image')]).toEqual([
    ['encoder.patch'],
    true,
    false,
  ]);
  expect(() => createPolicy({...NEVER_PLAN, stacks: {'encoder.image': plan}}, depths)).toThrow(
    expect.objectContaining({code: 'depth-invalid'}),
  );
});
