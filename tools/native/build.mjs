// Builds TensorFlow.js' own Node binding (Node-API sources of @tensorflow/tfjs-node-gpu) against the TensorFlow library
// of a wheel.
// usage: mue native [cpu|gpu] [--force]; in a clone npm run native [-- cpu|gpu] [--force]. Leaves in .native/<cpu|gpu>/: tfjs_binding.node, stderr_capture.node,
//   stamp.json, the folder tensorflow, and nvidia (gpu). Needs python3 with pip, and g++. Downloads only what the
//   requirements files beside this one name, checked by hash. Works in a folder beside the result and renames it when
//   all is well, so that a broken or interrupted build leaves nothing.
import {spawn, spawnSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {CHANGED_SOURCES, changedSource} from './binding-sources.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.resolve(HERE, '../..');
const require = createRequire(import.meta.url);
/** The bytes on disk that a build holds at its peak: wheels and their contents. */
const PEAK = {cpu: 1.5e9, gpu: 10e9};
const PLATFORMS = ['manylinux_2_27', 'manylinux_2_25', 'manylinux_2_18', 'manylinux2014'].map(
  (name) => `${name}_x86_64`,
);

/** A step that failed, and the way to mend it. */
class BuildError extends Error {
  /**
   * @param {string} code    names the step
   * @param {string} message
   * @param {string} [hint]
   */
  constructor(code, message, hint) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

const args = process.argv.slice(2);
const unknown = args.filter((a) => !['cpu', 'gpu', '--force'].includes(a));
const kind = args.includes('gpu') ? 'gpu' : 'cpu';
const out = path.join(ROOT, '.native', kind);
const work = path.join(ROOT, '.native', `.building-${kind}-${process.pid}`);
const began = Date.now();
/** The process of the current step. @type {import('node:child_process').ChildProcess | undefined} */
let running;
const say = (/** @type {string} */ text) => console.error(`native ${kind}: ${text}`);

try {
  if (unknown.length > 0)
    throw new BuildError('usage', `unknown: ${unknown.join(' ')}`, 'mue native [cpu|gpu] [--force]');
  await main();
} catch (error) {
  fs.rmSync(work, {recursive: true, force: true});
  const {code, message, hint} = /** @type {BuildError} */ (error);
  console.error(`native ${kind}: ${code ?? 'failed'}: ${message}`);
  if (hint) console.error(`  hint: ${hint}`);
  process.exitCode = code === 'usage' ? 2 : 1;
}

async function main() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new BuildError(
      'native-platform',
      `wanted linux x64, got ${process.platform} ${process.arch}`,
      'use --device wasm',
    );
  const sources = findSources();
  const stamp = JSON.stringify({kind, inputs: fingerprint(sources)});
  if (!args.includes('--force') && read(path.join(out, 'stamp.json')) === stamp) {
    const checked = await check(path.join(out, 'tfjs_binding.node')).catch(() => undefined);
    if (checked) return say(`up to date (${checked}) in ${path.relative(process.cwd(), out) || '.'}`);
    say('what is there does not load: building again');
  }
  findTools();
  for (const name of ['SIGINT', 'SIGTERM'])
    process.once(name, () => {
      running?.kill();
      fs.rmSync(work, {recursive: true, force: true});
      process.exit(130);
    });
  fs.mkdirSync(path.join(work, 'wheels'), {recursive: true});
  findSpace();

  say(`1/4 downloading ${kind === 'gpu' ? 'TensorFlow and CUDA libraries (3.3 GB)' : 'TensorFlow (262 MB)'} with pip`);
  await download();
  say('2/4 unpacking');
  const wheels = fs.readdirSync(path.join(work, 'wheels')).map((name) => path.join(work, 'wheels', name));
  await run('native-unpack', 'python3', [path.join(HERE, 'unpack.py'), work, ...wheels]);
  fs.rmSync(path.join(work, 'wheels'), {recursive: true});
  await strip();
  say('3/4 compiling');
  await compile(sources);
  say('4/4 checking: one matMul');
  const checked = await check(path.join(work, 'tfjs_binding.node'));
  fs.writeFileSync(path.join(work, 'stamp.json'), stamp);
  publish();
  say(
    `built in ${Math.round((Date.now() - began) / 1000)} s: ${checked}; .native/${kind} holds ${Math.round(bytesIn(out) / 1e6)} MB`,
  );
}

function findSources() {
  const locate = (/** @type {string} */ name) => {
    try {
      return path.dirname(require.resolve(`${name}/package.json`));
    } catch {
      throw new BuildError(
        'native-sources',
        `the npm package ${name} is not installed`,
        `npm install ${name} (or npm ci without --omit=optional)`,
      );
    }
  };
  return {binding: locate('@tensorflow/tfjs-node-gpu'), headers: path.join(locate('node-api-headers'), 'include')};
}

/**
 * A hash over all that goes in: a change of any of it builds again.
 * @param {{binding: string}} sources
 */
function fingerprint({binding}) {
  const folder = path.join(binding, 'binding');
  const files = [`requirements-${kind}.txt`, 'unpack.py', 'capture.cc', 'build.mjs', 'binding-sources.mjs'].map(
    (name) => path.join(HERE, name),
  );
  for (const name of fs.readdirSync(folder).sort()) files.push(path.join(folder, name));
  const hash = createHash('sha256');
  for (const file of files) hash.update(fs.readFileSync(file));
  return hash.digest('hex');
}

function findTools() {
  const works = (/** @type {string} */ command, /** @type {string[]} */ ...rest) =>
    spawnSync(command, [...rest, '--version'], {stdio: 'ignore'}).status === 0;
  const missing = [];
  if (!works('python3')) missing.push('python3', 'pip');
  else if (!works('python3', '-m', 'pip')) missing.push('pip (python3 -m pip)');
  if (!works('g++')) missing.push('g++');
  if (missing.length > 0) {
    throw new BuildError(
      'native-tools',
      `needs ${missing.join(', ')}, not found`,
      'Debian, Ubuntu: apt-get install python3-pip g++; Fedora: dnf install python3-pip gcc-c++',
    );
  }
}

function findSpace() {
  const {bavail, bsize} = fs.statfsSync(work);
  if (bavail * bsize < PEAK[kind]) {
    const gb = (/** @type {number} */ bytes) => (bytes / 1e9).toFixed(1);
    throw new BuildError(
      'native-disk',
      `needs ${gb(PEAK[kind])} GB of disk in .native, ${gb(bavail * bsize)} GB are free`,
    );
  }
}

async function download() {
  const requirements = path.join(HERE, `requirements-${kind}.txt`);
  const target = PLATFORMS.flatMap((name) => ['--platform', name]);
  const loud = process.stderr.isTTY ? [] : ['--quiet'];
  await run(
    'native-download',
    'python3',
    [
      '-m',
      'pip',
      'download',
      ...loud,
      '--disable-pip-version-check',
      '--no-deps',
      '--require-hashes',
      '--only-binary=:all:',
    ]
      .concat(['--implementation', 'cp', '--python-version', '3.12', '--abi', 'cp312', '--abi', 'none', ...target])
      .concat(['--dest', path.join(work, 'wheels'), '--requirement', requirements]),
    {
      hint: 'is the package index reachable (pip config list)? The files are pinned by hash in tools/native',
      show: process.stderr.isTTY,
    },
  );
}

/** Half of the libraries' bytes are symbols that nobody reads; without `strip` they stay. */
async function strip() {
  if (spawnSync('strip', ['--version'], {stdio: 'ignore'}).status !== 0) return;
  const folder = path.join(work, 'tensorflow');
  const files = fs.readdirSync(folder).filter((name) => name.includes('.so'));
  await run('native-strip', 'strip', ['--strip-unneeded', ...files.map((name) => path.join(folder, name))]);
}

/** @param {{binding: string, headers: string}} sources folders */
async function compile({binding, headers}) {
  const folder = path.join(work, 'tensorflow');
  const from = path.join(binding, 'binding');
  const common = ['-std=c++17', '-O2', '-fPIC', '-shared', '-DNAPI_VERSION=8'].concat(
    // Changed files go first: they include each other.
    [work, headers, path.join(folder, 'include'), binding, from].map((include) => `-I${include}`),
  );
  const libraries = [
    `-L${folder}`,
    '-l:libtensorflow_cc.so.2',
    '-l:libtensorflow_framework.so.2',
    '-Wl,-rpath,$ORIGIN/tensorflow',
  ];
  for (const name of CHANGED_SOURCES)
    fs.writeFileSync(path.join(work, name), changedSource(name, fs.readFileSync(path.join(from, name), 'utf8')));
  const sources = CHANGED_SOURCES.filter((name) => name.endsWith('.cc')).map((name) => path.join(work, name));
  const to = (/** @type {string} */ name) => ['-o', path.join(work, name)];
  await run('native-compile', 'g++', [...common, path.join(HERE, 'capture.cc'), ...to('stderr_capture.node')]);
  await run('native-compile', 'g++', [...common, ...sources, ...to('tfjs_binding.node'), ...libraries]);
  fs.rmSync(path.join(folder, 'include'), {recursive: true});
  for (const name of CHANGED_SOURCES) fs.rmSync(path.join(work, name));
}

/**
 * Loads the binding in a process of its own: a bad library must not take this one down.
 * @param {string} file
 * @returns {Promise<string>} what it computes on
 */
async function check(file) {
  const line = await run('native-check', process.execPath, [path.join(HERE, 'check-binding.mjs'), file]);
  const {tensorflow, gpu} = JSON.parse(line);
  return `TensorFlow ${tensorflow}, ${gpu ? 'on a GPU' : kind === 'gpu' ? 'no GPU seen: runs on the CPU' : 'CPU'}`;
}

function publish() {
  const old = `${work}-old`;
  if (fs.existsSync(out)) fs.renameSync(out, old);
  fs.renameSync(work, out);
  fs.rmSync(old, {recursive: true, force: true});
}

/**
 * Runs a command.
 * @param {string} code of the error if it fails
 * @param {string} command
 * @param {readonly string[]} rest its arguments
 * @param {{hint?: string, show?: boolean}} [options] `show` passes its output on
 * @returns {Promise<string>} its stdout
 */
function run(code, command, rest, {hint, show = false} = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, rest, {stdio: ['ignore', 'pipe', 'pipe']});
    running = child;
    let stdout = '';
    let words = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      if (show) process.stderr.write(chunk);
    });
    child.stderr.on('data', (chunk) => {
      words = (words + chunk).slice(-4000);
      if (show) process.stderr.write(chunk);
    });
    child.on('error', (error) => reject(new BuildError(code, `${command}: ${error.message}`, hint)));
    child.on('close', (status, signal) => {
      if (status === 0) return resolve(stdout.trim());
      reject(new BuildError(code, `${path.basename(command)} ended with ${signal ?? status}\n${words.trim()}`, hint));
    });
  });
}

/** @param {string} file */
function read(file) {
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : undefined;
}

/** @param {string} folder */
function bytesIn(folder) {
  return fs
    .readdirSync(folder, {recursive: true, encoding: 'utf8'})
    .reduce((sum, name) => sum + fs.lstatSync(path.join(folder, name)).size, 0);
}
