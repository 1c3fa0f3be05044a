import * as tf from '@tensorflow/tfjs';
import {type PolicySetting, settingPlan} from '../../../src/calibration/policy-setting.js';
import {SettingRunner, type SettingRuns} from '../../../src/calibration/settings/runner.js';
import type {RgbImage} from '../../../src/data/image.js';
import type {OfaPipeline} from '../../../src/tasks/ofa-processor.js';
import {FIRST_DEVICE, onBackends} from '../../support/backends.js';
import {withoutLeaks} from '../../support/leaks.js';
import {similar} from '../../support/settings.js';
import {useMicroModels} from '../../support/models/use-micro-models.js';

const pictures = [37, 91].map(
  (factor): RgbImage => ({width: 20, height: 30, data: Uint8Array.from({length: 1800}, (_, i) => (i * factor) % 256)}),
);
const fixed = (image: number, text: number, decoder: number): PolicySetting => ({
  encoder: 'fixed',
  policy: 'fixed',
  image,
  text,
  decoder,
});
const SETTINGS: readonly PolicySetting[] = [
  fixed(1, 2, 3),
  fixed(3, 3, 4),
  similar(null, null),
  similar(1, 1.5, {decoder: 2}),
  similar(0.3, 0.3, {decoder: 0.3}),
  similar(0.9, 0.999, {decoder: 0.95}),
  similar(0.9, 0.999, {policy: 'softmax-margin', decoder: 0.02}),
  similar(0.9, 0.999, {policy: 'softmax-max', decoder: 0.05}),
  similar(0.3, null, {policy: 'entropy', decoder: 4}),
  {...fixed(2, 1, 2), policy: 'patience'},
  {...fixed(2, 1, 0.01), policy: 'patience-confidence', patience: 2},
  {...similar(0.9, 0.9), policy: 'quantile-budget', score: 'similarity', thresholds: [0.5, null, 0.9]},
];
const GENERATION = {num_beams: 3, max_new_tokens: 6};

async function runAll(mue: OfaPipeline, settings: readonly PolicySetting[], picture: RgbImage): Promise<SettingRuns> {
  const pixels = await mue.pixels(picture);
  using depths = await mue.model.imageStates(pixels);
  pixels.dispose();
  return await new SettingRunner(mue, settings, GENERATION).run(depths);
}

onBackends(
  'settings',
  () => {
    const {mues} = useMicroModels();

    test('SettingRunner: each setting is what its plan gives: words, layers, multiply-accumulates', async () => {
      const {mue} = mues;
      const {settings, target} = new SettingRunner(mue, SETTINGS);
      // Full depth is first, and here it is again.
      expect(settings).toEqual([SETTINGS[1], SETTINGS[0], ...SETTINGS.slice(2)]);
      const depths = new Set<string>();
      for (const picture of pictures) {
        const runs = await runAll(mue, SETTINGS, picture);
        for (const [s, setting] of settings.entries()) {
          const {search, testMacs} = runs.of[s]!;
          const {text, tokens, score, layers, macs} = runs.searches[search]!;
          const alone = await mue.caption(picture, {...GENERATION, exit: settingPlan(setting, target)});
          expect([setting, text, tokens]).toEqual([setting, alone.text, alone.tokens]);
          expect(score).toBeCloseTo(alone.score, 4);
          const {'encoder.image': image, 'encoder.text': words, decoder} = alone.layers;
          expect(layers).toEqual({'encoder.image': image!.run, 'encoder.text': words!.run, decoder: decoder!.run});
          expect({run: macs.run + testMacs, full: macs.full}).toEqual(alone.macs);
          depths.add(Object.values(layers).join());
        }
      }
      expect(depths.size).toBeGreaterThan(6);
    });

    test('SettingRunner: a joint encoder is one stack: each setting is what its plan gives', async () => {
      const {plain} = mues;
      const joint = SETTINGS.slice(0, 9).map(({text: _, ...setting}) => setting);
      const {settings, target} = new SettingRunner(plain, joint);
      const runs = await runAll(plain, joint, pictures[0]!);
      for (const [s, setting] of settings.entries()) {
        const {search, testMacs} = runs.of[s]!;
        const {text, layers, macs} = runs.searches[search]!;
        const alone = await plain.caption(pictures[0]!, {...GENERATION, exit: settingPlan(setting, target)});
        expect([setting, text]).toEqual([setting, alone.text]);
        expect(layers).toEqual({encoder: alone.layers.encoder!.run, decoder: alone.layers.decoder!.run});
        expect({run: macs.run + testMacs, full: macs.full}).toEqual(alone.macs);
      }
      expect(settings.length).toBeGreaterThan(6);
    });

    test('SettingRunner: settings that come to the same depths and policies share a search', async () => {
      const {searches, of} = await runAll(mues.mue, SETTINGS.slice(0, 4), pictures[0]!);
      expect(searches).toHaveLength(2);
      expect(of.map(({search}) => search)).toEqual([0, 1, 0, 0]);
    });

    test('SettingRunner: leaves no tensor behind, whether it ends or is stopped', async () => {
      const {mue} = mues;
      const pixels = await mue.pixels(pictures[0]!);
      const depths = await mue.model.imageStates(pixels);
      const runner = new SettingRunner(mue, SETTINGS.slice(0, 6), GENERATION);
      // Cross memories of a layer are made when first asked for, and stay the picture's.
      await runner.run(depths);
      expect(await withoutLeaks(() => runner.run(depths))).toHaveProperty('value');
      expect(await withoutLeaks(() => runner.run(depths, AbortSignal.abort()))).toHaveProperty(
        'error.name',
        'AbortError',
      );
      tf.dispose(pixels);
      depths[Symbol.dispose]();
    });

    test('SettingRunner: refuses what cannot be run before anything runs', () => {
      const code = (name: string) => expect.objectContaining({code: name}) as unknown as Error;
      expect(() => new SettingRunner(mues.plain, SETTINGS)).toThrow(code('settings-stacks'));
      expect(() => new SettingRunner(mues.mue, [similar(0.5, 0.5, {policy: 'linear-head', decoder: 0})])).toThrow(
        code('head-untrained'),
      );
      expect(() => new SettingRunner(mues.mue, [fixed(1, 1, 0)])).toThrow(code('depth-invalid'));
      expect(() => new SettingRunner(mues.mue, [fixed(1.5, 1, 1)])).toThrow(code('depth-invalid'));
      expect(() => new SettingRunner(mues.mue, [similar(Number.NaN, 1)])).toThrow(code('threshold-invalid'));
    });
  },
  FIRST_DEVICE,
);
