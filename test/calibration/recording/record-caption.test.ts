import {captionRow, parseCaptionRecording} from '../../../src/calibration/recording/caption.js';
import {captionProposal, promising} from '../../../src/calibration/sweep/caption-proposal.js';
import {PolicyReplay} from '../../../src/calibration/replay/policy-replay.js';
import {type CaptionRecord, recordCaption} from '../../../src/calibration/recording/record-caption.js';
import {captionTarget, SettingRunner} from '../../../src/calibration/settings/runner.js';
import {settingGrid} from '../../../src/calibration/settings/grid.js';
import {sweepRecording} from '../../../src/calibration/sweep/sweep.js';
import type {RgbImage} from '../../../src/data/image.js';
import {never} from '../../../src/exit/policy.js';
import {recordingPolicy} from '../../../src/exit/recording.js';
import type {ImageStates} from '../../../src/models/model.js';
import type {OfaPipeline} from '../../../src/tasks/ofa-processor.js';
import {FIRST_DEVICE, onBackends} from '../../support/backends.js';
import {withoutLeaks} from '../../support/leaks.js';
import {useMicroModels} from '../../support/models/use-micro-models.js';

const picture: RgbImage = {width: 20, height: 30, data: Uint8Array.from({length: 1800}, (_, i) => (i * 37) % 256)};
// Greedy and free, so that the likeliest word is the one that is written.
const GREEDY = {num_beams: 1, max_new_tokens: 6, no_repeat_ngram_size: 0};
// Captions of one length, whatever the exits.
const LONG = {...GREEDY, min_length: 6};
const [I, T, L] = [3, 3, 4];

/** The first line of a recording of this model's captions. */
function headerOf(mue: OfaPipeline): object {
  const {stacks, model} = captionTarget(mue);
  const format = {format: 'mue-caption-recording', version: 1};
  return {...format, task: 'caption', model, data: '', generation: {}, stacks};
}

onBackends(
  'recorded captions',
  () => {
    const {mues} = useMicroModels();
    const depthsOf = async (mue: OfaPipeline): Promise<ImageStates> => {
      const pixels = await mue.pixels(picture);
      try {
        return await mue.model.imageStates(pixels);
      } finally {
        pixels.dispose();
      }
    };
    const record = async (mue: OfaPipeline, generation = GREEDY): Promise<CaptionRecord> => {
      using depths = await depthsOf(mue);
      return await recordCaption(mue.model, depths, mue.captionWriter(generation));
    };

    test('recordCaption: what is fed again looks as it did when it was written', async () => {
      const {mue} = mues;
      const {policy, passes} = recordingPolicy(never);
      const alone = await mue.caption(picture, {...GREEDY, exit: {policy}});
      const {caption, positions, similarity, margin, entropy, max, answer, encoder, macs} = await record(mue);
      const steps = passes.filter(({stack}) => stack === 'decoder');
      expect([caption, positions]).toEqual([alone.text, steps.length]);
      for (const [k, stack] of ['encoder.image', 'encoder.text'].entries()) {
        const pass = passes.find((candidate) => candidate.stack === stack)!;
        for (const [l, x] of encoder[k]!.entries()) expect(x).toBeCloseTo(pass.layers[l]!.similarity, 5);
      }
      for (const [p, {layers}] of steps.entries()) {
        for (const [l, seen] of layers.entries()) {
          const cell = (p * I * T + I * T - 1) * L + l;
          const [words] = seen.confidences!;
          expect(similarity[cell]).toBeCloseTo(seen.similarity, 4);
          expect([margin[cell], max[cell], entropy[cell]].map((x) => Number(x!.toFixed(3)))).toEqual(
            [words!.margin, words!.max, words!.entropy].map((x) => Number(x.toFixed(3))),
          );
          // At the greatest length only the end symbol may follow.
          if (p < GREEDY.max_new_tokens)
            expect(answer[cell] === 0).toBe(words!.argmax === layers.at(-1)!.confidences![0]!.argmax);
        }
      }
      expect(macs.base + macs.layer[0]! * (I - 1) + macs.layer[1]! * (T - 1) + macs.layer[2]! * (L - 1)).toBeCloseTo(
        (await mue.caption(picture, {...GREEDY, exit: 'never'})).macs.run,
        3,
      );
    });

    test('parseCaptionRecording: replays count layers as runs do, and multiply-accumulates nearly', async () => {
      const {mue} = mues;
      const row = captionRow({index: 0, id: 'a', imageId: 'a', references: ['x']}, await record(mue, LONG));
      const header = headerOf(mue);
      const {recording, measures} = parseCaptionRecording(
        JSON.parse(JSON.stringify(header)),
        [JSON.parse(JSON.stringify(row))],
        'here',
      );
      const replay = new PolicyReplay(recording, {measures});
      const settings = settingGrid(replay, {count: 4, policies: ['similarity', 'patience', 'entropy']});
      const proposal = captionProposal(sweepRecording(replay, settings, ''));
      expect(proposal.full).toMatchObject({layers: {image: I, text: T, decoder: L}, etr: 0, exact: false});
      for (const point of [...proposal.points, ...proposal.static])
        expect(Object.keys(point)).not.toContain('accuracy');
      const chosen = promising(proposal, 5);
      expect(chosen.length).toBeGreaterThan(2);
      // Depths that hang on no word: what is estimated is what a run of as many words comes to.
      using depths = await depthsOf(mue);
      const fixed = proposal.static.filter(
        ({image, text, decoder}) => [image, text, decoder].join() === '1,2,2' || decoder === L,
      );
      const runner = new SettingRunner(mue, fixed, LONG);
      const {searches, of} = await runner.run(depths);
      for (const [s, setting] of runner.settings.entries()) {
        const point = fixed.find(
          ({image, text, decoder}) => image === setting.image && text === setting.text && decoder === setting.decoder,
        )!;
        const {layers, macs} = searches[of[s]!.search]!;
        const steps = new Array<number>(row.positions).fill(point.layers.decoder);
        expect(layers).toEqual({
          'encoder.image': point.layers.image,
          'encoder.text': point.layers.text,
          decoder: steps,
        });
        expect(Math.abs(point.macs.run / macs.run - 1)).toBeLessThan(0.001);
      }
      expect(runner.settings.length).toBeGreaterThan(5);
    });

    test('parseCaptionRecording: a joint encoder is one stack before the decoder', async () => {
      const {plain} = mues;
      const row = captionRow({index: 0, id: 'a', imageId: 'a', references: ['x']}, await record(plain));
      const header = headerOf(plain);
      const parse = (of: object) =>
        parseCaptionRecording(header, [JSON.parse(JSON.stringify({...row, ...of}))], 'here');
      const {recording, measures} = parse({});
      const full = new PolicyReplay(recording, {measures}).full();
      expect([full.layers.encoder![0], full.layers.decoder![0]]).toEqual([I, L]);
      const corrupt = expect.objectContaining({code: 'recording-corrupt'}) as unknown as Error;
      expect(() => parse({encoder: []})).toThrow(corrupt);
      expect(() => parse({macs: {base: 1, layer: [1, 2, 3]}})).toThrow(corrupt);
    });

    test('recordCaption: leaves no tensor behind, whether it ends or is stopped', async () => {
      const {mue} = mues;
      using depths = await depthsOf(mue);
      const search = mue.captionWriter(GREEDY);
      await recordCaption(mue.model, depths, search);
      expect(await withoutLeaks(() => recordCaption(mue.model, depths, search))).toHaveProperty('value');
      expect(await withoutLeaks(() => recordCaption(mue.model, depths, search, AbortSignal.abort()))).toHaveProperty(
        'error.name',
        'AbortError',
      );
    });
  },
  FIRST_DEVICE,
);
