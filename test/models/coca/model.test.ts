import * as tf from '@tensorflow/tfjs';
import {softmaxMax} from '../../../src/exit/policies/confidence.js';
import {similarity} from '../../../src/exit/policies/similarity.js';
import {fixed, random} from '../../../src/exit/policies/static.js';
import {never, stackPolicies} from '../../../src/exit/policy.js';
import {addMacs, type ImageRun} from '../../../src/exit/trace.js';
import type {CocaEncoded} from '../../../src/models/coca/encode.js';
import type {CocaModel} from '../../../src/models/coca/model.js';
import {TensorScope} from '../../../src/runtime/tensor-scope.js';
import {FIRST_DEVICE, onBackends} from '../../support/backends.js';
import {closeArrays} from '../../support/golden/close-to.js';
import {pixelsOf} from '../../support/models/coca-inputs.js';
import {cocaModel} from '../../support/models/coca-model.js';
import {cocaArrays, describeCoca} from '../../support/golden/golden-coca.js';
import {valueWithoutLeaks, withoutLeaks} from '../../support/leaks.js';

const MODES = ['project', 'copy', 'just-in-time'] as const;

describeCoca('the model', ['micro/goldens.safetensors', 'micro/open_clip_model.safetensors'], () => {
  onBackends(
    'the model',
    () => {
      const scope = new TensorScope();
      let model: CocaModel;
      let pixels: tf.Tensor4D;
      beforeAll(async () => {
        model = scope.hold(await cocaModel('micro'));
        pixels = scope.hold(pixelsOf(cocaArrays('micro/goldens.safetensors')['pixels']!, 2));
      });
      afterAll(() => {
        scope[Symbol.dispose]();
      });
      const readAll = async (tensor: tf.Tensor): Promise<Float32Array> => {
        const values = Float32Array.from(await tensor.data());
        tensor.dispose();
        return values;
      };
      const drawn = (seed: number) =>
        stackPolicies(
          Object.fromEntries(
            (['vision', 'text', 'multimodal'] as const).map((stack, i) => [
              stack,
              random({histogram: [1, 1, 1, 1], seed: seed + i}),
            ]),
          ),
        );

      test.each(MODES)('%s leaves no tensors behind, whatever exits, and keeps caches in step', async (mode) => {
        const result = await withoutLeaks(async () => {
          using inner = new TensorScope();
          const policy = drawn(7);
          const encoded = inner.hold(await model.encode({pixels}, policy));
          const decoding = inner.hold(model.startDecoding(encoded, 3, 8, mode));
          let rows = 6;
          for (let step = 0; step < 8; step++) {
            const {logits} = await decoding.step(
              Array.from({length: rows}, (_, r) => 20 + r * step),
              policy,
              {rows: [0, 1]},
            );
            expect((await readAll(logits)).every(Number.isFinite)).toBe(true);
            if (step === 2) decoding.reorder([0, 0, 2, 5, 4, 3]);
            if (step === 4) {
              decoding.reorder([5, 3, 3]);
              rows = 3;
            }
            const {text, multimodal} = decoding.cacheLengths;
            if (mode !== 'just-in-time') expect(new Set([...text, ...multimodal])).toEqual(new Set([step + 1]));
          }
          expect(decoding.macs).toHaveLength(2);
          const {run, full} = addMacs(decoding.macs);
          expect(run).toBeLessThan(full);
        });
        expect(result).not.toHaveProperty('error');
      });

      test('beams of a picture are rows of their own: reordered, or with pictures gone', async () => {
        using inner = new TensorScope();
        const one = inner.hold(tf.slice(pixels, [1, 0, 0, 0], [1, -1, -1, -1]));
        const encoded = inner.hold(await model.encode({pixels}, never));
        const alone = inner.hold(await model.encode({pixels: one}, never));
        const many = inner.hold(model.startDecoding(encoded, 2, 8, 'project'));
        const single = inner.hold(model.startDecoding(alone, 1, 8, 'project'));
        const step = async (decoding: typeof many, tokens: readonly number[]): Promise<Float32Array> =>
          readAll((await decoding.step(tokens, never)).logits);
        await step(many, [510, 510, 510, 510]);
        await step(single, [510]);
        await step(many, [3, 4, 0, 6]);
        await step(single, [0]);
        many.reorder([2, 3]); // the first picture has left
        many.reorder([1, 0]);
        await step(many, [9, 7]);
        const wanted = await step(single, [7]);
        many.reorder([1, 1]);
        const got = await step(many, [8, 8]);
        const next = await step(single, [8]);
        expect(wanted.length).toBe(512);
        closeArrays(got.slice(0, 512), next, 1e-4);
        closeArrays(got.slice(512), next, 1e-4);
      });

      test('just-in-time is exact: a token that left early is brought up to date when a later one goes deeper', async () => {
        using inner = new TensorScope();
        const encoded = inner.hold(
          await model.encode({pixels: inner.hold(tf.slice(pixels, [0, 0, 0, 0], [1, -1, -1, -1]))}, never),
        );
        const late = inner.hold(model.startDecoding(encoded, 1, 8, 'just-in-time'));
        const shallow = stackPolicies({multimodal: fixed({layers: 2})});
        for (const id of [510, 4, 5]) (await late.step([id], shallow)).logits.dispose();
        const got = await readAll((await late.step([6], never)).logits);
        const whole = inner.hold(model.startDecoding(encoded, 1, 8, 'project'));
        let wanted: Float32Array = new Float32Array();
        for (const id of [510, 4, 5, 6]) wanted = await readAll((await whole.step([id], never)).logits);
        closeArrays(got, wanted, 1e-4);
      });

      test('every depth of the image tower, from one run', async () => {
        const result = await withoutLeaks(async () => {
          using inner = new TensorScope();
          const one = inner.hold(tf.slice(pixels, [0, 0, 0, 0], [1, -1, -1, -1]));
          const picture = inner.hold(await model.imageStates(one));
          const prompt = inner.hold(await picture.withPrompt());
          expect(prompt.stacks.map(({stack, similarity}) => [stack, similarity.length])).toEqual([['vision', 4]]);
          const combined = inner.hold(prompt.combine([[2]]) as CocaEncoded);
          const direct = inner.hold(await model.encode({pixels: one}, stackPolicies({vision: fixed({layers: 2})})));
          const tokens = [...(await direct.tokens.data())];
          const {logits, runs} = await model.score(
            combined,
            {targets: [[510, 4, 5]], at: [{row: 0, position: 2}]},
            never,
          );
          logits.dispose();
          closeArrays(await combined.tokens.data(), tokens, 1e-5);
          expect(combined.runs[0]!.macs).toEqual(direct.runs[0]!.macs);
          expect(prompt.scoringMacs([2, 4], 4, 3, 512)).toBe(direct.runs[0]!.macs.run + runs[0]!.macs.run);
        });
        expect(result).not.toHaveProperty('error');
      });

      test('embeddings: unit rows, each for itself, without leaks', async () => {
        const result = await withoutLeaks(async () => {
          const texts = [
            [510, 4, 511],
            [510, ...new Array<number>(18).fill(9), 511],
          ];
          const both = await model.embedTexts(texts, drawn(3));
          const values = await readAll(both.features);
          expect(both.runs.flatMap(({traces}) => traces.map(({stack}) => stack))).toEqual(['text', 'text']);
          for (const r of [0, 1]) expect(Math.hypot(...values.slice(r * 48, (r + 1) * 48))).toBeCloseTo(1, 5);
          const images = await model.embedImages(pixels, stackPolicies({vision: fixed({layers: 1})}));
          images.features.dispose();
          for (const {macs} of images.runs) expect(macs.run).toBeLessThan(macs.full / 2);
        });
        expect(result).not.toHaveProperty('error');
      });

      test('texts of one length run together, and each is what it is alone: point, exit, cost', async () => {
        // The longest is as long as the context, the published mask shuts out what follows the pad within a text.
        const words = [
          [4, 9],
          [7, 0, 9, 12],
          [30, 8],
          [400, 4],
          [9, 9, 9, 9],
          new Array<number>(18).fill(9),
          [5],
          [301, 77],
          [2, 450, 6, 1],
        ];
        const texts = words.map((ids) => [510, ...ids, 511]);
        const layers = new Set<number>();
        for (const policy of [
          never,
          stackPolicies({text: similarity({threshold: 0.8})}),
          stackPolicies({text: similarity({threshold: 0.3})}),
        ]) {
          await valueWithoutLeaks(async () => {
            const together = await model.embedTexts(texts, policy);
            const values = await readAll(together.features);
            for (const [r, ids] of texts.entries()) {
              const alone = await model.embedTexts([ids], policy);
              closeArrays(values.slice(r * 48, (r + 1) * 48), await readAll(alone.features), 1e-6);
              const [{traces, macs}] = alone.runs as [ImageRun];
              expect(together.runs[r]!.macs).toEqual(macs);
              const rounded = (all: ImageRun['traces']): object[] =>
                all.map((trace) => ({...trace, scores: trace.scores.map((score) => score?.toFixed(5))}));
              expect(rounded(together.runs[r]!.traces)).toEqual(rounded(traces));
              layers.add(traces[0]!.exitLayer);
            }
          });
        }
        // Some left early, beside others that did not.
        expect(layers.size).toBeGreaterThan(2);
      });

      test.each<[string, (m: CocaModel) => Promise<unknown>]>([
        [
          'picture-size',
          async (m) => {
            using inner = new TensorScope();
            return await m.encode({pixels: inner.hold(tf.zeros([1, 32, 32, 3]))}, never);
          },
        ],
        ['text-too-long', (m) => m.embedTexts([new Array<number>(21).fill(4)], never)],
        ['text-empty', (m) => m.embedTexts([], never)],
        ['text-empty', (m) => m.embedTexts([[]], never)],
        ['token-invalid', (m) => m.embedTexts([[510, 512, 511]], never)],
        ['token-invalid', (m) => m.embedTexts([[510, -1, 511]], never)],
        ['plan-logits', (m) => m.embedTexts([[510, 511]], stackPolicies({text: softmaxMax({threshold: 0.5})}))],
        [
          'skipped-kv',
          async (m) => {
            using encoded = await m.encode({pixels}, never);
            return m.startDecoding(encoded, 1, 4, 'gap');
          },
        ],
        [
          'decoding-rows',
          async (m) => {
            using encoded = await m.encode({pixels}, never);
            using decoding = m.startDecoding(encoded, 1, 4, 'project');
            return await decoding.step([510], never);
          },
        ],
      ])('bad input: %s', async (code, run) => {
        const result = await withoutLeaks(() => run(model));
        expect(result).toMatchObject({error: {code}});
      });
    },
    FIRST_DEVICE,
  );
});
