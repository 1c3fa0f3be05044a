import {spawn} from 'node:child_process';
import {once} from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {metricsSchema} from '../../../src/cli/schemas/runs.js';
import {microFolder} from '../../support/models/micro-folder.js';
import {MUE, mueCommand} from '../../support/cli/mue-command.js';
import {withoutTimes} from '../../support/cli/without-times.js';

// The whole command, in processes of its own. A micro model with random weights answers nonsense, but in milliseconds.
const ROWS = 12;
const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-evaluate-cli-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
let args: readonly string[] = [];
let one: Record<string, string> = {};

beforeAll(async () => {
  const model = await microFolder(root);
  const lines = fs.readFileSync('data/scenes/caption-test.jsonl', 'utf8').split('\n').slice(0, ROWS);
  const data = path.join(root, 'data.jsonl');
  fs.writeFileSync(data, `${lines.join('\n')}\n`);
  const search = ['--num-beams', '2', '--max-new-tokens', '16', '--warmup', '0'];
  const exits = ['--img_thres', '0.5', '--decoder_thres', '0.9'];
  const rows = ['--task', 'caption', '--data', data, '--images', 'data/scenes'];
  args = ['evaluate', '--model', model, '--device', 'wasm', '--threads', '1', ...rows, ...search, ...exits];
  const {code, stdout} = await mueCommand([...args, '--out', out('one'), '--json']);
  expect(code).toBe(0);
  expect(metricsSchema.parse(JSON.parse(stdout)).n).toBe(ROWS);
  one = withoutTimes(out('one'));
  expect(Object.keys(one).sort()).toEqual([
    'captions_data_results.json',
    'metrics.json',
    'predictions.jsonl',
    'run.json',
  ]);
});

const out = (name: string): string => path.join(root, name);
const rows = (name: string): number => {
  const file = path.join(out(name), 'predictions.jsonl');
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n').length - 1 : 0;
};

/** Starts an evaluation, and sends a signal once there are so many rows. @returns the exit code */
async function stopped(name: string, signal: 'SIGKILL' | 'SIGINT', at: number): Promise<number | null> {
  const child = spawn(process.execPath, [MUE, ...args, '--out', out(name)], {stdio: 'ignore'});
  const watch = setInterval(() => {
    if (rows(name) >= at && !child.killed) child.kill(signal);
  }, 1);
  const [code] = (await once(child, 'exit')) as [number | null];
  clearInterval(watch);
  expect(rows(name)).toBeGreaterThanOrEqual(at);
  expect(rows(name)).toBeLessThan(ROWS);
  return code;
}

test('mue evaluate: goes on after kill -9 and Ctrl-C, with the same files but for times', async () => {
  expect(await stopped('killed', 'SIGKILL', 2)).toBe(null);
  expect(await stopped('killed', 'SIGINT', 5)).toBe(130);
  expect(fs.existsSync(path.join(out('killed'), 'metrics.json'))).toBe(false);
  const {code, stdout} = await mueCommand([...args, '--out', out('killed')]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/caption: 12 rows {2}BLEU-1 [\s\S]*layers encoder\.image [\s\S]*MACs [\s\S]*ms a row/);
  expect(withoutTimes(out('killed'))).toEqual(one);
});

test('mue evaluate --batch: the same words, exits and costs, scores to 1e-4; reference mode refuses it', async () => {
  expect((await mueCommand([...args, '--batch', '5', '--out', out('batches')])).code).toBe(0);
  const read = (name: string) =>
    fs
      .readFileSync(path.join(out(name), 'predictions.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as {score: number; ms: unknown});
  const [batches, alone] = [read('batches'), read('one')];
  expect(batches.length).toBe(ROWS);
  for (const [i, {score, ms: _, ...row}] of batches.entries()) {
    const {score: wanted, ms: _ms, ...rest} = alone[i]!;
    expect(row).toEqual(rest);
    expect(Math.abs(score - wanted)).toBeLessThan(1e-4);
  }
  const {code, stderr} = await mueCommand([...args, '--batch', '5', '--mode', 'reference', '--out', out('refused')]);
  expect([code, stderr]).toEqual([2, expect.stringContaining('batch-reference')]);
});

test('mue evaluate --workers: the files of one run; mue compare finds nothing lost and nothing saved', async () => {
  expect((await mueCommand([...args, '--workers', '2', '--out', out('workers')])).code).toBe(0);
  expect(withoutTimes(out('workers'))).toEqual(one);
  const claim = ['--saving', '0.1', '--resamples', '50'];
  const {stdout, code} = await mueCommand(['compare', out('workers'), out('one'), ...claim]);
  expect(code).toBe(0);
  expect(stdout).toContain('verdict: saving in MACs ≥ 0.00 % with 95 % confidence: the claim of 10.00 % FAILS');
});

test('mue merge: tasks of a Slurm array (deploy/slurm-array.sh) give the files of one run', async () => {
  // The script names what it must; the rest of the command line goes through EXTRA.
  const [, ...options] = args;
  for (const task of [1, 2]) {
    const array = {
      SLURM_ARRAY_TASK_ID: String(task),
      SLURM_ARRAY_TASK_COUNT: '2',
      SLURM_ARRAY_TASK_MIN: '1',
      SLURM_ARRAY_TASK_STEP: '1',
    };
    const ours = {
      MUE: `${process.execPath} ${MUE}`,
      TASK: 'caption',
      DATA: path.join(root, 'data.jsonl'),
      OUT: out('array'),
    };
    const child = spawn('bash', ['deploy/slurm-array.sh'], {
      env: {...process.env, ...array, ...ours, EXTRA: options.join(' ')},
      stdio: 'ignore',
    });
    expect(await once(child, 'exit')).toEqual([0, null]);
  }
  expect((await mueCommand(['merge', out('array'), '--out', out('merged')])).code).toBe(0);
  expect(withoutTimes(out('merged'))).toEqual(one);
});

test('mue evaluate: reports bad rows by their lines, counts them, and ends with 5', async () => {
  const lines = fs.readFileSync(path.join(root, 'data.jsonl'), 'utf8').split('\n');
  const data = path.join(root, 'bad.jsonl');
  const missing = lines[2]!.replace(/images\/\d+/, 'images/none');
  fs.writeFileSync(data, [lines[0], 'no row', missing, lines[3], '{"image": "../../../etc/passwd"}'].join('\n'));
  const {code, stderr, stdout} = await mueCommand([...args, '--data', data, '--out', out('bad'), '--json', '--quiet']);
  expect(code).toBe(5);
  expect(stderr).toMatch(
    /row skipped: line 2: not JSON[\s\S]*row skipped: line 3 .*there is no such file[\s\S]*row skipped: line 5: .*outside/,
  );
  expect(JSON.parse(stdout)).toMatchObject({n: 2, bad: {unreadable: 2, failed: 1}});
});

test('mue evaluate --workers: an error of a worker is told once, with its exit code', async () => {
  const gone = path.join(root, 'gone.jsonl');
  const {code, stderr} = await mueCommand([...args, '--data', gone, '--workers', '2', '--out', out('gone')]);
  expect([code, stderr]).toEqual([1, `error [dataset-not-found]: ${gone}: there is no such file or folder\n`]);
});
