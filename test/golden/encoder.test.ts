import * as tf from '@tensorflow/tfjs';
import {never, stackPolicies} from '../../src/exit/policy.js';
import {similarity} from '../../src/exit/policies/similarity.js';
import {ImageBias} from '../../src/models/ofa/bias-tables.js';
import {imageBucket, tokenBucket} from '../../src/models/ofa/positions.js';
import {codePositionIds} from '../support/models/code-logits.js';
import type {OfaModel} from '../../src/models/ofa/model.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import {onBackends} from '../support/backends.js';
import {closeArrays, closeTo, SIMILARITIES, STATES} from '../support/golden/close-to.js';
import {golden, type GoldenArray} from '../support/golden/golden.js';
import {microModel} from '../support/models/micro-model.js';
import {goldenPixels} from '../support/data/pixels.js';
import {type RememberedFeatures, rememberFeatures} from '../support/models/remember-features.js';

interface PlainCase {
  readonly patches_h: number;
  readonly patches_w: number;
  readonly text_length: number;
  readonly src_tokens: readonly (readonly number[])[];
  readonly patch_masks: readonly boolean[];
}
interface PlainGolden {
  readonly cases: Readonly<Record<string, PlainCase>>;
  readonly token_bucket: Readonly<Record<string, number>>;
  readonly image_bucket: readonly (readonly [number, number, number])[];
  readonly image_position_idx_head: readonly number[];
  readonly image_position_idx_sum_len: readonly [number, number];
}
interface MueCase {
  readonly case: string;
  readonly name: string;
  readonly img_thres: number;
  readonly txt_thres: number;
  readonly exit_layer_image: number;
  readonly exit_layer_text: number;
  readonly text_similarities: readonly number[];
  readonly image_similarities: readonly number[];
  readonly src_tokens: readonly (readonly number[])[];
}

const plainInfo = golden<PlainGolden>('encoder_plain.json');
const plain = golden('encoder_plain.safetensors');

test('buckets and position ids', () => {
  for (const [distance, bucket] of Object.entries(plainInfo.token_bucket))
    expect(tokenBucket(Number(distance), 256)).toBe(bucket);
  for (const [query, key, bucket] of plainInfo.image_bucket) expect(imageBucket(query, key, 42)).toBe(bucket);
  const ids = codePositionIds(16, 42, 1026);
  expect([...ids.slice(0, plainInfo.image_position_idx_head.length)]).toEqual(plainInfo.image_position_idx_head);
  expect([ids.reduce((a, b) => a + b, 0), ids.length]).toEqual(plainInfo.image_position_idx_sum_len);
});

onBackends('encoder', (device) => {
  const {cases} = golden<{cases: readonly MueCase[]}>('mue_encoder.json');
  const expected = golden('mue_encoder.safetensors');
  let joint: OfaModel;
  let mue: OfaModel;
  let remembered: RememberedFeatures;
  beforeAll(async () => {
    joint = await microModel('plain');
    mue = await microModel('mue');
    remembered = rememberFeatures(joint, mue);
  });
  afterAll(() => {
    for (const owned of [remembered, joint, mue]) owned[Symbol.dispose]();
  });

  test.each(Object.keys(plainInfo.cases))('plain, case %s', async (name) => {
    using scope = new TensorScope();
    const model = joint;
    const {src_tokens, patch_masks, patches_h, patches_w, text_length} = plainInfo.cases[name]!;
    const {encoder, encoding} = model;
    const want = (part: string): GoldenArray | undefined => plain[`${name}.${part}`];
    const check = async (tensor: tf.Tensor, part: string): Promise<void> => {
      scope.hold(tensor);
      const expected = want(part);
      if (expected) await closeTo(tensor, expected, STATES);
    };
    const pixels = scope.hold(goldenPixels(plain[`${name}.image_u8`]!));
    if (want('pixel_values')) await closeTo(scope.hold(pixels.transpose([0, 3, 1, 2])), want('pixel_values')!, 1e-6);
    const features = scope.hold(device === 'cpu' ? await remembered.of(pixels) : encoder.resnet.forward(pixels));
    await check(features.transpose([0, 3, 1, 2]), 'resnet_features');
    await check(
      tf.tidy(() => encoder.patchProjection.forward(features.reshape([features.shape[0], -1, 1024]))),
      'image_proj',
    );

    const bias = scope.hold(new ImageBias(encoder, patches_h, patches_w));
    const image = encoding.imageStream(features, bias, patch_masks, scope);
    const text = encoding.textStream(src_tokens, scope);
    await check(encoder.embedPatches(features), 'image_embed');
    await check(
      tf.tidy(() => encoder.embedTokens(tf.tensor2d(src_tokens as number[][], undefined, 'int32'))),
      'text_embed',
    );
    await check(tf.concat([image.x, text.x], 1), 'embedded_input');
    const positions = scope.hold(tf.concat([image.positions, text.positions], 1));
    const absolute = scope.hold(encoder.absoluteBias(positions));
    await check(absolute.clone(), 'abs_pos_bias');

    // Layer by layer, each from the golden state before it.
    const mask = want('encoder_padding_mask');
    const additive =
      mask &&
      scope.hold(
        tf.tensor4d(
          Float32Array.from(mask.data as Uint8Array, (m) => (m ? -1e9 : 0)),
          [mask.shape[0]!, 1, 1, mask.shape[1]!],
        ),
      );
    const total = (layer: number): tf.Tensor4D =>
      tf.tidy(() => {
        const none: [number, number] = [0, 0];
        const visual = encoder
          .imageRelativeBias(layer, patches_h, patches_w)
          .pad([none, none, [0, text_length], [0, text_length]]);
        const p = patches_h * patches_w;
        return absolute
          .add(visual)
          .add(encoder.textRelativeBias(layer, text_length).pad([none, none, [p, 0], [p, 0]])) as tf.Tensor4D;
      });
    for (const [l, layer] of encoder.layers.entries()) {
      await check(encoder.textRelativeBias(l, text_length), `layer${l}.text_rel_bias`);
      await check(encoder.imageRelativeBias(l, patches_h, patches_w), `layer${l}.image_rel_bias`);
      const sum = scope.hold(total(l));
      await check(sum.clone(), `layer${l}.total_bias`);
      const rows = want(`layer${l}.total_bias.head1.rows_100_203`);
      if (rows)
        await closeTo(
          scope.hold(
            tf.tidy(() =>
              tf.gather(sum.squeeze([0]).slice([1, 0, 0], [1, -1, -1]).squeeze([0]), tf.tensor1d([100, 203], 'int32')),
            ),
          ),
          rows,
          STATES,
        );
      const before = want(l === 0 ? 'embedded_input' : `layer${l - 1}.out`);
      if (!before) continue;
      const x = scope.hold(tf.tensor3d(before.data as Float32Array, before.shape as [number, number, number]));
      const biases = additive ? [sum, additive] : [sum];
      await check(
        tf.tidy(() => layer.attention.forward(layer.attentionNorm.forward(x), biases)),
        `layer${l}.self_attn_out`,
      );
      if (!additive) await check(layer.forward(x, biases), `layer${l}.out`);
    }

    const encoded = scope.hold(await model.encode({pixels, prompts: src_tokens, patchMasks: patch_masks}, never));
    expect(encoded.runs[0]!.traces).toMatchObject([{stack: 'encoder', exitLayer: 3, depth: 3, exited: false}]);
    await closeUnmasked(encoded.states, want('encoder_out')!, mask);
    await check(encoded.positions.clone(), 'position_embeddings');
  });

  const featuresOf = async (letter: string): Promise<tf.Tensor4D> => {
    using scope = new TensorScope();
    return await remembered.of(scope.hold(goldenPixels(plain[`${letter}.image_u8`]!)));
  };

  test.each(cases.map((c) => [`${c.case}.${c.name}`, c] as const))('MuE, %s', async (name, c) => {
    using scope = new TensorScope();
    const model = mue;
    const [letter, sample] = c.case.split('_sample') as [string, string | undefined];
    const all = scope.hold(await featuresOf(letter));
    const features = sample === undefined ? all : scope.hold(tf.slice(all, [Number(sample), 0, 0, 0], [1, -1, -1, -1]));
    const policy = stackPolicies({
      'encoder.image': similarity({threshold: c.img_thres, mode: 'reference'}),
      'encoder.text': similarity({threshold: c.txt_thres, mode: 'reference'}),
    });
    const encoded = scope.hold(await model.encoding.encodeFeatures(features, 0, {prompts: c.src_tokens}, policy));
    const [image, text] = encoded.runs[0]!.traces;
    expect([image!.exitLayer, text!.exitLayer]).toEqual([c.exit_layer_image, c.exit_layer_text]);
    closeArrays(image!.scores as number[], c.image_similarities, SIMILARITIES);
    closeArrays(text!.scores as number[], c.text_similarities, SIMILARITIES);
    const out = expected[`${name}.encoder_out`];
    if (out) await closeTo(encoded.states, out, STATES);
    const positions = expected[`${name}.position_embeddings`];
    if (positions) await closeTo(encoded.positions, positions, STATES);
    const mask = expected[`${name}.encoder_padding_mask`];
    if (mask) {
      const flags = encoded.mask
        ? Array.from(await encoded.mask.data(), (m) => (m < 0 ? 1 : 0))
        : new Array<number>(mask.data.length).fill(0);
      expect(flags).toEqual(Array.from(mask.data as Uint8Array, Number));
    }
  });

  // Cases whose states were recorded after every layer: they exit from none.
  const whole = Object.keys(expected).flatMap((name) => /^(.+)\.image\.layer2\.out$/.exec(name)?.[1] ?? []);
  test.each(whole)('MuE, states and biases of both streams, %s', async (name) => {
    const letter = name.split('.')[0]!;
    using scope = new TensorScope();
    const model = mue;
    const {src_tokens, text_length} = plainInfo.cases[letter]!;
    const features = scope.hold(await featuresOf(letter));
    const [, height, width] = features.shape;
    const bias = scope.hold(new ImageBias(model.encoder, height, width));
    const image = model.encoding.imageStream(features, bias, undefined, scope);
    const text = model.encoding.textStream(src_tokens, scope);
    const states: Record<string, tf.Tensor[]> = {'encoder.image': [], 'encoder.text': []};
    const watch = {
      name: 'watch',
      observe: (_: tf.Tensor, after: tf.Tensor, at: {stack: string}) => {
        states[at.stack]!.push(scope.hold(after.clone()));
        return Promise.resolve({exit: false});
      },
    };
    scope.hold((await model.encoding.runImage(image, bias, watch)).x);
    scope.hold((await model.encoding.runText(text, [], watch)).x);
    for (let l = 0; l < 3; l++) {
      await closeTo(states['encoder.image']![l]!, expected[`${name}.image.layer${l}.out`]!, STATES);
      await closeTo(states['encoder.text']![l]!, expected[`${name}.text.layer${l}.out`]!, STATES);
      const visual = expected[`${name}.image.layer${l}.total_bias`];
      if (visual) await closeTo(scope.hold(bias.layer(l).clone()), visual, STATES);
      const textual = expected[`${name}.text.layer${l}.total_bias`];
      const own = scope.hold(
        tf.tidy(() => model.encoder.absoluteBias(text.positions).add(model.encoder.textRelativeBias(l, text_length))),
      );
      if (textual) await closeTo(own, textual, STATES);
    }
  });
});

/** Padded positions are compared with nothing downstream; the golden's README leaves them out. */
async function closeUnmasked(states: tf.Tensor3D, expected: GoldenArray, mask: GoldenArray | undefined): Promise<void> {
  const values = await states.data();
  const width = states.shape[2];
  const keep = (_: number, i: number): boolean => !mask || Number(mask.data[Math.floor(i / width)]) === 0;
  closeArrays(Array.from(values).filter(keep), Array.from(expected.data as Float32Array).filter(keep), STATES);
}
