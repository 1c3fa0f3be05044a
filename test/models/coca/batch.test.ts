import * as tf from '@tensorflow/tfjs';
import {fixed} from '../../../src/exit/policies/static.js';
import {type PolicyPerImage, type ExitPolicy, type StackName, stackPolicies} from '../../../src/exit/policy.js';
import {similarity} from '../../../src/exit/policies/similarity.js';
import type {StackTrace} from '../../../src/exit/trace.js';
import type {CocaModel} from '../../../src/models/coca/model.js';
import {TensorScope} from '../../../src/runtime/tensor-scope.js';
import {FIRST_DEVICE, onBackends} from '../../support/backends.js';
import {closeArrays} from '../../support/golden/close-to.js';
import {cocaModel} from '../../support/models/coca-model.js';
import {describeCoca} from '../../support/golden/golden-coca.js';
import {valueWithoutLeaks} from '../../support/leaks.js';

const FILES = ['micro/open_clip_config.json', 'micro/open_clip_model.safetensors'];
const BEAMS = 2;
/** Of each row of both pictures, step by step; 0 is padding, which the published mask knows. */
const TOKENS = [
  [510, 510, 510, 510],
  [3, 4, 0, 6],
  [9, 7, 5, 0],
  [20, 21, 22, 23],
];
const LENGTHS = [2, 4];

interface Seen {
  readonly logits: number[][];
  readonly traces: StackTrace[][];
  readonly macs: readonly {readonly run: number; readonly full: number}[];
}

/** Depths of the two pictures in each stack. */
const exits = (depths: readonly [number, number, number]): ExitPolicy =>
  stackPolicies(
    Object.fromEntries(
      (['vision', 'text', 'multimodal'] as const).map((stack: StackName, i) => [stack, fixed({layers: depths[i]!})]),
    ),
  );

const CHOICES: readonly (readonly [string, readonly [ExitPolicy, ExitPolicy]])[] = [
  ['the first leaves earlier', [exits([1, 1, 2]), exits([3, 4, 4])]],
  ['the second leaves earlier', [exits([4, 3, 4]), exits([2, 1, 1])]],
  ['each half another', [exits([2, 1, 4]), exits([2, 4, 1])]],
];

describeCoca('two pictures', FILES, () => {
  onBackends(
    'batch',
    () => {
      let model: CocaModel;
      let pixels: tf.Tensor4D;
      beforeAll(async () => {
        model = await cocaModel('micro');
        const {image_size: side} = model.config.vision;
        pixels = tf.randomNormal([2, side, side, 3], 0, 1, 'float32', 7);
      });
      afterAll(() => {
        pixels.dispose();
        model[Symbol.dispose]();
      });

      /** Some of the pictures: four steps of two rows, in which beams change places and the first picture may leave. */
      const write = async (which: readonly number[], policies: PolicyPerImage): Promise<Seen> => {
        using scope = new TensorScope();
        const some = scope.hold(tf.tidy(() => tf.gather(pixels, tf.tensor1d([...which], 'int32'))));
        const encoded = scope.hold(await model.encode({pixels: some}, policies));
        const decoding = scope.hold(model.startDecoding(encoded, BEAMS, 8, 'project'));
        let open = [...which];
        const logits: number[][] = [[], []];
        const traces: StackTrace[][] = [[], []];
        for (const [b, run] of encoded.runs.entries()) traces[which[b]!]!.push(...run.traces);
        for (const [step, tokens] of TOKENS.entries()) {
          const own = Array.isArray(policies)
            ? open.map((b) => (policies as readonly ExitPolicy[])[which.indexOf(b)]!)
            : policies;
          const fed = open.flatMap((b) => tokens.slice(b * BEAMS, (b + 1) * BEAMS));
          const result = await decoding.step(fed, own);
          const values = [...((await scope.hold(result.logits).data()) as Float32Array)];
          const size = values.length / open.length;
          for (const [place, b] of open.entries()) {
            logits[b]!.push(...values.slice(place * size, (place + 1) * size));
            traces[b]!.push(...result.traces[place]!);
          }
          // After the third step the first picture is done; the second's beams change places.
          const left = step === 2 && open.length > 1 ? [1] : open.map((_, i) => i);
          decoding.reorder(left.flatMap((place) => [place * BEAMS + 1, place * BEAMS]));
          open = left.map((place) => open[place]!);
          if (step === 2 && which.length === 1 && which[0] === 0) break;
        }
        return {logits, traces, macs: decoding.macs};
      };

      test.each(CHOICES)('captions: %s', async (_name, policies) => {
        const together = await valueWithoutLeaks(async () => await write([0, 1], policies));
        for (const b of [0, 1]) {
          const alone = await write([b], [policies[b]!]);
          expect(together.traces[b]).toEqual(alone.traces[b]);
          expect(together.macs[b]).toEqual(alone.macs[0]);
          expect(alone.logits[b]!.length).toBe((b === 0 ? 3 : 4) * BEAMS * model.vocabularySize);
          closeArrays(together.logits[b]!, alone.logits[b]!, 1e-4);
        }
        expect(together.traces[0]!.map(({exitLayer}) => exitLayer)).not.toEqual(
          together.traces[1]!.map(({exitLayer}) => exitLayer),
        );
      });

      test.each(CHOICES)('scores of targets of several lengths: %s', async (_name, policies) => {
        using scope = new TensorScope();
        const targets = LENGTHS.flatMap((length) => [0, 1].map((k) => [510, 3 + k, 0, 9].slice(0, length)));
        const at = targets.map((target, row) => ({row, position: target.length - 1}));
        const score = async (which: readonly number[]) => {
          const some = scope.hold(tf.tidy(() => tf.gather(pixels, tf.tensor1d([...which], 'int32'))));
          const own = which.map((b) => policies[b]!);
          const encoded = scope.hold(await model.encode({pixels: some}, own));
          const rows = which.flatMap((b) => targets.slice(b * 2, b * 2 + 2));
          const places = which.flatMap((b, i) =>
            at.slice(b * 2, b * 2 + 2).map(({position}, k) => ({row: i * 2 + k, position})),
          );
          const {logits, runs} = await model.score(encoded, {targets: rows, at: places}, own);
          return {values: [...((await scope.hold(logits).data()) as Float32Array)], runs};
        };
        const together = await score([0, 1]);
        const half = 2 * model.vocabularySize;
        for (const b of [0, 1]) {
          const alone = await score([b]);
          expect(together.runs[b]).toEqual(alone.runs[0]);
          closeArrays(together.values.slice(b * half, (b + 1) * half), alone.values, 1e-4);
        }
      });

      test('a prefix is what its steps are', async () => {
        using scope = new TensorScope();
        const policies = CHOICES[0]![1];
        const encoded = scope.hold(await model.encode({pixels}, policies));
        const [atOnce, byStep] = [0, 1].map(() => scope.hold(model.startDecoding(encoded, 1, 8, 'project')));
        const prefixes = [
          [510, 3, 9],
          [510, 0, 5],
        ];
        const whole = await atOnce!.prefill(prefixes, policies);
        const values = [...((await scope.hold(whole.logits).data()) as Float32Array)];
        const size = model.vocabularySize;
        for (let step = 0; step < 3; step++) {
          const fed = prefixes.map((prefix) => prefix[step]!);
          const {logits, traces} = await byStep!.step(fed, policies);
          const wanted = [...((await scope.hold(logits).data()) as Float32Array)];
          for (const b of [0, 1]) {
            closeArrays(
              values.slice((b * 3 + step) * size, (b * 3 + step + 1) * size),
              wanted.slice(b * size, (b + 1) * size),
              1e-6,
            );
            expect(whole.traces[b]!.slice(2 * step, 2 * step + 2)).toEqual(traces[b]);
          }
        }
        expect(atOnce!.macs).toEqual(byStep!.macs);
      });

      test('one policy decides for both captions at once, but for each picture by itself', async () => {
        const policy = stackPolicies({
          vision: similarity({threshold: 0.9}),
          text: similarity({threshold: 0.9}),
          multimodal: similarity({threshold: 0.9}),
        });
        const {traces} = await write([0, 1], policy);
        const steps = (b: number): readonly StackTrace[] =>
          traces[b]!.filter(({step}) => step !== undefined && step < 3);
        expect(steps(0)).toEqual(steps(1));
        const vision = traces.map((own) => own.find(({stack}) => stack === 'vision')!.scores);
        expect(vision[0]).not.toEqual(vision[1]);
      });

      test('pictures that leave each for itself cannot share caches that are copied', async () => {
        using scope = new TensorScope();
        const encoded = scope.hold(await model.encode({pixels}, CHOICES[0]![1]));
        const decoding = scope.hold(model.startDecoding(encoded, 1, 8, 'copy'));
        await expect(decoding.step([510, 510], CHOICES[0]![1])).rejects.toMatchObject({
          code: 'batch-skipped-kv',
          exitCode: 2,
        });
      });
    },
    FIRST_DEVICE,
  );
});
