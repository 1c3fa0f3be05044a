// Builds the kernels of the wasm device from kernels.c:
//   node kernels/build.mjs           writes simd.wasm and relaxed.wasm beside it
//   node kernels/build.mjs --check   builds elsewhere, and fails unless the files are equal byte for byte
// The compiler is Zig's C compiler from PyPI, whose version requirements.txt pins; it is kept in .native/zig. Where
// pip or python3 cannot be had, a line says so and the exit code is 3.
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const compiler = path.join(here, '..', '.native', 'zig');
const NOT_BUILT = 3;
const FLAGS = ['-target', 'wasm32-freestanding', '-O3', '-ffp-contract=off', '-nostdlib', '-Wall', '-Wextra', '-Werror'];
const THREADS = ['-matomics', '-mbulk-memory'];
// The memory is declared as shared, as a heap of threads is; whoever instantiates on one that is not says so in the
// import (src/node/backends/wasm/kernel-modules.ts).
const LINK = [
  ...['-Wl,--no-entry', '-Wl,--import-memory', '-Wl,--shared-memory', '-Wl,--max-memory=4294901760'],
  ...['-Wl,--export=__stack_pointer', '-s'],
];
const BUILDS = {simd: ['-msimd128'], relaxed: ['-msimd128', '-mrelaxed-simd']};

/** 'env' 'memory' as an import of a memory that is shared and has from 16 to 65,535 pages. */
const IMPORT = Buffer.from('03656e76066d656d6f727902' + '0310ffff03', 'hex');

/** Lets the memory have all of its 65,536 pages, as tfjs' heap does; the linker takes one less. */
function allowFourGiB(file) {
  const bytes = fs.readFileSync(file);
  const at = bytes.indexOf(IMPORT);
  if (at < 0) throw new Error(`${file} does not import the memory that was expected`);
  bytes.set([0x80, 0x80, 0x04], at + IMPORT.length - 3);
  fs.writeFileSync(file, bytes);
}

const run = (command, args, env = {}) =>
  spawnSync(command, args, {cwd: here, encoding: 'utf8', env: {...process.env, ...env}});

function giveUp(reason) {
  console.log(`kernels: not built: ${reason}`);
  process.exit(NOT_BUILT);
}

function getCompiler() {
  const wanted = fs.readFileSync(path.join(here, 'requirements.txt'), 'utf8').trim();
  const stamp = path.join(compiler, '.requirements');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === wanted) return;
  const pip = ['-m', 'pip', 'install', '--quiet', '--upgrade', '--only-binary', ':all:', '--no-deps'];
  const done = run('python3', [...pip, '--target', compiler, '-r', 'requirements.txt']);
  if (done.error) giveUp(`python3 cannot be run (${done.error.code})`);
  if (done.status !== 0) giveUp(`pip cannot install the compiler: ${done.stderr.trim().split('\n').at(-1)}`);
  fs.writeFileSync(stamp, wanted);
}

function build(folder) {
  for (const [name, flags] of Object.entries(BUILDS)) {
    const args = ['-m', 'ziglang', 'cc', ...FLAGS, ...THREADS, ...flags, ...LINK, 'kernels.c', '-o', path.join(folder, `${name}.wasm`)];
    const done = run('python3', args, {PYTHONPATH: compiler});
    if (done.status !== 0) throw new Error(`zig cc failed:\n${done.stderr}`);
    allowFourGiB(path.join(folder, `${name}.wasm`));
    fs.chmodSync(path.join(folder, `${name}.wasm`), 0o644);
  }
}

const check = process.argv.includes('--check');
getCompiler();
const folder = check ? fs.mkdtempSync(path.join(os.tmpdir(), 'mue-kernels-')) : here;
build(folder);
for (const name of Object.keys(BUILDS)) {
  const [built, kept] = [folder, here].map((at) => fs.readFileSync(path.join(at, `${name}.wasm`)));
  if (!built.equals(kept)) {
    console.error(`kernels: ${name}.wasm is not what kernels.c builds; run node kernels/build.mjs`);
    process.exitCode = 1;
  } else console.log(`kernels: ${name}.wasm, ${built.length} bytes${check ? ', equals its source' : ''}`);
}
if (check) fs.rmSync(folder, {recursive: true});
