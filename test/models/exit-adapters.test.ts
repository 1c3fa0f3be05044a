import * as tf from '@tensorflow/tfjs';
import {softmaxMargin} from '../../src/exit/policies/confidence.js';
import {fixed} from '../../src/exit/policies/static.js';
import {type ExitPolicy, never, type PolicyPerImage, type StackName, stackPolicies} from '../../src/exit/policy.js';
import {writingStack} from '../../src/exit/stacks.js';
import type {StackTrace} from '../../src/exit/trace.js';
import type {Decoded, Encoded, ScoreInput, VisionLanguageModel} from '../../src/models/model.js';
import type {ExitAdapters} from '../../src/nn/exit-adapters.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';
import {valueWithoutLeaks} from '../support/leaks.js';
import {cocaModel} from '../support/models/coca-model.js';
import {microModel} from '../support/models/micro-model.js';
import {seededAdapters} from '../support/models/seeded-adapters.js';

const WIDTH = 3;
const DEPTH = 4;
const PREFIX = [0, 7, 8];
const at: ScoreInput['at'] = [
  {row: 0, position: 1},
  {row: 0, position: 2},
  {row: 1, position: 2},
];

interface Family {
  readonly load: () => Promise<VisionLanguageModel>;
  readonly side: (model: VisionLanguageModel) => number;
}
const FAMILIES: Readonly<Record<string, Family>> = {
  'plain OFA': {load: () => microModel('plain'), side: () => 64},
  CoCa: {
    load: () => cocaModel('micro'),
    side: (model) => (model as Awaited<ReturnType<typeof cocaModel>>).config.vision.image_size,
  },
};

const values = (x: tf.Tensor): number[] => [...x.dataSync()];

onBackends(
  'exit adapters',
  () => {
    describe.each(Object.entries(FAMILIES))('%s', (_name, {load, side}) => {
      let model: VisionLanguageModel;
      let encoded: Encoded;
      let writing: StackName;
      let size: number;
      let adapters: ExitAdapters;
      beforeAll(async () => {
        using scope = new TensorScope();
        model = await load();
        writing = writingStack(model.stacks);
        const pixels = scope.hold(tf.randomNormal([2, side(model), side(model), 3], 0, 1, 'float32', 7)) as tf.Tensor4D;
        encoded = await model.encode({pixels, prompts: [[0, 9, 5, 2], PREFIX]}, [never, never]);
        size = (await statesAfter(1)).shape[1]!;
        adapters = await seededAdapters({size, kind: 'bottleneck', width: WIDTH, layers: [1, 3]});
      });
      afterAll(() => {
        for (const owned of [model, encoded, adapters]) owned[Symbol.dispose]();
      });

      /** States at the scored positions after so many layers, as plain numbers. */
      const statesAfter = async (layers: number): Promise<{shape: number[]; data: number[]}> => {
        using scope = new TensorScope();
        const found: {shape: number[]; data: number[]}[] = [];
        const watch: ExitPolicy = {
          name: 'watch',
          observe: async (_before, after, {stack, layer}) => {
            if (stack === writing && layer === layers) {
              const [, t, d] = after.shape;
              const rows = tf.tidy(() =>
                tf.gather(
                  after.reshape([-1, d]),
                  at.map(({row, position}) => row * t + position),
                ),
              );
              found.push({shape: rows.shape, data: values(scope.hold(rows))});
            }
            return {exit: false};
          },
        };
        scope.hold((await model.score(encoded, {targets: [PREFIX, PREFIX], at}, watch)).logits);
        return found[0]!;
      };
      const early = (layers: number): ExitPolicy => stackPolicies({[writing]: fixed({layers})});
      const score = async (policy: PolicyPerImage, own?: ExitAdapters, ids?: readonly number[]) => {
        const {logits, runs} = await model.score(encoded, {targets: [PREFIX, PREFIX], at, ids, adapters: own}, policy);
        const data = values(logits);
        logits.dispose();
        return {data, runs};
      };

      test('at full depth nothing changes, bit for bit', async () => {
        for (const policy of [never, early(DEPTH)]) expect(await score(policy, adapters)).toEqual(await score(policy));
      });

      test('an early state goes through its adapter, and then through the head', async () => {
        for (const layers of [1, 2, 3]) {
          const {shape, data} = await statesAfter(layers);
          const expected = tf.tidy(() => {
            const x = tf.tensor2d(data, shape as [number, number]);
            return values(model.logits(adapters.at(layers)?.forward(x) ?? x, [3, 4, 9]));
          });
          const {data: got} = await score(early(layers), adapters, [3, 4, 9]);
          const {data: bare} = await score(early(layers), undefined, [3, 4, 9]);
          expect(got.length).toBe(expected.length);
          for (const [i, value] of got.entries()) expect(value).toBeCloseTo(expected[i]!, 4);
          // Layer 2 has none.
          if (layers === 2) expect(got).toEqual(bare);
          else expect(got).not.toEqual(bare);
        }
      });

      test('pictures that leave after different layers get each its own', async () => {
        const words = (await score(early(1), adapters)).data.length / at.length;
        const both = await score([early(1), early(3)], adapters);
        const [first, third] = [await score(early(1), adapters), await score(early(3), adapters)];
        const wanted = [...first.data.slice(0, 2 * words), ...third.data.slice(2 * words)];
        for (const [i, value] of both.data.entries()) expect(value).toBeCloseTo(wanted[i]!, 4);
        expect(both.runs.map(({traces}) => traces.at(-1)!.exitLayer)).toEqual([1, 3]);
      });

      /** Three steps of two rows an image, of which one counts for the exit at the last. */
      const decode = async (policy: ExitPolicy, own?: ExitAdapters) => {
        using scope = new TensorScope();
        const decoding = scope.hold(model.startDecoding(encoded, 2, 8, 'project', own));
        const steps: {data: number[]; traces: readonly (readonly StackTrace[])[]}[] = [];
        for (const [step, token] of PREFIX.entries()) {
          const rows = step === 2 ? [0, 2, 3] : undefined;
          const {logits, traces}: Decoded = await decoding.step(new Array<number>(4).fill(token), [policy, policy], {
            rows,
          });
          steps.push({data: values(scope.hold(logits)), traces});
        }
        return {steps, macs: decoding.macs};
      };

      test('decoding at full depth changes in nothing, and no tensor is left', async () => {
        const [bare, adapted] = [await decode(never), await valueWithoutLeaks(() => decode(never, adapters))];
        expect(adapted).toEqual(bare);
      });

      test('caches of skipped layers get the unadapted exit state', async () => {
        // The first two tokens leave early; the third runs every layer over their keys and values.
        let step = -1;
        const policy: ExitPolicy = {
          name: 'late',
          observe: (_before, _after, {stack, layer, depth, step: now = 0}) => {
            step = Math.max(step, now);
            return Promise.resolve({exit: stack === writing && now < 2 && layer === 1 && layer < depth});
          },
        };
        const [bare, adapted] = [await decode(policy), await decode(policy, adapters)];
        expect(step).toBe(2);
        expect(adapted.steps[0]!.data).not.toEqual(bare.steps[0]!.data);
        expect(adapted.steps[2]!.data).toEqual(bare.steps[2]!.data);
      });

      test('a policy that looks at logits sees adapted ones', async () => {
        const seen = async (own?: ExitAdapters): Promise<(number | null)[]> => {
          const policy = stackPolicies({[writing]: softmaxMargin({threshold: 2})});
          const {runs} = await score([policy, policy], own, [3, 4, 9]);
          return [...runs[0]!.traces.at(-1)!.scores];
        };
        const [bare, adapted] = [await seen(), await seen(adapters)];
        expect(adapted.length).toBe(DEPTH);
        expect([0, 1, 2, 3].filter((layer) => adapted[layer] !== bare[layer])).toEqual([0, 2]);
      });

      test('multiply-accumulates: one adapter a state at the answer, and one a test that looks at logits', async () => {
        const one = 2 * size * WIDTH;
        const extra = async (policy: PolicyPerImage): Promise<number[]> => {
          const [bare, adapted] = [await score(policy), await score(policy, adapters)];
          expect(adapted.runs.map(({macs}) => macs.full)).toEqual(bare.runs.map(({macs}) => macs.full));
          return adapted.runs.map(({macs}, b) => macs.run - bare.runs[b]!.macs.run);
        };
        // The first image has two scored positions, the second one.
        expect(await extra([early(1), early(2)])).toEqual([2 * one, 0]);
        const margin = (): ExitPolicy => stackPolicies({[writing]: softmaxMargin({threshold: 2})});
        expect(await extra([margin(), margin()])).toEqual([4 * one, 2 * one]);
        const [bare, adapted] = [await decode(early(1)), await decode(early(1), adapters)];
        // Three steps of two rows an image.
        expect(adapted.macs.map(({run}, b) => run - bare.macs[b]!.run)).toEqual([6 * one, 6 * one]);
        expect(adapted.macs.map(({full}) => full)).toEqual(bare.macs.map(({full}) => full));
        const [looked, lookedAdapted] = [await decode(margin()), await decode(margin(), adapters)];
        // Layers 1 and 3 are adapted; at the last step the first image has one row that decides.
        expect(lookedAdapted.macs.map(({run}, b) => run - looked.macs[b]!.run)).toEqual([10 * one, 12 * one]);
      });
    });

    test('adapt: each row by the layer that gave it; rows without an adapter stay bit for bit', async () => {
      using scope = new TensorScope();
      const adapters = scope.hold(await seededAdapters({size: 4, kind: 'affine', width: 0, layers: [1, 2]}));
      const x = scope.hold(tf.randomNormal([6, 4], 0, 1, 'float32', 3)) as tf.Tensor2D;
      const rows = (which: tf.Tensor2D): number[][] => which.arraySync();
      const mixed = rows(scope.hold(adapters.adapt(x, [2, 3, 1])));
      const [one, two] = [1, 2].map((layer) => rows(scope.hold(adapters.adapt(x, [layer]))));
      expect(mixed.slice(2, 4)).toEqual(rows(x).slice(2, 4));
      for (const [row, wanted] of [two![0]!, two![1]!, undefined, undefined, one![4]!, one![5]!].entries())
        for (const [i, value] of (wanted ?? []).entries()) expect(mixed[row]![i]).toBeCloseTo(value, 6);
      expect(adapters.macs(1)).toBe(16);
      expect(adapters.macs(3)).toBe(0);
    });
  },
  FIRST_DEVICE,
);
