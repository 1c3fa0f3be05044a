import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {runMue} from '../../support/cli/run-mue.js';
import type {CaptionJson} from '../../support/cli/answer-schema.js';
import {type TrainExits, trainExitsIn} from '../../support/cli/train-exits.js';
import {adapterReportSchema} from '../../../src/cli/schemas/runs.js';

// The whole command on a micro model with random weights: what its last layer says can be learnt, sense it has none.

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-train-exits-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
const at = (name: string): string => path.join(root, name);
let model = '';
let adapters = '';
let train: TrainExits['train'];

beforeAll(async () => {
  ({model, train} = await trainExitsIn(root, {caption: 8, 'snli-ve': 6}));
  adapters = path.join(model, 'exit-adapters.safetensors');
});

const LEARN = ['--steps', '20', '--learning-rate', '0.02', '--decay', '0', '--held-out', '0.5'];

test('mue train exits: writes adapters that every command uses, and that full depth does not', async () => {
  const {code, stdout, stderr} = await train('caption', ...LEARN, '--test', at('caption.jsonl'), '--json');
  expect([code, stderr]).toEqual([0, expect.stringContaining('states of 8 rows')]);
  expect(stderr).toMatch(/exit-adapters\.safetensors: caption, depths .*1/);
  const report = adapterReportSchema.parse(JSON.parse(stdout));
  expect(report).toMatchObject({task: 'caption', stack: 'decoder', kind: 'bottleneck', width: 64});
  expect(report.layers[0]).toMatchObject({layer: 1, kept: true});
  expect(report.test).toHaveLength(4);
  const answer = async (...options: string[]): Promise<CaptionJson> => {
    const picture = 'data/scenes/images/100001.jpg';
    const search = ['--num-beams', '1', '--max-new-tokens', '6', '--json'];
    const caption = await runMue(['caption', picture, '--model', model, ...search, ...options]);
    expect(caption).toMatchObject({code: 0, stderr: expect.stringContaining('running on') as string});
    const {text, tokens, score, macs, layers} = JSON.parse(caption.stdout) as CaptionJson;
    return {text, tokens, score, macs, layers} as CaptionJson;
  };
  expect(await answer('--exit', 'never')).toEqual(await answer('--exit', 'never', '--no-adapters'));
  const plan = at('first.json');
  fs.writeFileSync(plan, JSON.stringify({version: 1, stacks: {decoder: {policy: 'fixed', layers: 1}}}));
  const [adapted, bare] = [await answer('--exit', plan), await answer('--exit', plan, '--no-adapters')];
  expect(adapted.score).not.toBe(bare.score);
  // Steps may differ, but each has one adapter of width 64 over states of 32 numbers.
  const {run} = adapted.layers['decoder']!;
  expect(adapted.macs.run - (run as number[]).length * 2 * 64 * 32).toBeGreaterThan(0);
  expect(await answer('--exit', plan, '--adapters', adapters)).toEqual(adapted);
});

test('mue train exits: goes on from kept states; the file keeps other tasks, and is left where nothing helps', async () => {
  const before = fs.readFileSync(adapters);
  const few = await train('snli-ve', '--steps', '1', '--learning-rate', '0.0000001');
  expect(few).toMatchObject({code: 0, stderr: expect.stringMatching(/help at no depth.*nothing is written/) as string});
  expect(few.stdout).toContain('not kept');
  expect(fs.readFileSync(adapters)).toEqual(before);
  const again = await train('caption', ...LEARN);
  expect(again.stderr).toContain('states of 8 pictures are there already');
  expect(fs.readFileSync(adapters)).toEqual(before);
  expect(again.stdout).toMatch(/^held-out positions: \d+ of \d+\ndepth {3}as the last layer/);
});

test('mue record: refuses the rows that adapters learnt from; mue evaluate and others take them', async () => {
  const record = (...options: string[]) =>
    runMue([
      ...['record', '--model', model, '--task', 'caption', '--data', at('caption.jsonl'), '--images', 'data/scenes'],
      ...['--limit', '1', '--out', at('recording.jsonl'), ...options],
    ]);
  expect(await record()).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/adapters-learnt-here.*look better/s) as string,
  });
  expect(fs.existsSync(at('recording.jsonl'))).toBe(false);
});
