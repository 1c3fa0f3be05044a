import * as tf from '@tensorflow/tfjs';
import {never} from '../../src/exit/policy.js';
import {fixed} from '../../src/exit/policies/static.js';
import {similarity} from '../../src/exit/policies/similarity.js';
import {thresholdAt} from '../../src/exit/policies/threshold.js';
import {TargetBias} from '../../src/models/ofa/bias-tables.js';
import type {OfaDecoding} from '../../src/models/ofa/decode.js';
import type {OfaEncoded} from '../../src/models/ofa/encode.js';
import type {OfaModel} from '../../src/models/ofa/model.js';
import {causalMask} from '../../src/nn/attention.js';
import {TensorScope} from '../../src/runtime/tensor-scope.js';
import {codeLogits} from '../support/models/code-logits.js';
import {onBackends} from '../support/backends.js';
import {closeArrays, closeTo, LOGITS, SIMILARITIES, STATES} from '../support/golden/close-to.js';
import {golden, type GoldenArray} from '../support/golden/golden.js';
import {goldenPixels} from '../support/data/pixels.js';
import {useMicroModels} from '../support/models/use-micro-models.js';

const encoderArrays = golden('encoder_plain.safetensors');
const encoderInfo = golden<{cases: Record<string, {src_tokens: number[][]; patch_masks: boolean[]}>}>(
  'encoder_plain.json',
);

async function encodeCase(model: OfaModel, letter: string): Promise<OfaEncoded> {
  using scope = new TensorScope();
  const {src_tokens, patch_masks} = encoderInfo.cases[letter]!;
  const pixels = scope.hold(goldenPixels(encoderArrays[`${letter}.image_u8`]!));
  return await model.encode({pixels, prompts: src_tokens, patchMasks: patch_masks}, never);
}

/** Our keys are kept transposed, [R, H, d, n]; the golden's are [R, H, n, d]. */
async function checkCaches(decoding: OfaDecoding, arrays: Record<string, GoldenArray>, prefix: string): Promise<void> {
  for (const [l, cache] of decoding.caches.entries()) {
    const keys = arrays[`${prefix}.cache.layer${l}.self_k`];
    const values = arrays[`${prefix}.cache.layer${l}.self_v`];
    if (!keys || !values) continue;
    const transposed = cache.held!.keys.transpose([0, 1, 3, 2]);
    await closeTo(transposed, keys, STATES);
    transposed.dispose();
    await closeTo(cache.held!.values, values, STATES);
  }
}

interface IncrementalStep {
  readonly step: number;
  readonly threshold: number;
  readonly similarities: readonly number[];
  readonly exit_layer: number;
  readonly self_cache_lengths: readonly number[];
  readonly tokens: readonly number[];
  readonly reorder: readonly number[] | null;
  readonly layers_sharing_one_cache_object_before_reorder?: readonly number[] | null;
}
interface Incremental {
  readonly case: string;
  readonly name: string;
  readonly rows: number;
  readonly steps: readonly IncrementalStep[];
}
interface FullPass {
  readonly case: string;
  readonly name: string;
  readonly decoder_thres: number;
  readonly similarities: readonly number[];
  readonly exit_layer: number;
  readonly prev_output_tokens: readonly (readonly number[])[];
}

onBackends('decoder', () => {
  const {models} = useMicroModels();

  describe('plain', () => {
    const arrays = golden('decoder_plain.safetensors');
    const {cases} = golden<{cases: Record<string, {prev_output_tokens: number[][]}>}>('decoder_plain.json');
    const letters = Object.keys(cases).filter((name) => name !== 'code');
    let model: OfaModel;
    const encodings: Record<string, OfaEncoded> = {};
    beforeAll(async () => {
      model = models.plain;
      for (const letter of letters) encodings[letter] = await encodeCase(model, letter);
    });
    afterAll(() => {
      for (const encoded of Object.values(encodings)) encoded[Symbol.dispose]();
    });

    test.each(letters)('teacher-forced, case %s', async (name) => {
      using scope = new TensorScope();
      const tokens = cases[name]!.prev_output_tokens;
      const length = tokens[0]!.length;
      const {decoder} = model;
      const bias = scope.hold(new TargetBias(decoder, length));
      const encoded = encodings[name]!;
      const check = async (part: string, tensor: tf.Tensor, tolerance = STATES): Promise<void> => {
        const expected = arrays[`${name}.${part}`];
        if (expected) await closeTo(scope.hold(tensor), expected, tolerance);
        else tensor.dispose();
      };
      await check(
        'embedded_input',
        tf.tidy(() => decoder.embed(tf.tensor2d(tokens, undefined, 'int32'))),
      );
      const cross = scope.hold(decoder.crossBias(bias.positions, encoded.positions));
      await check('cross_bias', cross.clone());
      const causal = scope.hold(causalMask(length, length));
      for (const [l, layer] of decoder.layers.entries()) {
        await check(`layer${l}.self_bias`, bias.self[l]!.clone());
        const before = arrays[l === 0 ? `${name}.embedded_input` : `${name}.layer${l - 1}.out`];
        if (!before || tokens.flat().includes(1)) continue;
        const x = scope.hold(tf.tensor3d(before.data as Float32Array, before.shape as [number, number, number]));
        await check(
          `layer${l}.self_attn_out`,
          tf.tidy(() => layer.selfAttention.forward(layer.selfNorm.forward(x), [bias.self[l]!, causal])),
        );
      }
      const pass = model.targetPass(encoded, length, scope);
      const watch = {
        name: 'watch',
        observe: async (_: tf.Tensor, after: tf.Tensor, at: {layer: number}) => {
          await check(`layer${at.layer - 1}.out`, after.clone());
          return {exit: false};
        },
      };
      const at = tokens.flatMap((row, r) => row.map((_, position) => ({row: r, position})));
      const {logits} = await model.scoring.score(pass, {targets: tokens, at}, watch);
      scope.hold(logits);
      const expected = arrays[`${name}.logits`];
      const rows = arrays[`${name}.logits.rows_130_139`];
      if (expected) await closeTo(logits, expected, LOGITS);
      if (expected && arrays[`${name}.log_probs`])
        await closeTo(scope.hold(tf.logSoftmax(logits)), arrays[`${name}.log_probs`]!, LOGITS);
      if (rows) await closeTo(scope.hold(tf.slice(logits, [130, 0], [10, -1])), rows, LOGITS);
      expect(expected ?? rows).toBeDefined();

      // Token by token gives the same, and the caches of the reference.
      using decoding = model.startDecoding(encoded, 1, length, 'gap');
      const all = await logits.data();
      const words = decoder.config.vocab_size;
      for (let t = 0; t < length; t++) {
        const step = await decoding.step(
          tokens.map((row) => row[t]!),
          never,
        );
        const got = await step.logits.data();
        step.logits.dispose();
        for (const [r, row] of tokens.entries()) {
          if (row[t] === 1) continue; // padding: nothing downstream reads it
          const from = (r * length + t) * words;
          closeArrays(got.subarray(r * words, (r + 1) * words), all.subarray(from, from + words), LOGITS);
        }
      }
      if (!tokens.flat().includes(1)) await checkCaches(decoding, arrays, name);
      for (let l = 0; l < decoder.layers.length; l++) {
        const expectedKeys = arrays[`${name}.cache.layer${l}.cross_k`];
        if (!expectedKeys) continue;
        const memory = pass.crossAttention.of(l, [...Array(encoded.images).keys()]);
        await closeTo(scope.hold(memory.keys.all.transpose([0, 1, 3, 2])), expectedKeys, STATES);
        await closeTo(memory.values.all, arrays[`${name}.cache.layer${l}.cross_v`]!, STATES);
      }
    });

    test("logits of image codes, composed from the decoder's blocks", async () => {
      using scope = new TensorScope();
      const tokens = cases['code']!.prev_output_tokens;
      const length = tokens[0]!.length;
      const encoded = encodings['b']!;
      for (const [part, masks] of [
        ['logits_all_code', [true, true]],
        ['logits_first_code_second_text', [true, false]],
      ] as const) {
        const expected = arrays[`code.${part}`];
        if (!expected) throw new Error(`no golden code.${part}`);
        const logits = scope.hold(codeLogits(model, model.targetPass(encoded, length, scope), tokens, masks));
        await closeTo(logits, expected, LOGITS);
      }
    });
  });

  describe('MuE', () => {
    const arrays = golden('mue_decoder.safetensors');
    const info = golden<{
      incremental: readonly Incremental[];
      full_pass: readonly FullPass[];
      schedule: readonly {decoder_thres: number | null; max_len: number; thresholds: number[]}[];
    }>('mue_decoder.json');
    const branchArrays = golden('mue_decoder_research_branch.safetensors');
    const branch = golden<{incremental: readonly Incremental[]}>('mue_decoder_research_branch.json');
    let model: OfaModel;
    const encodings: Record<string, OfaEncoded> = {};
    beforeAll(async () => {
      model = models.mue;
      const used = [info.incremental, info.full_pass, branch.incremental].flat().map((c) => c.case);
      for (const letter of new Set(used)) encodings[letter] = await encodeCase(model, letter);
    });
    afterAll(() => {
      for (const encoded of Object.values(encodings)) encoded[Symbol.dispose]();
    });

    test('schedule of the release', () => {
      for (const {decoder_thres, max_len, thresholds} of info.schedule) {
        const ours = thresholds.map((_, t) =>
          decoder_thres === null ? 1 : thresholdAt({name: 'release'}, decoder_thres, t, max_len),
        );
        closeArrays(ours, thresholds, 1e-6);
      }
    });

    const replay = async (
      c: Incremental,
      expected: Record<string, GoldenArray>,
      mode: 'gap' | 'copy',
    ): Promise<void> => {
      const encoded = encodings[c.case]!;
      using decoding = model.startDecoding(encoded, c.rows / encoded.images, c.steps.length, mode);
      const logits: Float32Array[] = [];
      for (const step of c.steps) {
        if (step.reorder) {
          // The branch's layers shared one cache object by reference, and each of them gathered it: m layers, m times.
          const times = step.layers_sharing_one_cache_object_before_reorder ?? [];
          for (const [l, cache] of decoding.caches.entries())
            for (let i = 1; i < (times[l] ?? 1); i++)
              tf.tidy(() => cache.reorder(step.reorder!, tf.tensor1d([...step.reorder!], 'int32')));
          decoding.reorder(step.reorder);
        }
        const result = await decoding.step(step.tokens, similarity({threshold: step.threshold, mode: 'reference'}));
        logits.push((await result.logits.data()) as Float32Array);
        result.logits.dispose();
        expect([step.step, result.traces[0]![0]!.exitLayer]).toEqual([step.step, step.exit_layer]);
        closeArrays(result.traces[0]![0]!.scores as number[], step.similarities, SIMILARITIES);
        expect(decoding.caches.map((cache) => cache.length)).toEqual(step.self_cache_lengths);
      }
      const name = `${c.case}.${c.name}`;
      const want = expected[`${name}.logits`];
      if (want) {
        const words = model.config.vocab_size;
        const byRow = Float32Array.from({length: want.data.length}, (_, i) => {
          const [row, t] = [Math.floor(i / words / c.steps.length), Math.floor(i / words) % c.steps.length];
          return logits[t]![row * words + (i % words)]!;
        });
        closeArrays(byRow, want.data as Float32Array, LOGITS, want.shape);
      }
      await checkCaches(decoding, expected, name);
    };

    test.each(info.incremental.map((c) => [`${c.case}.${c.name}`, c] as const))('step by step, %s', (_, c) =>
      replay(c, arrays, 'gap'),
    );
    test.each(branch.incremental.map((c) => [`${c.case}.${c.name}`, c] as const))('research branch, %s', (_, c) =>
      replay(c, branchArrays, 'copy'),
    );

    test.each(info.full_pass.map((c) => [`${c.case}.${c.name}`, c] as const))('one pass, %s', async (_name, c) => {
      using scope = new TensorScope();
      const tokens = c.prev_output_tokens;
      const at = tokens.flatMap((row, r) => row.map((_, position) => ({row: r, position})));
      const inner = similarity({threshold: c.decoder_thres, mode: 'reference'});
      const watch: typeof inner = {
        name: 'watch',
        observe: async (before, after, position, logits) => {
          const state = arrays[`${c.case}.full.${c.name}.state${position.layer}`];
          if (state) await closeTo(after, state, STATES);
          const want = arrays[`${c.case}.full.${c.name}.layer${position.layer - 1}.logits`];
          if (want) await closeTo(logits(), want, LOGITS);
          return await inner.observe(before, after, position, logits);
        },
      };
      const {logits, runs} = await model.score(encodings[c.case]!, {targets: tokens, at}, watch);
      const {traces} = runs[0]!;
      scope.hold(logits);
      expect(traces[0]!.exitLayer).toBe(c.exit_layer);
      closeArrays(traces[0]!.scores as number[], c.similarities, SIMILARITIES);
      const want = arrays[`${c.case}.full.${c.name}.logits`];
      if (want) await closeTo(logits, want, LOGITS);
    });

    test('just-in-time equals full depth wherever the last layer is reached', async () => {
      const first = info.incremental[0]!;
      const encoded = encodings[first.case]!;
      const beams = first.rows / encoded.images;
      const tokens = first.steps.map((s) => s.tokens);
      using full = model.startDecoding(encoded, beams, tokens.length, 'gap');
      using lazy = model.startDecoding(encoded, beams, tokens.length, 'just-in-time');
      const pattern = [1, 4, 2, 1, 3, 4, 1, 1, 2, 3, 1, 4];
      const depths = tokens.map((_, t) => pattern[t % pattern.length]!);
      // Beams of one image change places: the first one twice, and one step round.
      const all = Array.from({length: first.rows}, (_, row) => row);
      const own = (row: number, beam: number): number => row - (row % beams) + (beam % beams);
      const rows = [
        all,
        all.map((row) => own(row, Math.max(0, 1 - (row % beams)))),
        all.map((row) => own(row, (row % beams) + 2)),
      ];
      for (const [t, row] of tokens.entries()) {
        if (t % 3 === 2) for (const decoding of [full, lazy]) decoding.reorder(rows[t % 2 ? 1 : 2]!);
        const want = await full.step(row, never);
        const got = await lazy.step(row, fixed({layers: depths[t]!}));
        if (depths[t] === 4) closeArrays(await got.logits.data(), await want.logits.data(), LOGITS);
        want.logits.dispose();
        got.logits.dispose();
      }
      expect(lazy.caches.map((cache) => cache.length)).toEqual(full.caches.map((cache) => cache.length));
      // Late tokens meet keys that causality hides from them: a little more arithmetic than in their own step.
      expect(lazy.macs[0]!.run).toBeLessThan(full.macs[0]!.run * 1.01);
    });

    test.each(['project', 'just-in-time', 'copy'] as const)('%s keeps caches in step', async (mode) => {
      const {rows, steps, case: letter} = info.incremental[0]!;
      const encoded = encodings[letter]!;
      using decoding = model.startDecoding(encoded, rows / encoded.images, steps.length, mode);
      for (const [t, {tokens}] of steps.entries()) {
        (await decoding.step(tokens, fixed({layers: [1, 4, 2, 3][t % 4]!}))).logits.dispose();
        const lengths = decoding.caches.map((cache) => cache.length);
        if (mode !== 'just-in-time') expect(lengths).toEqual([t + 1, t + 1, t + 1, t + 1]);
        else expect([lengths[0], Math.max(...lengths)]).toEqual([t + 1, t + 1]);
      }
    });
  });
});
