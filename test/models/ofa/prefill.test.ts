import * as tf from '@tensorflow/tfjs';
import {fixed} from '../../../src/exit/policies/static.js';
import {patience} from '../../../src/exit/policies/patience.js';
import {type PolicyPerImage, type ExitPolicy, never} from '../../../src/exit/policy.js';
import {similarity} from '../../../src/exit/policies/similarity.js';
import {SKIPPED_KV, type SkippedKv} from '../../../src/exit/stacks.js';
import type {StackTrace} from '../../../src/exit/trace.js';
import {TensorScope} from '../../../src/runtime/tensor-scope.js';
import {onBackends} from '../../support/backends.js';
import {closeArrays, LOGITS, STATES} from '../../support/golden/close-to.js';
import {golden} from '../../support/golden/golden.js';
import {goldenPixels} from '../../support/data/pixels.js';
import {useMicroModels} from '../../support/models/use-micro-models.js';

const pictures = golden('snli_ve_inputs.safetensors');
const PROMPTS = [
  [0, 99, 315, 16, 5, 271, 116, 2],
  [0, 32, 51, 2],
];
const PREFIXES = [
  [0, 99, 315, 16, 5],
  [0, 32, 51, 282, 116],
];

const policies: Readonly<Record<string, () => ExitPolicy>> = {
  never: () => never,
  fixed: () => fixed({layers: 2}),
  similarity: () => similarity({threshold: 0.93, schedule: {name: 't5x'}}),
  patience: () => patience({patience: 2}),
};

onBackends('prefill', () => {
  const {models} = useMicroModels();

  interface Fed {
    readonly logits: Float32Array;
    readonly traces: readonly (readonly StackTrace[])[];
    readonly macs: unknown;
    readonly caches: readonly Float32Array[];
    readonly after: Float32Array;
  }
  /** The prefix, at once or token by token, and one more step of two beams. */
  const feed = async (count: number, make: () => ExitPolicy, mode: SkippedKv, atOnce: boolean): Promise<Fed> => {
    using scope = new TensorScope();
    const model = models.mue;
    const three = scope.hold(goldenPixels(pictures['caption_batch3.rgb_u8']!));
    const pixels = scope.hold(tf.slice(three, [0, 0, 0, 0], [count, -1, -1, -1]));
    const each = Array.from({length: count}, make);
    const policy: PolicyPerImage = count === 1 ? each[0]! : each;
    const encoded = scope.hold(
      await model.encode(
        {pixels, prompts: PROMPTS.slice(0, count)},
        Array.from({length: count}, () => never),
      ),
    );
    const decoding = scope.hold(model.startDecoding(encoded, 1, 12, mode));
    const prefixes = PREFIXES.slice(0, count);
    const logits: Float32Array[] = [];
    const traces: StackTrace[][] = prefixes.map(() => []);
    if (atOnce) {
      const result = await decoding.prefill(prefixes, policy);
      logits.push((await scope.hold(result.logits).data()) as Float32Array);
      for (const [b, own] of result.traces.entries()) traces[b]!.push(...own);
    } else {
      const words = model.vocabularySize;
      const all = new Float32Array(count * 5 * words);
      for (let t = 0; t < 5; t++) {
        const step = await decoding.step(
          prefixes.map((row) => row[t]!),
          policy,
        );
        const values = (await scope.hold(step.logits).data()) as Float32Array;
        for (let b = 0; b < count; b++) all.set(values.subarray(b * words, (b + 1) * words), (b * 5 + t) * words);
        for (const [b, own] of step.traces.entries()) traces[b]!.push(...own);
      }
      logits.push(all);
    }
    const caches: Float32Array[] = [];
    for (const {held} of decoding.caches) if (held) caches.push((await held.values.data()) as Float32Array);
    decoding.reorder(
      prefixes.flatMap((_, b) => [b, b]),
      2,
    );
    const last = await decoding.step(
      prefixes.flatMap(() => [7, 9]),
      policy,
    );
    return {
      logits: logits[0]!,
      traces,
      macs: decoding.macs,
      caches,
      after: (await scope.hold(last.logits).data()) as Float32Array,
    };
  };

  const cases = Object.entries(policies).flatMap(([name, make]) => [
    ...SKIPPED_KV.map((mode) => [name, mode, 1, make] as const),
    [name, 'project', 2, make] as const,
  ]);
  test.each(cases)('%s, %s, %d pictures: what steps would do', async (name, mode, count, make) => {
    const want = await feed(count, make, mode, false);
    const got = await feed(count, make, mode, true);
    closeArrays(got.logits, want.logits, LOGITS);
    for (const [b, own] of got.traces.entries()) {
      const steps = want.traces[b]!;
      expect(own.map(({step, exitLayer, exited, thresholds}) => [step, exitLayer, exited, thresholds])).toEqual(
        steps.map(({step, exitLayer, exited, thresholds}) => [step, exitLayer, exited, thresholds]),
      );
    }
    expect(got.macs).toEqual(want.macs);
    expect(got.caches.length).toBe(want.caches.length);
    for (const [l, values] of got.caches.entries()) closeArrays(values, want.caches[l]!, STATES);
    closeArrays(got.after, want.after, LOGITS);
    // Else nothing is shown: tokens leave at several depths.
    if (name === 'similarity')
      expect(new Set(got.traces.flat().map(({exitLayer}) => exitLayer)).size).toBeGreaterThan(1);
  });
});
