import * as tf from '@tensorflow/tfjs';
import {fixed} from '../../src/exit/policies/static.js';
import {never, stackPolicies} from '../../src/exit/policy.js';
import {similarity} from '../../src/exit/policies/similarity.js';
import type {SkippedKv} from '../../src/exit/skipped-kv-cache.js';
import type {CocaModel} from '../../src/models/coca/model.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import {onBackends} from '../support/backends.js';
import {closeArrays, SIMILARITIES} from '../support/golden/close-to.js';
import {pixelsOf} from '../support/models/coca-inputs.js';
import {cocaModel} from '../support/models/coca-model.js';
import {cocaArrays, cocaJson, describeCoca} from '../support/golden/golden-coca.js';
import {greedyCaption} from '../support/models/greedy-caption.js';

interface Run {
  readonly vision_layers: number;
  readonly tokens: readonly number[];
  readonly text_layers: readonly number[];
  readonly multimodal_layers: readonly number[];
  readonly text_cos: readonly (readonly number[])[];
  readonly multimodal_cos: readonly (readonly number[])[];
}
interface Adaptive {
  readonly thresholds: Readonly<Record<'vision' | 'text' | 'multimodal', number>>;
  readonly skipped_kv: SkippedKv;
  readonly seq_len: number;
  readonly min_seq_len: number;
  readonly runs: readonly Run[];
}
interface Forced {
  readonly vision: number;
  readonly text: number;
  readonly multimodal: number;
  readonly key: string;
  readonly greedy: readonly (readonly number[])[];
}
interface Goldens {
  readonly adaptive: readonly Adaptive[];
  readonly forced_exits: readonly Forced[];
  readonly generation: {
    readonly seq_len: number;
    readonly min_seq_len: number;
    readonly ids: {readonly sot: number; readonly eot: number};
  };
}

describeCoca(
  'captions with exits',
  ['micro/goldens.safetensors', 'micro/goldens.json', 'micro/open_clip_model.safetensors'],
  () => {
    const {adaptive, forced_exits, generation} = cocaJson<Goldens>('micro/goldens.json');
    const {data, shape} = cocaArrays('micro/goldens.safetensors')['pixels']!;
    const {sot: start, eot: end} = generation.ids;

    onBackends('captions with exits', () => {
      const scope = new TensorScope();
      let model: CocaModel;
      let pictures: tf.Tensor4D[];
      beforeAll(async () => {
        model = scope.hold(await cocaModel('micro'));
        const all = scope.hold(pixelsOf({data, shape, dtype: 'F32'}));
        pictures = Array.from({length: shape[0]!}, (_, b) => scope.hold(tf.slice(all, [b, 0, 0, 0], [1, -1, -1, -1])));
      });
      afterAll(() => {
        scope[Symbol.dispose]();
      });

      test.each(adaptive.map((a) => [`${Object.values(a.thresholds).join(', ')}, ${a.skipped_kv}`, a] as const))(
        'adaptive: thresholds %s',
        async (_, {thresholds, skipped_kv, seq_len, min_seq_len, runs}) => {
          const policy = stackPolicies({
            vision: similarity({threshold: thresholds.vision}),
            text: similarity({threshold: thresholds.text}),
            multimodal: similarity({threshold: thresholds.multimodal}),
          });
          for (const [p, want] of runs.entries()) {
            using inner = new TensorScope();
            const encoded = inner.hold(await model.encode({pixels: pictures[p]!}, policy));
            expect(encoded.runs[0]!.traces[0]!.exitLayer).toBe(want.vision_layers);
            const decoding = inner.hold(model.startDecoding(encoded, 1, seq_len, skipped_kv));
            const {tokens, traces} = await greedyCaption(decoding, policy, {
              start,
              end,
              seqLen: seq_len,
              minSeqLen: min_seq_len,
            });
            expect(tokens).toEqual(want.tokens);
            for (const [stack, name] of ['text', 'multimodal'].entries()) {
              const layers = want[`${name}_layers` as 'text_layers' | 'multimodal_layers'];
              expect(traces.map((step) => step[stack]!.exitLayer).slice(0, layers.length)).toEqual(layers);
              const cosines = want[`${name}_cos` as 'text_cos' | 'multimodal_cos'];
              for (const [step, wanted] of cosines.entries()) {
                // The last layer's cosine decides nothing, and is not measured.
                const got = traces[step]![stack]!.scores.filter((score) => score !== null);
                closeArrays(got, wanted.slice(0, got.length), SIMILARITIES);
                expect(got.length).toBe(Math.min(wanted.length, traces[step]![stack]!.depth - 1));
              }
            }
            const lengths = decoding.cacheLengths;
            expect(new Set([...lengths.text, ...lengths.multimodal])).toEqual(new Set([traces.length]));
          }
        },
      );

      test.each(forced_exits.map((exit) => [exit.key, exit] as const))(
        'greedy captions, %s',
        async (_, {vision, text, multimodal, greedy}) => {
          const policy = stackPolicies({
            vision: fixed({layers: vision}),
            text: fixed({layers: text}),
            multimodal: fixed({layers: multimodal}),
          });
          for (const [p, want] of greedy.entries()) {
            using inner = new TensorScope();
            const encoded = inner.hold(await model.encode({pixels: pictures[p]!}, policy));
            // At a fixed depth no layer above is ever asked: whatever stands in its caches.
            const decoding = inner.hold(model.startDecoding(encoded, 1, generation.seq_len, 'project'));
            const {tokens} = await greedyCaption(decoding, policy, {
              start,
              end,
              seqLen: generation.seq_len,
              minSeqLen: generation.min_seq_len,
            });
            expect(tokens).toEqual(want);
          }
        },
      );

      test('without exits, token by token is the whole text at once', async () => {
        using inner = new TensorScope();
        const encoded = inner.hold(await model.encode({pixels: pictures[1]!}, never));
        const ids = [start, 21, 0, 0, 95, 365, 0, 199, 287, 21, 265, 413, 500, 0, 3, 4, 5, 6, 7, end];
        expect(ids.length).toBe(model.contextLength);
        const at = ids.map((_, position) => ({row: 0, position}));
        const {logits: whole} = await model.score(encoded, {targets: [ids], at}, never);
        const wanted = await inner.hold(whole).data();
        const words = model.vocabularySize;
        for (const mode of ['project', 'copy', 'just-in-time'] as const) {
          const decoding = inner.hold(model.startDecoding(encoded, 1, ids.length, mode));
          for (const [position, id] of ids.entries()) {
            const {logits} = await decoding.step([id], never);
            closeArrays(await logits.data(), wanted.slice(position * words, (position + 1) * words), 1e-4);
            logits.dispose();
          }
        }
      });
    });
  },
);
