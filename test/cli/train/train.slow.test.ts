import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type {EvaluationMetrics} from '../../../src/evaluation/metrics.js';
import {runMue} from '../../support/cli/run-mue.js';
import {type TrainDecoder, trainDecoderIn} from '../../support/cli/train-decoder.js';

// The whole command on a micro model with random weights: what it is to learn, it can learn by heart.

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-train-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
const at = (...names: string[]): string => path.join(root, ...names);
const images = ['--images', 'data/scenes'];
let train: TrainDecoder['train'];

beforeAll(async () => {
  ({train} = await trainDecoderIn(root));
});
const LEARN = ['--updates', '6', '--batch', '4', '--learning-rate', '0.003', '--decay', '0', '--every', '3'];

test('mue train: logs every update, validates, and leaves models that commands take; once more, it is done', async () => {
  const validate = ['--validate', at('rows.jsonl'), '--depths', '2'];
  const {code, stderr} = await train(...LEARN, ...validate, '--out', at('run'));
  expect([code, stderr]).toEqual([
    0,
    expect.stringMatching(/4 examples, .* 6 updates\n.*validation: accuracy depth 2/s),
  ]);
  const [header, ...log] = fs
    .readFileSync(at('run', 'log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(header).toMatchObject({format: 'mue-training-run', recipe: 'mue', freeze: ['encoder.*'], updates: 6});
  expect(log.map(({update}) => update)).toEqual(Array.from({length: 6}, (_, i) => i + 1));
  expect(log[0]).toMatchObject({layers: [0, 0, 0, 0].map(() => expect.any(Number) as number), skipped: 0});
  expect(log[5]).toMatchObject({validation: {metric: 'accuracy', rows: 4, depths: [{depth: 2}, {depth: 4}]}});
  const args = ['--task', 'snli-ve', '--data', at('rows.jsonl'), ...images, '--json', '--warmup', '0'];
  const evaluated = await runMue(['evaluate', ...args, '--model', at('run', 'best'), '--out', at('evaluated')]);
  const {metrics} = JSON.parse(evaluated.stdout) as EvaluationMetrics;
  const best = log.map(({validation}) => validation as {best: boolean; depths: {value: number}[]} | undefined);
  // The same evaluator on the same weights.
  expect(metrics['accuracy']).toBe(best.filter((found) => found?.best).at(-1)!.depths[1]!.value);
  const before = fs.readFileSync(at('run', 'state.safetensors'));
  const again = await train(...LEARN, ...validate, '--out', at('run'));
  expect([again.code, again.stderr]).toEqual([0, expect.stringContaining('goes on after update 6 of 6')]);
  expect(fs.readFileSync(at('run', 'state.safetensors'))).toEqual(before);
  const other = await train(...LEARN, ...validate, '--seed', '1', '--out', at('run'));
  expect([other.code, other.stderr]).toEqual([2, expect.stringMatching(/run-differs.*seed was 0, is 1/s)]);
});
