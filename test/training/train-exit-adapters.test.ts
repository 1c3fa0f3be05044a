import * as tf from '@tensorflow/tfjs';
import {seededRandom} from '../../src/runtime/random.js';
import {MemoryStates} from '../../src/training/states.js';
import {adaptersFromStates, measureDepths, type Trainable} from '../../src/training/train-exit-adapters.js';
import {FIRST_DEVICE, onBackends} from '../support/backends.js';
import {withoutLeaks, valueWithoutLeaks} from '../support/leaks.js';

// A head of three answers over states of four numbers. The last layer's states are random; layer 1 has the same
// numbers in another order, layer 2 the same states, layer 3 states that have nothing to do with them.

const SIZE = 4;
const PICTURES = 60;
const OPTIONS = {kind: 'affine', steps: 60, batch: 64, learningRate: 0.05, decay: 0, heldOut: 0.5} as const;

onBackends(
  'adaptersFromStates',
  () => {
    let head: tf.Tensor2D;
    let pipeline: Trainable;
    let states: MemoryStates;
    beforeAll(() => {
      head = tf.randomNormal([SIZE, 3], 0, 2, 'float32', 5) as tf.Tensor2D;
      pipeline = {
        model: {
          stacks: {decoder: 4},
          vocabularySize: 3,
          logits: (x, ids) => {
            expect(ids).toEqual([0, 1, 2]);
            return tf.matMul(x, head);
          },
        },
        entailmentTokens: () => ({source: [], target: [], answers: [[0], [1], [2]]}),
      };
      const random = seededRandom(3);
      states = new MemoryStates(4, SIZE);
      const matrix = head.arraySync();
      for (let index = 0; index < 4 * PICTURES; index += 4) {
        const last = Float32Array.from({length: 4 * SIZE}, () => 2 * random.next() - 1);
        const turned = last.map((_, i) => last[i - (i % SIZE) + ((i + 1) % SIZE)]!);
        const other = last.map(() => 2 * random.next() - 1);
        const labels = [0, 1, 2, 3].map((row) => {
          const z = [0, 1, 2].map((c) =>
            matrix.reduce((sum, column, d) => sum + column[c]! * last[row * SIZE + d]!, 0),
          );
          return z.indexOf(Math.max(...z));
        });
        states.append(
          {index, imageId: String(index), labels},
          Float32Array.from([...turned, ...last, ...other, ...last]),
        );
      }
    });
    afterAll(() => head.dispose());

    test('learns the layer that can be mapped to the last one, and keeps no other', async () => {
      const {adapters, report} = await adaptersFromStates(pipeline, 'snli-ve', states, OPTIONS);
      const [turned, same, unrelated] = report.layers;
      expect(report).toMatchObject({positions: 240, heldOut: 240, classes: 3, width: 0, stack: 'decoder'});
      expect(report.full).toEqual({divergence: expect.closeTo(0, 5), agreement: 1, accuracy: 1});
      expect(turned).toMatchObject({layer: 1, kept: true});
      expect(turned!.before.agreement).toBeLessThan(0.6);
      expect(turned!.after.agreement).toBeGreaterThan(0.85);
      expect(turned!.after.divergence).toBeLessThan(turned!.before.divergence / 4);
      expect(same).toMatchObject({layer: 2, kept: false, gained: 0, lost: 0, before: {agreement: 1}});
      expect(unrelated).toMatchObject({layer: 3});
      expect(adapters!.at(1)).toBeDefined();
      expect([2, 4].map((layer) => adapters!.at(layer))).toEqual([undefined, undefined]);
      const depths = await measureDepths(pipeline, 'snli-ve', states, adapters);
      expect(depths.map(({layer}) => layer)).toEqual([1, 2, 3, 4]);
      expect(depths[0]!.after.accuracy).toBeGreaterThan(0.85);
      expect(depths[3]!.after).toEqual(depths[3]!.before);
      adapters![Symbol.dispose]();
    });

    test('the same seed gives the same weights, bit for bit; another one others', async () => {
      const weights = async (seed: number): Promise<unknown> => {
        const {adapters} = await adaptersFromStates(pipeline, 'snli-ve', states, {
          ...OPTIONS,
          kind: 'bottleneck',
          width: 8,
          steps: 20,
          seed,
        });
        const values = adapters!.trainableWeights.map((weight) => [...weight.read().dataSync()]);
        adapters![Symbol.dispose]();
        return values;
      };
      const first = await weights(1);
      expect(await weights(1)).toEqual(first);
      expect(await weights(2)).not.toEqual(first);
    });

    test('without anything to gain there are no adapters', async () => {
      const trained = new MemoryStates(2, SIZE);
      for (const [g, group] of states.groups.entries()) {
        const last = states.read(4).slice(g * 4 * SIZE, (g + 1) * 4 * SIZE);
        trained.append(group, Float32Array.from([...last, ...last]));
      }
      const {adapters, report} = await adaptersFromStates(pipeline, 'snli-ve', trained, {...OPTIONS, steps: 20});
      expect(adapters).toBeUndefined();
      expect(report.layers).toMatchObject([{kept: false}]);
    });

    test('labels: rows with wrong ones pull away from the last layer only where they are asked for', async () => {
      const wrong = new MemoryStates(4, SIZE);
      for (const [g, group] of states.groups.entries()) {
        const own = [1, 2, 3, 4].flatMap((layer) => [...states.read(layer).slice(g * 4 * SIZE, (g + 1) * 4 * SIZE)]);
        wrong.append({...group, labels: group.labels.map(() => 0)}, Float32Array.from(own));
      }
      const divergence = async (of: MemoryStates, labels: boolean): Promise<number> => {
        const {adapters, report} = await adaptersFromStates(pipeline, 'snli-ve', of, {...OPTIONS, steps: 20, labels});
        adapters?.[Symbol.dispose]();
        return report.layers[0]!.after.divergence;
      };
      expect(await divergence(wrong, false)).toBe(await divergence(states, false));
      expect(await divergence(wrong, true)).toBeGreaterThan(await divergence(wrong, false));
    });

    test('no tensor is left, neither after an answer nor after an abort', async () => {
      await valueWithoutLeaks(async () => {
        const {adapters} = await adaptersFromStates(pipeline, 'snli-ve', states, {...OPTIONS, steps: 20});
        adapters?.[Symbol.dispose]();
      });
      const controller = new AbortController();
      const aborted = await withoutLeaks(() =>
        adaptersFromStates(pipeline, 'snli-ve', states, {
          ...OPTIONS,
          signal: controller.signal,
          onLook: ({step}) => step > 0 && controller.abort(),
        }),
      );
      expect(aborted).toMatchObject({error: {code: 'aborted'}});
    });

    test.each([
      ['width', {kind: 'bottleneck', width: 0}],
      ['steps', {steps: 0.5}],
      ['batch', {batch: Number.NaN}],
      ['learningRate', {learningRate: 0}],
      ['decay', {decay: 20}],
      ['heldOut', {heldOut: 1}],
    ] as const)('refuses %s that cannot be', async (name, options) => {
      const refused = adaptersFromStates(pipeline, 'snli-ve', states, {...OPTIONS, ...options});
      await expect(refused).rejects.toMatchObject({
        code: 'option-invalid',
        message: expect.stringContaining(name) as string,
      });
    });

    test('refuses rows of a single picture', async () => {
      const single = new MemoryStates(4, SIZE);
      single.append({index: 0, imageId: 'a', labels: [0]}, new Float32Array(4 * SIZE));
      await expect(adaptersFromStates(pipeline, 'snli-ve', single)).rejects.toMatchObject({code: 'data-small'});
    });
  },
  FIRST_DEVICE,
);
