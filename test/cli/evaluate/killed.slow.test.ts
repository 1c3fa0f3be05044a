import {spawn} from 'node:child_process';
import {once} from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {microFolder} from '../../support/models/micro-folder.js';
import {MUE, mueCommand} from '../../support/cli/mue-command.js';
import {syntheticRows, writeRecording} from '../../support/data/synthetic-recording.js';

// kill -9 in the middle of bulk work, then the same command again: the files are those of an undisturbed run.
const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-killed-'));
afterAll(() => fs.rmSync(root, {recursive: true}));
const at = (name: string): string => path.join(root, name);

/** Kills the command as soon as `ready` says so. */
async function killed(args: readonly string[], ready: (stderr: string) => boolean): Promise<void> {
  const child = spawn(process.execPath, [MUE, ...args], {stdio: ['ignore', 'ignore', 'pipe']});
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const watch = setInterval(() => {
    if (ready(stderr) && !child.killed) child.kill('SIGKILL');
  }, 1);
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  clearInterval(watch);
  expect([code, signal]).toEqual([null, 'SIGKILL']);
}

function files(folder: string): Record<string, string> {
  return Object.fromEntries(
    fs.readdirSync(folder).map((name) => [name, fs.readFileSync(path.join(folder, name), 'utf8')]),
  );
}

test('mue record: goes on after kill -9, even behind a torn line', async () => {
  const data = at('data.jsonl');
  const lines = fs.readFileSync('data/scenes/snli-ve-test.jsonl', 'utf8').split('\n').slice(0, 9);
  fs.writeFileSync(data, `${lines.join('\n')}\n`);
  const model = await microFolder(root);
  const args = ['record', '--model', model, '--device', 'wasm', '--data', data, '--images', 'data/scenes', '--out'];
  expect((await mueCommand([...args, at('whole.jsonl')])).code).toBe(0);
  const torn = at('torn.jsonl');
  await killed([...args, torn], () => fs.existsSync(torn) && fs.readFileSync(torn, 'utf8').split('\n').length > 3);
  fs.appendFileSync(torn, '{"index":7,"id":"2000');
  const again = await mueCommand([...args, torn]);
  expect([again.code, again.stderr]).toEqual([0, expect.stringMatching(/[2-8] rows are recorded already/)]);
  expect(fs.readFileSync(torn, 'utf8')).toBe(fs.readFileSync(at('whole.jsonl'), 'utf8'));
});

test('mue sweep, mue calibrate: leave nothing half-written after kill -9', async () => {
  const recording = writeRecording(at('recording.jsonl'), syntheticRows(240));
  const sweep = ['sweep', recording, '--grid', '4', '--resamples', '3000', '--out'];
  expect((await mueCommand([...sweep, at('sweep')])).code).toBe(0);
  await killed([...sweep, at('sweep-killed')], (stderr) => stderr.includes('settings replayed'));
  expect(fs.existsSync(at('sweep-killed'))).toBe(false);
  expect((await mueCommand([...sweep, at('sweep-killed')])).code).toBe(0);
  expect(files(at('sweep-killed'))).toEqual(files(at('sweep')));
  const calibrate = ['calibrate', recording, '--grid', '5', '--max-drop', '10%', '--out'];
  expect((await mueCommand([...calibrate, at('plan.json')])).code).toBe(0);
  // The process runs by then, and it writes only at its end.
  const plan = at('plan-killed.json');
  const begun = performance.now();
  await killed([...calibrate, plan], () => performance.now() - begun > 150);
  expect(fs.existsSync(plan)).toBe(false);
  expect((await mueCommand([...calibrate, plan])).code).toBe(0);
  expect(fs.readFileSync(plan, 'utf8')).toBe(fs.readFileSync(at('plan.json'), 'utf8'));
});
