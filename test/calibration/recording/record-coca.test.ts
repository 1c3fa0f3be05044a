import type {RgbImage} from '../../../src/data/image.js';
import {captionRow, parseCaptionRecording} from '../../../src/calibration/recording/caption.js';
import {captionProposal} from '../../../src/calibration/sweep/caption-proposal.js';
import {PolicyReplay} from '../../../src/calibration/replay/policy-replay.js';
import {type PolicySetting, settingPlan} from '../../../src/calibration/policy-setting.js';
import {type CaptionRecord, recordCaption} from '../../../src/calibration/recording/record-caption.js';
import {combinations, recordEntailment} from '../../../src/calibration/recording/record-entailment.js';
import {captionTarget, SettingRunner} from '../../../src/calibration/settings/runner.js';
import {sweepRecording} from '../../../src/calibration/sweep/sweep.js';
import {type ExitPlan, NEVER_PLAN} from '../../../src/exit/plan/schema.js';
import {never} from '../../../src/exit/policy.js';
import {recordingPolicy} from '../../../src/exit/recording.js';
import type {ImageStates} from '../../../src/models/model.js';
import {TensorScope} from '../../../src/runtime/tensor-scope.js';
import type {GenerateOptions} from '../../../src/tasks/generation-options.js';
import type {CocaPipeline} from '../../../src/tasks/coca-processor.js';
import {FIRST_DEVICE, onBackends} from '../../support/backends.js';
import {cocaCaptioner} from '../../support/models/coca-captioner.js';
import {describeCoca} from '../../support/golden/golden-coca.js';
import {valueWithoutLeaks} from '../../support/leaks.js';
import {similar} from '../../support/settings.js';

const FILES = ['fullvocab/open_clip_config.json', 'fullvocab/open_clip_model.safetensors'];
const picture: RgbImage = {width: 50, height: 40, data: Uint8Array.from({length: 6000}, (_, i) => (i * i) % 251)};
const STACKS = ['vision', 'text', 'multimodal'] as const;

describeCoca('a recording of three towers', FILES, () => {
  onBackends(
    'recording',
    () => {
      let model: CocaPipeline;
      beforeAll(async () => {
        model = await cocaCaptioner();
      });
      afterAll(() => model[Symbol.dispose]());

      const plan = (stacks: ExitPlan['stacks']): ExitPlan => ({...NEVER_PLAN, stacks});

      test('recordEntailment: every combination of depths is what entailment with these depths gives', async () => {
        const record = await valueWithoutLeaks(async () => {
          using scope = new TensorScope();
          const pixels = scope.hold(await model.pixels(picture));
          const depths = scope.hold(await model.model.imageStates(pixels));
          const {source, target, answers} = model.entailmentTokens('a dog');
          return await recordEntailment(
            model.model,
            depths,
            source,
            target,
            answers.map(([word]) => word!),
          );
        });
        const all = STACKS.map((stack) => model.model.stacks[stack]!);
        expect(record.encoder.map(({length}) => length)).toEqual(all.slice(0, 2));
        for (const [cell, depths] of combinations(all).entries()) {
          const fixed = Object.fromEntries(STACKS.map((stack, i) => [stack, {policy: 'fixed', layers: depths[i]!}]));
          const {scores, macs} = await model.entail(picture, 'a dog', {exit: plan(fixed)});
          const logits = [...record.logits.subarray(cell * 3, cell * 3 + 3)];
          const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
          for (const [i, score] of Object.values(scores).entries()) expect(logits[i]! - total).toBeCloseTo(score, 3);
          expect(record.macs[cell]).toBe(macs.run);
        }
        // Similarities that a policy would have seen: the threshold is never met, so every layer but the last is
        // measured.
        const looking = Object.fromEntries(
          STACKS.map((stack) => [stack, {policy: 'similarity', threshold: 0.9999999}]),
        );
        const {trace} = await model.entail(picture, 'a dog', {exit: plan(looking)});
        for (const [i, stack] of (['vision', 'text'] as const).entries())
          expect(record.encoder[i]![0]).toBeCloseTo(trace.find((one) => one.stack === stack)!.scores[0]!, 4);
        const deepest = record.similarity.subarray(record.similarity.length - all[2]!);
        expect(deepest[0]).toBeCloseTo(trace.find(({stack}) => stack === 'multimodal')!.scores[0]!, 4);
      });
    },
    FIRST_DEVICE,
  );
});

describeCoca('captions of three towers', ['micro/open_clip_config.json', 'micro/open_clip_model.safetensors'], () => {
  onBackends(
    'recorded and run',
    () => {
      let model: CocaPipeline;
      beforeAll(async () => {
        model = await cocaCaptioner('micro');
      });
      afterAll(() => model[Symbol.dispose]());

      const onDepths = async <T>(use: (depths: ImageStates) => Promise<T>): Promise<T> => {
        using scope = new TensorScope();
        return await use(scope.hold(await model.model.imageStates(scope.hold(await model.pixels(picture)))));
      };
      const record = (generation: GenerateOptions): Promise<CaptionRecord> =>
        onDepths((depths) => recordCaption(model.model, depths, model.captionWriter(generation)));
      const [V, T, M] = [4, 4, 4];

      test('recordCaption: what is fed again looks as it did when it was written, in both halves of the decoder', async () => {
        const greedy = {num_beams: 1, max_new_tokens: 6, min_length: 4};
        const {policy, passes} = recordingPolicy(never);
        const alone = await model.caption(picture, {...greedy, exit: {policy}});
        const {caption, positions, encoder, similarity, margin, entropy, max, answer, macs} = await record(greedy);
        const steps = (stack: string): typeof passes => passes.filter((pass) => pass.stack === stack);
        expect([caption, positions]).toEqual([alone.text, steps('multimodal').length]);
        const [tower] = steps('vision');
        for (const [l, x] of encoder[0]!.entries()) expect(x).toBeCloseTo(tower!.layers[l]!.similarity, 5);
        expect(encoder[1]).toHaveLength(positions * T);
        for (const [p, {layers}] of steps('text').entries())
          for (const [l, seen] of layers.entries()) expect(encoder[1]![p * T + l]).toBeCloseTo(seen.similarity, 4);
        const rounded = (values: readonly number[]): number[] => values.map((x) => Number(x.toFixed(3)));
        for (const [p, {layers}] of steps('multimodal').entries()) {
          for (const [l, seen] of layers.entries()) {
            const cell = (p * V * T + V * T - 1) * M + l;
            const [words] = seen.confidences!;
            expect(similarity[cell]).toBeCloseTo(seen.similarity, 4);
            expect(rounded([margin[cell]!, max[cell]!, entropy[cell]!])).toEqual(
              rounded([words!.margin, words!.max, words!.entropy]),
            );
          }
          // Before the least length the end symbol was ruled out, and at the greatest nothing else was left.
          if (p >= greedy.min_length && p < greedy.max_new_tokens)
            expect(answer[(p * V * T + V * T - 1) * M + M - 1]).toBe(0);
        }
        const {macs: full} = await model.caption(picture, {...greedy, exit: 'never'});
        expect(macs.base + macs.layer.reduce((sum, x) => sum + 3 * x, 0)).toBeCloseTo(full.run, 3);
      });

      test('recordCaption: every combination of vision and text depths gives states of its own', async () => {
        const {positions, similarity} = await record({num_beams: 1, max_new_tokens: 4, min_length: 4});
        const cells = combinations([V, T]).map((_, c) =>
          Array.from({length: positions}, (_position, p) => similarity[(p * V * T + c) * M]!),
        );
        // Other pictures' depths and other text depths give other states.
        expect(new Set(cells.map((cell) => cell.map((x) => x.toFixed(4)).join())).size).toBe(V * T);
      });

      test('parseCaptionRecording: a replay counts what a run of as many words comes to', async () => {
        const long = {num_beams: 1, max_new_tokens: 6, min_length: 6};
        const row = captionRow({index: 0, id: 'a', imageId: 'a', references: ['x']}, await record(long));
        const {stacks, model: sha256} = captionTarget(model);
        const header = {
          format: 'mue-caption-recording',
          version: 1,
          task: 'caption',
          model: sha256,
          data: '',
          generation: {},
          stacks,
        };
        const {recording, measures} = parseCaptionRecording(
          JSON.parse(JSON.stringify(header)),
          [JSON.parse(JSON.stringify(row))],
          'here',
        );
        expect([...recording.similarity.text!]).toEqual([...Float32Array.from(row.encoder[1]!)]);
        const replay = new PolicyReplay(recording, {measures});
        const proposal = captionProposal(sweepRecording(replay, [], ''));
        const runner = new SettingRunner(model, proposal.static, long);
        const {searches, of} = await onDepths((depths) => runner.run(depths));
        expect(runner.settings).toHaveLength(V * T * M);
        for (const [s, {image, text, decoder}] of runner.settings.entries()) {
          const point = proposal.static.find(
            (other) => [other.image, other.text, other.decoder].join() === [image, text, decoder].join(),
          )!;
          const found = searches[of[s]!.search]!;
          const steps = (depth: number): number[] => new Array<number>(row.positions).fill(depth);
          expect(found.layers).toEqual({vision: image!, text: steps(text!), multimodal: steps(decoder!)});
          expect(point.etr).toBeCloseTo(1 - (image! + text! + decoder!) / (V + T + M), 9);
          // Left out: keys and values that skipped layers are filled with, a twelfth of a text layer.
          expect(point.macs.run / found.macs.run).toBeGreaterThan(0.92);
          expect(point.macs.run / found.macs.run).toBeLessThan(1.0001);
        }
      });

      test('SettingRunner: settings are run as their plans, greedy, with beams of both rule sets, under every policy', async () => {
        const settings: readonly PolicySetting[] = [
          similar(0.2, 0.2, {decoder: 0.2}),
          similar(0.2, 0.9, {decoder: 0.95}),
          similar(null, 0.95, {policy: 'softmax-margin', decoder: 0.01}),
          similar(0.9, null, {policy: 'entropy', decoder: 5}),
          {encoder: 'fixed', policy: 'fixed', image: 1, text: 2, decoder: 1},
          {encoder: 'fixed', policy: 'patience', image: 2, text: 1, decoder: 2},
        ];
        const depths = new Set<string>();
        for (const generation of [
          {num_beams: 1, max_new_tokens: 5},
          {num_beams: 2, max_new_tokens: 5},
          {num_beams: 3, max_new_tokens: 5, rules: 'current'},
        ] as const) {
          const runner = new SettingRunner(model, settings, generation);
          const {searches, of} = await valueWithoutLeaks(() => onDepths((known) => runner.run(known)));
          for (const [s, setting] of runner.settings.entries()) {
            const {text, tokens, score, layers, macs} = searches[of[s]!.search]!;
            const alone = await model.caption(picture, {...generation, exit: settingPlan(setting, runner.target)});
            expect([setting, text, tokens]).toEqual([setting, alone.text, alone.tokens]);
            expect(score).toBeCloseTo(alone.score, 4);
            expect(layers).toEqual(Object.fromEntries(STACKS.map((stack) => [stack, alone.layers[stack]!.run])));
            expect({run: macs.run + of[s]!.testMacs, full: macs.full}).toEqual(alone.macs);
            depths.add(Object.values(layers).join());
          }
        }
        expect(depths.size).toBeGreaterThan(6);
      });
    },
    FIRST_DEVICE,
  );
});
