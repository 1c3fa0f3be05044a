// Kills bulk commands (SIGKILL) at random moments, runs them again until they end, and compares the outputs with those of
// a run that nobody disturbed. Needs `npm run build`. Prints a table; the exit code is 1 if an output differs.
//   node tools/kill-runs.mjs [--kills 100] [--seed 1] [--only evaluate,embed]
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {setTimeout} from 'node:timers/promises';
import {parseArgs} from 'node:util';
import zlib from 'node:zlib';

const {values} = parseArgs({
  options: {
    kills: {type: 'string', default: '100'},
    seed: {type: 'string', default: '1'},
    only: {type: 'string', default: 'evaluate,record,embed,convert,sweep'},
  },
});
const {seededRandom} = await import('../dist/runtime/random.js');
const random = seededRandom(Number(values.seed));
const REPOSITORY = path.join(import.meta.dirname, '..');
const MUE = path.join(REPOSITORY, 'dist', 'cli', 'main.js');
const SCENES = path.join(REPOSITORY, 'data', 'scenes');
const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mue-kills-'));
/** Kills of one output before it is left to end. */
const CHAIN = 4;

/** Copies a golden file, which may be packed. @param {string} name @param {string} to */
function golden(name, to) {
  const file = path.join(REPOSITORY, 'test', name);
  fs.writeFileSync(to, fs.existsSync(file) ? fs.readFileSync(file) : zlib.gunzipSync(fs.readFileSync(`${file}.gz`)));
}

/** @param {string} name @param {number} rows the first ones of a set of the scenes */
function rows(name, rows) {
  const file = path.join(root, `${name}.jsonl`);
  const lines = fs.readFileSync(path.join(SCENES, `${name}.jsonl`), 'utf8').split('\n');
  fs.writeFileSync(file, `${lines.slice(0, rows).join('\n')}\n`);
  return ['--data', file, '--images', SCENES];
}

/** Milliseconds until a folder is no longer empty. @param {string} folder @param {AbortSignal} signal */
async function untilWritten(folder, signal) {
  const begun = performance.now();
  while (!signal.aborted && fs.readdirSync(folder).length === 0) await setTimeout(5);
  return performance.now() - begun;
}

/**
 * Runs a command.
 * @param {readonly string[]} args
 * @param {number} [killAfter] milliseconds until it is killed
 * @returns {Promise<{code: number | null, ms: number, stderr: string}>} code null if it was killed
 */
async function run(args, killAfter) {
  const begun = performance.now();
  const child = spawn(process.execPath, [MUE, ...args], {stdio: ['ignore', 'ignore', 'pipe'], detached: true});
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const kill = () => {
    try {
      // The group: workers are killed, too.
      process.kill(-Number(child.pid), 'SIGKILL');
    } catch {
      // It has ended by itself just now.
    }
  };
  const timer = new AbortController();
  if (killAfter !== undefined) setTimeout(killAfter, undefined, timer).then(kill, () => undefined);
  /** @type {number | null} */
  const code = await new Promise((resolve) => child.on('exit', resolve));
  timer.abort();
  return {code, ms: performance.now() - begun, stderr};
}

/** JSON without times, which differ from run to run. @param {unknown} value @returns {unknown} */
function withoutTimes(value) {
  if (Array.isArray(value)) return value.map(withoutTimes);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([key]) => !/^(ms|seconds|overhead|milliseconds|msPerRow)$/i.test(key));
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutTimes(inner)]));
}

/** Every file that begins with the name of an output, hidden ones too, with its content. @param {string} folder */
function contents(folder) {
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const entry of fs.readdirSync(folder, {recursive: true, withFileTypes: true})) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const bytes = fs.readFileSync(file);
    /** @param {string} text */
    const parse = (text) => (text === '' ? '' : JSON.stringify(withoutTimes(JSON.parse(text))));
    const text = /\.jsonl?$/.test(file) ? bytes.toString('utf8') : bytes.toString('latin1');
    const plain = file.endsWith('.jsonl')
      ? text.split('\n').map(parse).join('\n')
      : file.endsWith('.json')
        ? parse(text)
        : text;
    found.set(path.relative(folder, file), plain);
  }
  return found;
}

/** @param {Map<string, string>} a @param {Map<string, string>} b */
function differences(a, b) {
  return [...new Set([...a.keys(), ...b.keys()])].filter((name) => a.get(name) !== b.get(name));
}

golden('golden/ofa_micro.pt', path.join(root, 'ofa_micro.pt'));
golden('golden/dict_micro.txt', path.join(root, 'dict.txt'));
const model = path.join(root, 'model');
const checkpoint = path.join(root, 'ofa_micro.pt');
const converted = await run(['convert', checkpoint, model]);
if (converted.code !== 0) throw new Error(converted.stderr);
fs.mkdirSync(path.join(root, 'coca'));
for (const name of ['open_clip_config.json', 'open_clip_model.safetensors'])
  golden(`golden-coca/fullvocab/${name}`, path.join(root, 'coca', name));
const coca = path.join(root, 'coca-model');
const second = await run(['convert', path.join(root, 'coca', 'open_clip_model.safetensors'), coca]);
if (second.code !== 0) throw new Error(second.stderr);
const points = path.join(root, 'points.json');
fs.writeFileSync(
  points,
  JSON.stringify({
    points: [
      [0.98, 0.55, 0.94],
      [0.7, 0.6, 0.8],
    ],
  }),
);

const on = ['--model', model, '--device', 'wasm'];
/** The arguments of each command for a folder of outputs. @type {Record<string, (out: string) => string[]>} */
const COMMANDS = {
  evaluate: (out) => [
    'evaluate',
    ...on,
    '--task',
    'snli-ve',
    ...rows('snli-ve-test', 9),
    '--out',
    path.join(out, 'run'),
  ],
  record: (out) => ['record', ...on, ...rows('snli-ve-calibration', 9), '--out', path.join(out, 'rows.jsonl')],
  embed: (out) => [
    'embed',
    '--model',
    coca,
    '--device',
    'wasm',
    ...rows('caption-val', 60),
    '--out',
    path.join(out, 'run'),
  ],
  convert: (out) => ['convert', checkpoint, path.join(out, 'model'), '--force'],
  sweep: (out) => [
    'sweep',
    '--task',
    'caption',
    ...on,
    ...rows('caption-test', 3),
    '--thresholds',
    points,
    '--resamples',
    '100',
    '--out',
    path.join(out, 'run'),
  ],
};

const names = values.only.split(',');
const each = Math.ceil(Number(values.kills) / names.length);
let [kills, outputs, differing] = [0, 0, 0];
console.log('command   kills  outputs  equal  ended before its kill');
for (const name of names) {
  const command = COMMANDS[name];
  if (command === undefined) throw new Error(`no command ${name}`);
  const whole = path.join(root, name, 'whole');
  fs.mkdirSync(whole, {recursive: true});
  const watch = new AbortController();
  const written = untilWritten(whole, watch.signal);
  const first = await run(command(whole));
  watch.abort();
  // Every other kill comes when there is something to lose, not while the command loads its code and the model.
  const share = Math.min(1, (await written) / first.ms);
  if (first.code !== 0) throw new Error(`${name}: ${first.stderr}`);
  const wanted = contents(whole);
  let {ms} = first;
  let [killed, equal, late, made] = [0, 0, 0, 0];
  while (killed < each) {
    const out = path.join(root, name, `killed-${made++}`);
    fs.mkdirSync(out);
    for (let i = 0; i < CHAIN && killed < each; i++) {
      const from = i % 2 === 0 ? share : 0;
      const {code, stderr} = await run(command(out), ms * (from + (1 - from) * random.next()));
      if (code === null) killed++;
      else if (code === 0) {
        late++;
        break;
      } else throw new Error(`${name}: exit code ${code}: ${stderr}`);
    }
    const last = await run(command(out));
    if (last.code !== 0) throw new Error(`${name}: exit code ${last.code} after kills: ${last.stderr}`);
    ms = Math.max(ms / 2, Math.min(ms * 2, last.ms));
    const differ = differences(wanted, contents(out));
    if (differ.length === 0) equal++;
    else console.log(`${name} ${made}: differ: ${differ.join(', ')}`);
    fs.rmSync(out, {recursive: true});
  }
  console.log(
    `${name.padEnd(8)} ${String(killed).padStart(6)} ${String(made).padStart(8)} ${String(equal).padStart(6)} ${String(late).padStart(6)}`,
  );
  [kills, outputs, differing] = [kills + killed, outputs + made, differing + made - equal];
}
fs.rmSync(root, {recursive: true});
console.log(`seed ${values.seed}: ${kills} kills of ${outputs} outputs, ${differing} differ`);
process.exitCode = differing > 0 ? 1 : 0;
