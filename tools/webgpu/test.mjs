// npm run test:webgpu [-- test/golden/encoder …]: numerics of every operation used, errors, and the project's goldens
// on WebGPU.
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

const SUITES = ['test/node/backends/webgpu', 'test/golden'];
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const child = path.join(root, 'dist/node/backends/doctor-child.js');
if (!fs.existsSync(child)) throw new Error(`${child} is not there: npm run build`);
const {stdout} = spawnSync(process.execPath, [child, 'webgpu', '0'], {
  cwd: root,
  stdio: ['ignore', 'pipe', 'inherit'],
});
const last = stdout.toString().trimEnd().split('\n').at(-1) ?? '';
/** @type {import('../../dist/node/backends/doctor.js').DeviceReport} */
const report = last.startsWith('{')
  ? JSON.parse(last)
  : {device: 'webgpu', ok: false, reason: 'its process broke down'};
if (!report.ok) {
  console.log(`test:webgpu skipped: ${report.reason}${report.hint === undefined ? '' : ` (${report.hint})`}`);
  process.exit(0);
}
console.log(report.note);
const asked = process.argv.slice(2);
// One worker: several would share one GPU. Software adapters compile a shader in seconds, many a test compiles some.
const jest = [
  'node_modules/jest/bin/jest.js',
  '--runInBand',
  '--testTimeout=600000',
  ...(asked.length > 0 ? asked : SUITES),
];
const {status, signal} = spawnSync(process.execPath, ['--experimental-vm-modules', '--no-warnings', ...jest], {
  cwd: root,
  env: {...process.env, MUE_TEST_BACKEND: 'webgpu'},
  stdio: 'inherit',
});
if (status !== 0) {
  console.error(`test:webgpu: ended with ${signal ?? status}`);
  process.exitCode = 1;
}
