import {execFile} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {pathToFileURL} from 'node:url';
import {promisify} from 'node:util';
import {captionSchema} from '../support/cli/answer-schema.js';
import {MUE, mueCommand} from '../support/cli/mue-command.js';
import {microFolder} from '../support/models/micro-folder.js';

// The built program in processes of its own; other suites run commands in theirs.
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-main-'));
afterAll(() => fs.rmSync(folder, {recursive: true}));
const image = 'test/fixtures/images/png-0-8.png';
let model = '';
beforeAll(async () => {
  model = await microFolder(folder);
});

test('main: an exit code of a command is that of the process', async () => {
  expect(await mueCommand(['paint'])).toMatchObject({code: 2, stdout: '', stderr: expect.stringMatching(/paint/)});
});

test('main --help: loads neither tfjs nor zod', async () => {
  const hook = `import fs from 'node:fs';
export async function resolve(specifier, context, next) {
  const found = await next(specifier, context);
  fs.writeSync(2, found.url + '\\n');
  return found;
}`;
  fs.writeFileSync(path.join(folder, 'hook.mjs'), hook);
  const register = path.join(folder, 'register.mjs');
  fs.writeFileSync(register, "import {register} from 'node:module'; register('./hook.mjs', import.meta.url);");
  const args = ['--import', pathToFileURL(register).href, MUE, 'caption', '--help'];
  const {stdout, stderr} = await promisify(execFile)(process.execPath, args);
  expect(stdout).toContain('--img_thres');
  const loaded = stderr.split('\n');
  expect(loaded.some((url) => url.endsWith('/dist/cli/answer/caption.js'))).toBe(true);
  expect(loaded.filter((url) => /@tensorflow|\/zod\//.test(url))).toEqual([]);
});

test('main: - is an image on stdin; --quiet and --config leave the text alone on stdout', async () => {
  const config = path.join(folder, 'config.json');
  const defaults = {model, device: 'wasm', num_beams: 1, 'max-new-tokens': 7, quiet: true};
  fs.writeFileSync(config, JSON.stringify(defaults));
  const input = fs.readFileSync(image);
  const json = await mueCommand(['caption', '-', '--config', config, '--max-new-tokens', '2', '--json'], {input});
  expect([json.code, json.stderr]).toEqual([0, '']);
  const answer = captionSchema.parse(JSON.parse(json.stdout));
  // The command line wins over the file.
  expect([answer.image, answer.hypotheses.length, answer.tokens.length]).toEqual(['-', 1, 2]);
  const text = await mueCommand(['caption', '-', '--config', config, '--max-new-tokens', '2'], {input});
  expect(text.stdout).toBe(`${answer.text}\n`);
});

test('main: Ctrl-C ends with 130, and nothing half-printed', async () => {
  const images = Array.from({length: 200}, () => image);
  const args = ['caption', ...images, '--model', model, '--device', 'wasm', '--json'];
  const {code, stdout, stderr} = await mueCommand(args, {interruptAt: 'running on'});
  expect([code, stdout]).toEqual([130, '']);
  expect(stderr).toContain('error [aborted]: interrupted');
  expect(stderr).not.toMatch(/^\s+at .*:\d+/m);
});
