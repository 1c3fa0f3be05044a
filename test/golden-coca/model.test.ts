import fs from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import {centreSquare} from '../support/data/resize.js';
import {toPixels} from '../../src/data/image.js';
import {fixed} from '../../src/exit/policies/static.js';
import {never, stackPolicies} from '../../src/exit/policy.js';
import {recordingPolicy} from '../../src/exit/recording.js';
import type {CocaModel} from '../../src/models/coca/model.js';
import {keyMask, paddedCls, paddedKeys} from '../../src/models/coca/text.js';
import {causalMask} from '../../src/nn/attention.js';
import {decodeImage} from '../../src/node/picture/decode.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import {onBackends} from '../support/backends.js';
import {closeArrays, closeTo, SIMILARITIES, STATES} from '../support/golden/close-to.js';
import {idsOf, pixelsOf, unpadded} from '../support/models/coca-inputs.js';
import {cocaModel} from '../support/models/coca-model.js';
import {cocaArrays, cocaGoldenDir, cocaJson, describeCoca} from '../support/golden/golden-coca.js';

// Tolerances of the goldens' README.
const LOGITS = 1e-4;
const FEATURES = 1e-5;
const GRIDS = 2e-6;

interface MicroGolden {
  readonly logit_scale_exp: number;
  readonly images: readonly string[];
  readonly cosines: Readonly<Record<string, readonly (readonly number[])[]>>;
  readonly forced_exits: readonly {
    readonly vision: number;
    readonly text: number;
    readonly multimodal: number;
    readonly key: string;
  }[];
}

const everywhere = (rows: number, length: number) =>
  Array.from({length: rows * length}, (_, i) => ({row: Math.floor(i / length), position: i % length}));

describeCoca(
  'the micro model',
  ['micro/goldens.safetensors', 'micro/goldens.json', 'micro/open_clip_model.safetensors'],
  () => {
    const info = cocaJson<MicroGolden>('micro/goldens.json');
    const arrays = cocaArrays('micro/goldens.safetensors');
    const padded = idsOf(arrays['text']!);

    test('masks of the text tower, as published and corrected', () => {
      for (const [cls_mask, key] of [
        ['legacy', 'text.mask'],
        ['correct', 'variant.correct_cls_mask.mask'],
      ] as const) {
        const config = {cls_mask, pad_id: 0};
        const {data, shape} = arrays[key]!;
        const [, queries, keys] = shape as [number, number, number];
        const got = padded.flatMap((ids) => {
          const shut = [...paddedKeys(ids, config), paddedCls(ids.at(-1)!, config)];
          return Array.from({length: queries * keys}, (_, i) =>
            Number(i % keys <= Math.floor(i / keys) && !shut[i % keys]),
          );
        });
        expect(got).toEqual([...(data as Uint8Array)]);
      }
    });

    onBackends('the micro model', () => {
      let model: CocaModel;
      let texts: number[][];
      const scope = new TensorScope();
      let pixels: tf.Tensor4D;
      beforeAll(async () => {
        model = scope.hold(await cocaModel('micro'));
        texts = unpadded(padded, model.config.end_id);
        pixels = scope.hold(pixelsOf(arrays['pixels']!));
      });
      afterAll(() => {
        scope[Symbol.dispose]();
      });
      const check = async (tensor: tf.Tensor, key: string, tolerance: number): Promise<void> => {
        try {
          await closeTo(tensor, arrays[key]!, tolerance);
        } finally {
          tensor.dispose();
        }
      };

      test('image tower: every layer, pooler, embedding', async () => {
        using inner = new TensorScope();
        const {vision} = model.module;
        let x = inner.hold(vision.embed(pixels));
        await check(x.clone(), 'vision.state.0', STATES);
        for (const [i, layer] of vision.layers.entries()) {
          x = inner.replace(x, layer.forward(x));
          await check(x.clone(), `vision.state.${i + 1}`, STATES);
        }
        const queries = inner.hold(vision.pooler!.queries());
        await check(vision.pooler!.forward(x, queries), 'vision.attn_pool', STATES);
        const pooled = inner.hold(vision.pool(x, queries));
        await check(pooled.clone(), 'vision.ln_post', STATES);
        await check(vision.embedding(pooled), 'vision.pooled', STATES);
        await check(vision.imageTokens(pooled), 'image_embs', STATES);
        const encoded = inner.hold(await model.encode({pixels}, never));
        await check(encoded.tokens.clone(), 'image_embs', STATES);
        const {features} = await model.embedImages(pixels, never);
        await check(features, 'image_features', FEATURES);
      });

      test('unimodal tower: every layer, and the embedding from the positions that matter', async () => {
        using inner = new TensorScope();
        const {text, config} = model.module;
        let x = inner.hold(tf.tidy(() => text.embedWithCls(tf.tensor2d(padded, undefined, 'int32'))));
        await check(x.clone(), 'text.state.0', STATES);
        const causal = inner.hold(causalMask(x.shape[1], x.shape[1]));
        const keys = inner.hold(
          keyMask(padded.map((ids) => [...paddedKeys(ids, config), paddedCls(ids.at(-1)!, config)]))!,
        );
        for (const [i, layer] of text.layers.entries()) {
          x = inner.replace(x, layer.forward(x, [causal, keys]));
          await check(x.clone(), `text.state.${i + 1}`, STATES);
        }
        await check(text.embedding(x), 'text.pooled', STATES);
        const {features} = await model.embedTexts(texts, never);
        await check(features, 'text_features', FEATURES);
      });

      test('multimodal tower: both blocks of every layer, and the scores of words', async () => {
        using inner = new TensorScope();
        const {multimodal, text} = model.module;
        const states = arrays[`text.state.${text.layers.length}`]!;
        let x = inner.hold(
          tf.tidy(() =>
            tf.slice(
              tf.tensor3d(states.data as Float32Array, states.shape as [number, number, number]),
              [0, 0, 0],
              [-1, 20, -1],
            ),
          ),
        );
        const encoded = inner.hold(await model.encode({pixels}, never));
        const causal = inner.hold(causalMask(20, 20));
        for (const [i, {self, cross}] of multimodal.layers.entries()) {
          x = inner.replace(x, self.forward(x, [causal]));
          await check(x.clone(), `multimodal.self.${i + 1}`, STATES);
          using memory = cross.crossKv(encoded.tokens);
          x = inner.replace(x, cross.forwardCross(x, memory));
          await check(x.clone(), `multimodal.state.${i + 1}`, STATES);
        }
        const {logits} = await model.score(encoded, {targets: padded, at: everywhere(4, 20)}, never);
        await check(logits, 'logits', LOGITS);
      });

      test('similarities', async () => {
        using inner = new TensorScope();
        const images = inner.hold((await model.embedImages(pixels, never)).features);
        const words = inner.hold((await model.embedTexts(texts, never)).features);
        expect(Math.abs(model.logitScale - info.logit_scale_exp)).toBeLessThan(1e-5);
        await check(tf.matMul(images, words, false, true), 'similarity', FEATURES);
        await check(
          tf.tidy(() => tf.matMul(images, words, false, true).mul(model.logitScale)),
          'logits_per_image',
          LOGITS,
        );
      });

      test('cosines between layers: of a whole picture, of CLS', async () => {
        const pictures = recordingPolicy(never, {heads: []});
        (await model.embedImages(pixels, pictures.policy)).features.dispose();
        const words = recordingPolicy(never, {heads: []});
        (await model.embedTexts(texts, words.policy)).features.dispose();
        for (const [recording, key] of [
          [pictures, 'vision_all_tokens'],
          [words, 'text_cls'],
        ] as const) {
          const got = recording.passes.map(({layers}) => layers.map(({similarity}) => similarity));
          closeArrays(got.flat(), info.cosines[key]!.flat(), SIMILARITIES);
        }
      });

      test.each(info.forced_exits.map((exit) => [exit.key, exit] as const))(
        '%s',
        async (key, {vision, text, multimodal}) => {
          using inner = new TensorScope();
          const policy = stackPolicies({
            vision: fixed({layers: vision}),
            text: fixed({layers: text}),
            multimodal: fixed({layers: multimodal}),
          });
          const encoded = inner.hold(await model.encode({pixels}, policy));
          expect(encoded.runs.map(({traces: [{stack, exitLayer} = {}]}) => [stack, exitLayer])).toEqual(
            Array.from({length: 4}, () => ['vision', vision]),
          );
          const images = await model.embedImages(pixels, policy);
          await check(images.features, `${key}.image_features`, FEATURES);
          const words = await model.embedTexts(texts, policy);
          await check(words.features, `${key}.text_features`, FEATURES);
          const at = texts.map((ids, row) => ({row, position: ids.length - 1}));
          const {logits, runs} = await model.score(encoded, {targets: padded, at}, policy);
          expect(runs[0]!.traces.map(({stack, exitLayer}) => [stack, exitLayer])).toEqual([
            ['text', text],
            ['multimodal', multimodal],
          ]);
          await check(logits, `${key}.logits_at_eot`, LOGITS);
        },
      );

      test('id 0 inside a text is taken for padding', async () => {
        using inner = new TensorScope();
        const ids = idsOf(arrays['variant.inner_pad.text']!);
        const {features} = await model.embedTexts(unpadded(ids, model.config.end_id), never);
        await check(features, 'variant.inner_pad.text_features', FEATURES);
        const encoded = inner.hold(await model.encode({pixels}, never));
        const at = everywhere(4, 20).filter(({row}) => row === 1);
        const {logits} = await model.score(encoded, {targets: ids, at}, never);
        await check(logits, 'variant.inner_pad.logits_row1', LOGITS);
      });

      test('the corrected mask', async () => {
        using other = await cocaModel('micro', {cls_mask: 'correct'});
        await check(
          (await other.embedTexts(texts, never)).features,
          'variant.correct_cls_mask.text_features',
          FEATURES,
        );
      });

      test('the other activation', async () => {
        using other = await cocaModel('micro', {activation: 'quick_gelu'});
        await check((await other.embedImages(pixels, never)).features, 'variant.quick_gelu.image_features', FEATURES);
      });

      test.each([
        ['grid6', 96],
        ['grid3', 48],
      ])('another grid of patches: %s', async (name, size) => {
        using inner = new TensorScope();
        using other = await cocaModel('micro', {imageSize: size});
        const positions = other.module.vision.weights.find((weight) => weight.name.includes('positional_embedding'))!;
        await check(positions.read().clone(), `variant.${name}.positional_embedding`, GRIDS);
        const {image_mean, image_std} = other.config;
        const squares = await Promise.all(
          info.images.slice(0, 2).map(async (file) => {
            const picture = await decodeImage(fs.readFileSync(path.join(cocaGoldenDir, 'images', file)));
            return toPixels(centreSquare(picture, size), image_mean, image_std);
          }),
        );
        const two = inner.hold(tf.tensor4d(Float32Array.from(squares.flatMap((s) => [...s])), [2, size, size, 3]));
        await check((await other.embedImages(two, never)).features, `variant.${name}.image_features`, FEATURES);
      });
    });
  },
);

describeCoca(
  'the model with the whole vocabulary',
  ['fullvocab/goldens.safetensors', 'fullvocab/open_clip_model.safetensors'],
  () => {
    const arrays = cocaArrays('fullvocab/goldens.safetensors');
    onBackends('the model with the whole vocabulary', () => {
      test('features and scores of words', async () => {
        using scope = new TensorScope();
        const model = scope.hold(await cocaModel('fullvocab'));
        const pixels = scope.hold(pixelsOf(arrays['pixels']!));
        const texts = unpadded(idsOf(arrays['text']!), model.config.end_id);
        await closeTo(
          scope.hold((await model.embedImages(pixels, never)).features),
          arrays['image_features']!,
          FEATURES,
        );
        await closeTo(scope.hold((await model.embedTexts(texts, never)).features), arrays['text_features']!, FEATURES);
        const encoded = scope.hold(
          await model.encode({pixels: scope.hold(tf.slice(pixels, [0, 0, 0, 0], [2, -1, -1, -1]))}, never),
        );
        const at = texts.slice(0, 2).map((ids, row) => ({row, position: ids.length - 1}));
        const {logits} = await model.score(encoded, {targets: texts.slice(0, 2), at}, never);
        await closeTo(scope.hold(logits), arrays['logits_at_eot']!, LOGITS);
      });
    });
  },
);
