import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type {CaptionSweep} from '../../../src/calibration/sweep/caption-sweep.js';
import type {EvaluationMetrics} from '../../../src/evaluation/metrics.js';
import {parseSweep} from '../../../src/calibration/sweep/file.js';
import {convertCheckpoint} from '../../../src/node/model/convert.js';
import {cocaGoldenBytes, describeCoca} from '../../support/golden/golden-coca.js';
import {runMue} from '../../support/cli/run-mue.js';

const ROWS = {caption: 4, 'snli-ve': 12};

describeCoca(
  'entailments of a contrastive captioner',
  ['fullvocab/open_clip_config.json', 'fullvocab/open_clip_model.safetensors'],
  () => {
    let folder: string;
    let common: readonly string[];
    const at = (...names: string[]): string => path.join(folder, ...names);
    const rows = (task: keyof typeof ROWS): string => {
      const lines = fs.readFileSync(`data/scenes/${task}-test.jsonl`, 'utf8').split('\n').slice(0, ROWS[task]);
      fs.writeFileSync(at(`${task}.jsonl`), `${lines.join('\n')}\n`);
      return at(`${task}.jsonl`);
    };
    const succeed = async (args: readonly string[]): Promise<string> => {
      const {code, stdout, stderr} = await runMue(args);
      expect({code, stderr: code === 0 ? '' : stderr}).toEqual({code: 0, stderr: ''});
      return stdout;
    };
    beforeAll(async () => {
      folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-coca-'));
      for (const name of ['open_clip_config.json', 'open_clip_model.safetensors'])
        fs.writeFileSync(at(name), cocaGoldenBytes(`fullvocab/${name}`));
      await convertCheckpoint({input: at('open_clip_model.safetensors'), output: at('model')});
      common = ['--model', at('model'), '--device', 'wasm', '--images', 'data/scenes'];
    });
    afterAll(() => {
      fs.rmSync(folder, {recursive: true});
    });

    test('mue evaluate: batches give the metrics of single rows, with layers of every stack', async () => {
      const plan = {
        version: 1,
        mode: 'corrected',
        skippedKv: 'project',
        stacks: {vision: {policy: 'fixed', layers: 1}},
      };
      fs.writeFileSync(at('plan.json'), JSON.stringify(plan));
      const data = rows('caption');
      const evaluate = async (batch: string): Promise<EvaluationMetrics> => {
        const out = ['--out', at(`evaluated-${batch}`), '--quiet', '--num-beams', '2', '--max-new-tokens', '5'];
        await succeed([
          'evaluate',
          ...common,
          '--task',
          'caption',
          '--data',
          data,
          '--exit',
          at('plan.json'),
          '--batch',
          batch,
          ...out,
        ]);
        return JSON.parse(fs.readFileSync(at(`evaluated-${batch}`, 'metrics.json'), 'utf8')) as EvaluationMetrics;
      };
      const [one, four] = [await evaluate('1'), await evaluate('4')];
      for (const {layers, depths, etr} of [one, four]) {
        expect(depths).toEqual({vision: 2, text: 2, multimodal: 2});
        expect(layers).toEqual({vision: 1, text: 2, multimodal: 2});
        expect(etr).toBeCloseTo(1 / 6, 9);
      }
      expect(four.macs).toEqual(one.macs);
      expect(four.metrics).toEqual(one.metrics);
    });

    test('mue record, sweep, calibrate, report: plans name the stacks of the model', async () => {
      const data = rows('snli-ve');
      await succeed([
        'record',
        ...common,
        '--task',
        'snli-ve',
        '--data',
        data,
        '--out',
        at('recording.jsonl'),
        '--quiet',
      ]);
      await succeed(['sweep', at('recording.jsonl'), '--grid', '3', '--resamples', '50', '--out', at('swept')]);
      const chosen = JSON.parse(fs.readFileSync(at('swept', 'sweep.json'), 'utf8')) as {
        static: {layers: object; etr: number}[];
      };
      const shallow = chosen.static.find(
        ({layers}) => JSON.stringify(layers) === JSON.stringify({image: 1, text: 1, decoder: 1}),
      );
      expect(shallow?.etr).toBeCloseTo(0.5, 9);
      await succeed([
        'calibrate',
        at('recording.jsonl'),
        '--grid',
        '3',
        '--max-drop',
        '90%',
        '--out',
        at('calibrated.json'),
      ]);
      const {stacks} = JSON.parse(fs.readFileSync(at('calibrated.json'), 'utf8')) as {stacks: object};
      expect(Object.keys(stacks)).toEqual(['vision', 'text', 'multimodal']);
      await succeed([
        'evaluate',
        ...common,
        '--task',
        'snli-ve',
        '--data',
        data,
        '--exit',
        at('calibrated.json'),
        '--out',
        at('run'),
        '--quiet',
      ]);
      await succeed(['report', at('run'), at('swept'), '--out', at('report')]);
      expect(fs.readFileSync(at('report', 'index.html'), 'utf8')).toContain('multimodal');
    });
  },
);

describeCoca(
  'captions of a contrastive captioner',
  ['micro/open_clip_config.json', 'micro/open_clip_model.safetensors'],
  () => {
    let folder: string;
    let common: readonly string[];
    const at = (...names: string[]): string => path.join(folder, ...names);
    const run = async (...args: readonly string[]): Promise<string> => {
      const {code, stdout, stderr} = await runMue([...args, ...common]);
      expect({code, stderr: code === 0 ? '' : stderr}).toEqual({code: 0, stderr: ''});
      return stdout;
    };
    const read = (...names: string[]): string => fs.readFileSync(at(...names), 'utf8');
    /** The file as if the command had been killed while it wrote the third row. */
    const tear = (from: string, to: string): void => {
      fs.mkdirSync(path.dirname(to), {recursive: true});
      fs.writeFileSync(to, `${fs.readFileSync(from, 'utf8').split('\n').slice(0, 3).join('\n')}\n{"index":`);
    };
    beforeAll(async () => {
      folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-coca-captions-'));
      for (const name of ['open_clip_config.json', 'open_clip_model.safetensors'])
        fs.writeFileSync(at(name), cocaGoldenBytes(`micro/${name}`));
      await convertCheckpoint({input: at('open_clip_model.safetensors'), output: at('model')});
      common = ['--model', at('model'), '--device', 'wasm', '--images', 'data/scenes'];
      const lines = fs.readFileSync('data/scenes/caption-test.jsonl', 'utf8').split('\n').slice(0, 3);
      fs.writeFileSync(at('captions.jsonl'), `${lines.join('\n')}\n`);
    });
    afterAll(() => {
      fs.rmSync(folder, {recursive: true});
    });

    test('mue record, sweep --run, report: go on after a break, and name the stacks of the model', async () => {
      const record = ['record', '--task', 'caption', '--data', at('captions.jsonl'), '--out'];
      await run(...record, at('recording.jsonl'));
      tear(at('recording.jsonl'), at('torn.jsonl'));
      await run(...record, at('torn.jsonl'));
      expect(read('torn.jsonl')).toBe(read('recording.jsonl'));
      const grid = ['--grid', '3', '--policies', 'similarity,entropy', '--points', '2', '--resamples', '50'];
      const sweep = ['sweep', at('recording.jsonl'), ...grid, '--run', at('captions.jsonl'), '--out'];
      const said = await run(...sweep, at('swept'));
      expect(said).toMatch(/^proposed front of MACs/);
      expect(said).toMatch(/^CIDEr-D .* layers v\/t\/m .* vision\/text, multimodal$/m);
      tear(at('swept', 'runs.jsonl'), at('again', 'runs.jsonl'));
      await run(...sweep, at('again'));
      for (const file of ['runs.jsonl', 'sweep.json', 'front.json'])
        expect(read('again', file)).toBe(read('swept', file));
      for (const name of ['swept', 'swept/proposed']) {
        const {points, depths, task} = parseSweep(JSON.parse(read(name, 'sweep.json')), name);
        expect([task, depths]).toEqual(['caption', {vision: 4, text: 4, multimodal: 4}]);
        expect(points.length).toBeGreaterThan(2);
        for (const {layers, etr, policy, setting} of points) {
          const {vision, text, multimodal} = layers!;
          expect(etr).toBeCloseTo(1 - (vision! + text! + multimodal!) / 12, 9);
          if (policy !== 'full depth') expect(setting).toMatch(/vision .*, (fixed )?text .*, multimodal /);
        }
      }
      const {code} = await runMue(['report', at('swept'), '--out', at('report')]);
      expect(code).toBe(0);
      expect(read('report', 'index.html')).toContain('multimodal');
      expect(read('report', 'index.html')).not.toContain('encoder');
    });

    test('mue sweep --thresholds: runs given settings on captions', async () => {
      const settings = {points: [[0.5, 0.5, 0.9], {encoder: 'fixed', policy: 'fixed', image: 1, text: 2, decoder: 3}]};
      fs.writeFileSync(at('settings.json'), JSON.stringify(settings));
      const data = [
        '--task',
        'caption',
        '--data',
        at('captions.jsonl'),
        '--thresholds',
        at('settings.json'),
        '--resamples',
        '50',
      ];
      await run('sweep', ...data, '--out', at('given'));
      const {static: statics, full} = JSON.parse(read('given', 'sweep.json')) as CaptionSweep;
      expect(full.layers).toEqual({image: 4, text: 4, decoder: 4});
      expect(statics[1]).toMatchObject({layers: {image: 1, text: 2, decoder: 3}, etr: 0.5});
    });
  },
);
